"""Client by feature by backend: what is tried, and what must come of it."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.clients import vendors
from tests.clients.scripts import prompts
from tests.clients.stage import CONTEXT_TOKENS, KEY, Stage
from tests.clients.tools import command

from slipway.local.tiny_model import CALL, vocabulary

LLAMA = "llama"
DOWN = "down"
"""A backend that fails on every request."""
CANCEL_SECONDS = 1.0
"""How long after a client closed a stream the backend's work may go on."""
RUN_SECONDS = 600.0


@dataclass(frozen=True)
class Client:
    """A client, unchanged, and how its users see errors."""

    name: str
    title: str
    script: Sequence[str]
    errors: Mapping[str, str]
    """By feature, the class that its users catch."""
    lacks: Mapping[str, str] = field(default_factory=dict[str, str])
    """Features that it does not have itself, and why."""
    no_request_id: bool = False
    """Whether its errors do not tell the request's id."""


_OPENAI = {
    "wrong key": "AuthenticationError",
    "unknown model": "NotFoundError",
    "refused": "BadRequestError",
    "busy": "RateLimitError",
    "failed": "InternalServerError",
    "cut": "APIError",
}
_NO_EMBEDDINGS = {"embeddings": "Anthropic has no API for embeddings"}
CLIENTS: Sequence[Client] = (
    Client("openai-python", "OpenAI, Python", ["openai_sdk.py"], _OPENAI),
    Client("openai-node", "OpenAI, Node", ["openai.mjs"], _OPENAI),
    Client("anthropic-python", "Anthropic, Python", ["anthropic_sdk.py"], _OPENAI, _NO_EMBEDDINGS),
    Client("anthropic-node", "Anthropic, Node", ["anthropic.mjs"], _OPENAI, _NO_EMBEDDINGS),
    Client("langchain-openai", "LangChain, ChatOpenAI", ["langchain_chat.py", "openai"], _OPENAI),
    Client("langchain-anthropic", "LangChain, ChatAnthropic", ["langchain_chat.py", "anthropic"], _OPENAI, _NO_EMBEDDINGS),
    Client(
        "litellm",
        "LiteLLM",
        ["litellm_client.py"],
        {**_OPENAI, "failed": "BadGatewayError", "cut": "APIError"},
        no_request_id=True,
    ),
)
WHAT = ("chat", "stream", "tools", "streamed tools", "schema", "embeddings")
FAILURES = ("refused", "busy", "cut")
ONCE = ("wrong key", "unknown model")
"""What no backend has a part in."""
FEATURES = (*WHAT, *FAILURES, "cancel", *ONCE, "failed")
COLUMNS: Mapping[str, Sequence[str]] = {
    "chat": ("chat",),
    "stream": ("stream",),
    "tools": ("tools", "streamed tools"),
    "JSON schema": ("schema",),
    "embeddings": ("embeddings",),
    "errors": ("refused", "busy", "cut", "wrong key", "unknown model", "failed"),
    "cancel": ("cancel",),
}

Found = Mapping[str, Any]
Results = Mapping[tuple[str, str], Found]
"""By backend and feature, what a script wrote."""


def backends(stage: Stage) -> Mapping[str, Sequence[str]]:
    """What is tried on each backend."""
    found: dict[str, Sequence[str]] = {LLAMA: (*WHAT, "refused")}
    for vendor in stage.vendors:
        found[vendor.name] = (*WHAT, *FAILURES, "cancel")
    first = stage.vendors[0].name
    return {**found, first: (*found[first], *ONCE), DOWN: ("failed",)}


