"""What OpenTelemetry's conventions for generative AI call things, and what of a request is told by them.

Names are those of "Semantic conventions for generative client AI spans" and "Generative AI metrics", version 1.37 and later.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from slipway_router.backend import Backend
from slipway_router.metrics import CLIENT_GONE
from slipway_router.telemetry.record import Record

OPERATIONS = {"chat": "chat", "completions": "text_completion", "embeddings": "embeddings"}
"""What the conventions call each task."""
PROVIDERS = {
    "openai": "openai",
    "azure": "azure.ai.openai",
    "anthropic": "anthropic",
    "vertex": "gcp.vertex_ai",
    "vertex-raw": "gcp.vertex_ai",
    "vertex-anthropic": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "sagemaker": "aws.sagemaker",
}
"""What they call who speaks each protocol ("Well-known values"); they have none for SageMaker."""
NUMBERS = {
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
}
"""Fields of a request that are numbers, and so no text of anybody's. `n` is told where it is not 1."""

Attributes = dict[str, Any]


def common(task: str, backend: Backend | None) -> Attributes:
    """What the conventions require of every span and metric, and where the backend is."""
    if backend is None:
        # Required, and there is nobody to name.
        return {"gen_ai.operation.name": OPERATIONS[task], "gen_ai.provider.name": "slipway", "gen_ai.request.model": "none"}
    parts = urlsplit(backend.url)
    return {
        "gen_ai.operation.name": OPERATIONS[task],
        "gen_ai.provider.name": PROVIDERS[backend.protocol],
        "gen_ai.request.model": backend.model,
        "server.address": parts.hostname or "",
        "server.port": parts.port or (443 if parts.scheme == "https" else 80),
    }


def error_of(record: Record) -> str | None:
    """`error.type`, where the request failed."""
    if record.error is not None:
        return record.error
    if record.status == CLIENT_GONE:
        return "client_gone"
    return str(record.status) if record.status >= 400 else None


def content(task: str, fields: Mapping[str, Any]) -> Attributes:
    """What the client wrote, in the conventions' form."""
    if task != "chat":
        prompt: object = fields.get("prompt" if task == "completions" else "input")
        return {"gen_ai.input.messages": orjson.dumps([_message("user", prompt)]).decode()}
    return {
        "gen_ai.input.messages": orjson.dumps([_message(m.get("role"), m.get("content")) for m in fields["messages"]]).decode()
    }


def _message(role: object, said: object) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": said if isinstance(said, str) else orjson.dumps(said).decode()}]}
