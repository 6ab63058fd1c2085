"""Anthropic's models on Vertex AI: the Messages API by `rawPredict` and `streamRawPredict`.

After "Use Anthropic's Claude models" in Google Cloud's guide.
"""

from typing import Any
from urllib.parse import quote

from slipway_router.answer import Answer
from slipway_router.messages.answer import an_error
from slipway_router.messages.request import AskedInMessages
from slipway_router.providers.anthropic import API_VERSION, Anthropic
from slipway_router.providers.google import GoogleProvider, googles, to_error
from slipway_router.providers.shapes import text
from slipway_router.request import Asked
from slipway_router.schema import Task

VERTEX_VERSION = "vertex-2023-10-16"
"""What Vertex AI calls version 2023-06-01."""


class VertexAnthropic(GoogleProvider, Anthropic):
    """`url` is the location's, such as `https://europe-west1-aiplatform.googleapis.com/v1/projects/P/locations/europe-west1`, or
    `https://aiplatform.googleapis.com/v1/projects/P/locations/global`; `model` is such as `claude-sonnet-4-5@20250929`.
    """

    def headers(self, key: str | None) -> dict[str, str]:  # noqa: ARG002 -- there is none
        return {}

    def path(self, task: Task) -> str:  # noqa: ARG002 -- it has one
        return f"{self._model_path}:rawPredict"

    def request(self, asked: Asked, request_id: bytes, tracing: bytes) -> tuple[bytes, bytes]:
        head, body = super().request(asked, request_id, tracing)
        return (head.replace(b":rawPredict ", b":streamRawPredict ", 1) if asked.stream else head), body

    def message(self, asked: Asked) -> dict[str, Any]:
        said = super().message(asked)
        del said["model"]
        version = self.backend.api_version or VERTEX_VERSION
        if isinstance(asked, AskedInMessages) and asked.version not in (None, API_VERSION.encode()):
            version = asked.version.decode("latin-1")
        return {**said, "anthropic_version": version}

    async def understand(self, asked: Asked, answer: Answer) -> Answer:
        self.refused(answer.status)
        return await super().understand(asked, answer)

    def error(self, status: int, body: bytes, *, native: bool) -> bytes:
        error = googles(body)
        if error is None:
            return super().error(status, body, native=native)
        if native:
            return an_error(status, text(error.get("message")) or f"Vertex AI answered {status} without a reason.", "")
        return to_error(status, body)

    def probe(self) -> bytes:
        """A path that is not there: to list or get models needs permissions that asking them does not."""
        probe = super().probe()
        return probe.replace(f"GET {self._base}/models ".encode(), f"GET {self._model_path}/models ".encode(), 1)

    @property
    def _model_path(self) -> str:
        return f"{self._base}/publishers/anthropic/models/{quote(self.model, safe='@')}"