def tried(client: Client, stage: Stage) -> Results:
    """Run a client's script."""
    models = {
        backend: [f for f in features if (why := refusal(client, stage, backend, f)) is None or _by_the_router(why)]
        for backend, features in backends(stage).items()
    }
    asked: dict[str, Any] = {
        "url": stage.url,
        "key": KEY,
        "name": client.name,
        "models": models,
        "refused": {LLAMA: "the " * (CONTEXT_TOKENS + 100)},
        "push": {LLAMA: _push()},
        "prompts": {k: v for k, v in vars(prompts).items() if k.isupper()},
    }
    done = subprocess.run(
        command(*client.script), input=json.dumps(asked), capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"model"')]
    return {(line["model"], line["feature"]): line for line in lines}


def why_not(client: Client, stage: Stage, found: Results, backend: str, feature: str) -> str | None:
    """What is wrong with a cell of the matrix; None if it is as it must be."""
    reason = refusal(client, stage, backend, feature)
    if reason is not None and not _by_the_router(reason):
        return None
    if reason is not None:
        told = found[backend, feature]
        return None if reason in told.get("raised", {}).get("message", "") else f"{told} is no '{reason}'"
    try:
        _CHECKS[feature](client, stage, found[backend, feature], backend)
    except (AssertionError, KeyError) as error:
        return f"{error!r}: {found.get((backend, feature))}"
    return None


def refusal(client: Client, stage: Stage, backend: str, feature: str) -> str | None:
    """Why a feature cannot be had; None where it can."""
    if feature in client.lacks:
        return client.lacks[feature]
    if feature == "embeddings" and any(v.name == backend and "embeddings" not in v.tasks for v in stage.vendors):
        return f"The model '{backend}' does not exist here for embeddings"
    if backend == LLAMA and "tools" in feature and client.lacks:
        return "the tiny model calls no tool unless pushed by `logit_bias`, which Anthropic's API does not have"
    return None


def _by_the_router(reason: str) -> bool:
    """Whether it is the router that refuses, so that a client is told."""
    return reason.startswith("The model '")


def _push() -> Mapping[str, Any]:
    """Has the tiny model call a tool, and end then."""
    ids = {text: str(i) for i, (text, *_) in enumerate(vocabulary())}
    return {"logit_bias": {ids[CALL]: 60, ids["</s>"]: 90}, "parallel_tool_calls": False}


def _answered(client: Client, stage: Stage, found: Found, backend: str) -> None:
    said = found["said"]
    vendor = _vendor(stage, backend)
    if vendor is None:
        assert said["text"].strip()
        assert said["finish"] in ("stop", "end_turn", "length", "max_tokens")
        assert said["prompt_tokens"] > 3
        assert said["answer_tokens"] >= 1
    else:
        assert said["text"] == vendors.HELLO
        assert said["finish"] in ("stop", "end_turn")
        assert (said["prompt_tokens"], said["answer_tokens"]) == (vendor.prompt_tokens, 7)


def _called(client: Client, stage: Stage, found: Found, backend: str) -> None:
    said = found["said"]
    vendor = _vendor(stage, backend)
    assert said["name"] == vendors.CALL[1]
    assert said["finish"] in ("tool_calls", "tool_use")
    assert said["arguments"]["city"] in (("Oslo",) if vendor else ("Oslo", "Rome"))
    if found["feature"] == "tools":
        assert said["text"] == vendors.HELLO if vendor else said["text"].strip()


def _in_schema(client: Client, stage: Stage, found: Found, backend: str) -> None:
    assert found["said"] == vendors.JSON if _vendor(stage, backend) else isinstance(found["said"]["sure"], bool)


def _embedded(client: Client, stage: Stage, found: Found, backend: str) -> None:
    vectors = found["said"]["vectors"]
    if _vendor(stage, backend):
        assert vectors == vendors.VECTORS
    else:
        assert [len(v) for v in vectors] == [64, 64]
        assert vectors[0] != vectors[1]


def _raised(status: int, message: str) -> "Check":
    def check(client: Client, stage: Stage, found: Found, backend: str) -> None:
        raised = found["raised"]
        assert client.errors[found["feature"]] in raised["classes"]
        assert raised["status"] == status
        expected = "exceeds the available context size" if backend == LLAMA else message.format(backend=backend)
        assert expected in raised["message"]
        if client.no_request_id:
            return
        assert raised["request_id"]
        vendor = _vendor(stage, backend)
        if found["feature"] == "refused" and vendor is not None:
            assert raised["request_id"] in (*vendor.request_ids, "req_of_the_vendor")

    return check


def _broke_off(client: Client, stage: Stage, found: Found, backend: str) -> None:
    said = found["said"]
    assert said["text"]
    assert vendors.HELLO not in said["text"]
    assert client.errors["cut"] in said["raised"]["classes"]
    assert f"the backend {backend} closed the connection in the middle of its answer" in said["raised"]["message"]


def _cancelled(client: Client, stage: Stage, found: Found, backend: str) -> None:
    vendor = _vendor(stage, backend)
    assert vendor is not None
    closed = found["said"]["closed"]
    while client.name not in vendor.ended and time.monotonic() < closed + 2 * CANCEL_SECONDS:
        time.sleep(0.01)
    assert client.name in vendor.ended, "the backend goes on"
    assert vendor.ended[client.name] - closed < CANCEL_SECONDS


def _vendor(stage: Stage, backend: str) -> vendors.Vendor | None:
    return next((v for v in stage.vendors if v.name == backend), None)


Check = Callable[[Client, Stage, Found, str], None]
_CHECKS: Mapping[str, Check] = {
    "chat": _answered,
    "stream": _answered,
    "tools": _called,
    "streamed tools": _called,
    "schema": _in_schema,
    "embeddings": _embedded,
    "refused": _raised(400, vendors.REFUSED),
    "busy": _raised(429, "{backend} answered 429"),
    "failed": _raised(502, "{backend} answered 500"),
    "wrong key": _raised(401, "The API key is not known here"),
    "unknown model": _raised(404, "The model 'no-such-model' does not exist here"),
    "cut": _broke_off,
    "cancel": _cancelled,
}
