"""Anthropic's Messages API on loopback: what it is sent is held against the SDK's own types, what it answers is made of them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import orjson
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from pydantic import TypeAdapter, ValidationError
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour, Exit, Got

KEY = "anthropic-key"
MODEL = "claude-test"
SDK_VERSION = "2026-10-21"
"""The `anthropic-version` of the SDK that these tests use."""
USAGE: Mapping[str, Any] = {
    "input_tokens": 10,
    "output_tokens": 7,
    "cache_read_input_tokens": 5,
    "cache_creation_input_tokens": 2,
}
Refusal = tuple[str, str, str]
"""Status, type and message of an error."""
VERTEX_PATH = "/v1/projects/p/locations/europe-west1"
VERTEX_MODEL = "claude-test@20260101"
# Typed out, these unions are beyond what a checker shows; pydantic reads them as they are.
_WHOLE = TypeAdapter[Any](MessageCreateParamsNonStreaming)
_STREAMED = TypeAdapter[Any](MessageCreateParamsStreaming)
_EVENT = TypeAdapter[Any](RawMessageStreamEvent)


def message(*content: Mapping[str, Any], stop_reason: str = "end_turn") -> dict[str, Any]:
    """A whole answer, of the published shape."""
    made = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": list(content),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": USAGE,
    }
    Message.model_validate(made)
    return made


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def tool_use(identity: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": identity, "name": name, "input": given}


def events(answer: Mapping[str, Any]) -> list[bytes]:
    """The events by which the API streams an answer: texts and arguments in halves, pings between."""
    start: dict[str, Any] = {**answer, "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    made: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for i, block in enumerate(cast("Sequence[dict[str, Any]]", answer["content"])):
        empty, deltas = _deltas(block)
        made.append({"type": "content_block_start", "index": i, "content_block": empty})
        made += [{"type": "content_block_delta", "index": i, "delta": d} for d in deltas]
        made.append({"type": "content_block_stop", "index": i})
    end = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
    made += [{"type": "message_delta", "delta": end, "usage": USAGE}, {"type": "message_stop"}]
    for e in made:
        if e["type"] != "ping":
            _EVENT.validate_python(e)
    return [_event(e) for e in made]


def _deltas(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    match block["type"]:
        case "text":
            half = len(block["text"]) // 2
            parts = [block["text"][:half], block["text"][half:]]
            return {**block, "text": ""}, [{"type": "text_delta", "text": p} for p in parts if p]
        case "thinking":
            deltas = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
            return {**block, "thinking": "", "signature": ""}, deltas
        case _:
            given = orjson.dumps(block["input"]).decode() if block["input"] else ""
            half = len(given) // 2
            parts = [""] + ([given[:half], given[half:]] if given else [])
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": p} for p in parts]


def _event(given: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (given["type"].encode(), orjson.dumps(given))


def error(kind: str, said: str) -> bytes:
    return orjson.dumps({"type": "error", "error": {"type": kind, "message": said}, "request_id": "req_1"})


def error_event(kind: str) -> bytes:
    return b"event: error\ndata: " + error(kind, "Overloaded") + b"\n\n"


def api(
    answer: Mapping[str, Any] | None = None,
    *,
    check: Callable[[Any], None] = lambda _: None,
    cut_after: int | None = None,
    broken_by: bytes | None = None,
    refusal: Callable[[Got], Refusal | None] | None = None,
) -> Behaviour:
    """Answers a right request, and refuses a wrong one with the API's own errors.

    Args:
        answer: What it answers, streamed or whole as asked. Default: the text 'hello there'.
        check: Looks at the body that came.
        cut_after: Ends a stream after so many events, as if it were over.
        broken_by: An event that takes the place of those that are cut.
        refusal: What is wrong with a request. Default: that of the API itself, at its own address.
    """
    told = message(text("hello there")) if answer is None else answer

    async def behave(out: Exit) -> None:
        wrong = (refusal or _refusal)(out.got)
        if wrong is not None:
            status, kind, said = wrong
            await fake.whole(error(kind, said), status)(out)
            return
        body = out.got.json
        check(body)
        rate = "anthropic-ratelimit-requests-remaining: 41"
        if not body.get("stream"):
            await fake.whole(orjson.dumps(told), "200 OK", "request-id: req_1", rate)(out)
            return
        sent = events(told)[:cut_after] + ([broken_by] if broken_by else [])
        # Half an event a chunk: the parts of a stream do not end where events do.
        pieces = [piece for e in sent for piece in (e[: len(e) // 2], e[len(e) // 2 :])]
        await out.write(fake.head("200 OK", "text/event-stream; charset=utf-8", "Transfer-Encoding: chunked", rate))
        for piece in pieces:
            await out.write(fake.chunk(piece))
            await asyncio.sleep(0)
        await out.write(b"0\r\n\r\n")

    return behave


def _refusal(got: Got) -> Refusal | None:
    if got.headers.get("x-api-key") != KEY or "authorization" in got.headers:
        return "401 Unauthorized", "authentication_error", "invalid x-api-key"
    if got.path != "/v1/messages":
        return "404 Not Found", "not_found_error", "Not found"
    if got.headers.get("anthropic-version") not in ("2023-06-01", SDK_VERSION):
        return "400 Bad Request", "invalid_request_error", "anthropic-version: header is required"
    return _wrong(got.json)


def vertex_refusal(got: Got) -> Refusal | None:
    """The same API on Vertex AI: model and version have other places ("Use Anthropic's Claude models", Google Cloud)."""
    if got.headers.keys() & {"x-api-key", "anthropic-version"}:
        return "400 Bad Request", "invalid_request_error", "unexpected header"
    body = dict(got.json)
    operation = "streamRawPredict" if body.get("stream") else "rawPredict"
    if got.path != f"{VERTEX_PATH}/publishers/anthropic/models/{VERTEX_MODEL}:{operation}":
        return "404 Not Found", "not_found_error", "Not found"
    if body.pop("anthropic_version", None) not in ("vertex-2023-10-16", SDK_VERSION):
        return "400 Bad Request", "invalid_request_error", "anthropic_version: Field required"
    if "model" in body:
        return "400 Bad Request", "invalid_request_error", "model: Extra inputs are not permitted"
    return _wrong({**body, "model": VERTEX_MODEL})


def _wrong(body: Any) -> Refusal | None:
    try:
        _exhaust((_STREAMED if body.get("stream") else _WHOLE).validate_python(body))
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return "400 Bad Request", "invalid_request_error", f"{where}: {first['msg']}"
    for turn in body["messages"]:
        content = turn["content"]
        if not content or (not isinstance(content, str) and any(b["type"] == "text" and not b["text"] for b in content)):
            return "400 Bad Request", "invalid_request_error", "text content blocks must be non-empty"
    return None


def _exhaust(value: Any) -> None:
    """Read pydantic's lazy lists to their ends: they are checked while they are read."""
    if isinstance(value, dict):
        for part in cast("dict[str, Any]", value).values():
            _exhaust(part)
    elif hasattr(value, "__iter__") and not isinstance(value, str):
        for part in value:
            _exhaust(part)
