"""A chat completion's answer, said as Anthropic's Messages API does."""

import contextlib
from typing import Any

import orjson

from slipway_router.answer import UpstreamError
from slipway_router.providers.shapes import Object, an_object, count, objects, text
from slipway_router.providers.sse import Events, event

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def to_message(body: bytes) -> bytes:
    """A whole answer.

    Arguments of a tool that are no JSON object, as a model may well make them, become `{"arguments": TEXT}`.

    Raises:
        UpstreamError: 'protocol' when it is no chat completion.
    """
    answer = _parsed(body)
    choices = objects(answer.get("choices"))
    if not choices:
        raise UpstreamError("protocol", "answered with something that is no chat completion")
    said = an_object(choices[0].get("message"))
    content: list[Object] = []
    thought = _thought(said)
    if thought:
        content.append({"type": "thinking", "thinking": thought, "signature": ""})
    if text(said.get("content")):
        content.append({"type": "text", "text": said["content"], "citations": None})
    elif text(said.get("refusal")):
        content.append({"type": "text", "text": said["refusal"], "citations": None})
    calls = objects(said.get("tool_calls"))
    content += [_tool_use(c) for c in calls]
    message = {
        **_envelope(text(answer.get("id")), text(answer.get("model"))),
        "content": content,
        **_stop(choices[0], called=bool(calls)),
        "usage": _usage(an_object(answer.get("usage"))),
    }
    return orjson.dumps(message)


def to_error(status: int, body: bytes, request_id: str) -> bytes:
    """OpenAI's error in Anthropic's shape."""
    said = ""
    with contextlib.suppress(orjson.JSONDecodeError):
        said = text(an_object(an_object(orjson.loads(body)).get("error")).get("message"))
    return an_error(status, said or f"The backend answered {status} without a reason.", request_id)


def an_error(status: int, said: str, request_id: str) -> bytes:
    """An error with the type that goes with its status."""
    return orjson.dumps({**_error(_ERRORS.get(status, "api_error"), said), "request_id": request_id})


class MessageStream:
    """A streamed answer."""

    def __init__(self) -> None:
        self._events = Events()
        self._begun = False
        self._blocks = -1
        self._open: str | None = None
        """The kind of the block that is being written."""
        self._calls: dict[int, int] = {}
        """Tools' calls by their index, and the index of their block."""
        self._last: Object = {}
        """The choice that said why the answer ends."""
        self._usage: Object = {}
        self.over = False
        """Whether its end, or an error, has been said."""

    def feed(self, data: bytes) -> bytes:
        """What these bytes come to.

        Raises:
            UpstreamError: 'protocol' when they are no chat completion's.
        """
        return b"".join([self._said(e) for e in self._events.feed(data) if not self.over])

    def end(self) -> bytes:
        """What comes after the last byte: the end if the answer has one, else an error."""
        if self.over:
            return b""
        if not self._last:
            return self.fail("The stream ended in the middle of its answer.")
        self.over = True
        delta = _stop(self._last, called=bool(self._calls))
        return (
            self._close()
            + _event({"type": "message_delta", "delta": delta, "usage": _usage(self._usage)})
            + _event({"type": "message_stop"})
        )

    def fail(self, why: str) -> bytes:
        """Ends in an error."""
        self.over = True
        return _event(_error("api_error", why))

    def _said(self, data: bytes) -> bytes:
        if data == b"[DONE]":
            return self.end()
        chunk = _parsed(data)
        if "error" in chunk:
            return self.fail(text(an_object(chunk["error"]).get("message")) or "The stream broke off.")
        said = b""
        if not self._begun:
            self._begun = True
            start: dict[str, Any] = {
                **_envelope(text(chunk.get("id")), text(chunk.get("model"))),
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": _usage({}),
            }
            said = _event({"type": "message_start", "message": start})
        if chunk.get("usage"):
            self._usage = an_object(chunk["usage"])
        for choice in objects(chunk.get("choices"))[:1]:
            said += self._delta(an_object(choice.get("delta")))
            if choice.get("finish_reason"):
                self._last = choice
        return said

    def _delta(self, delta: Object) -> bytes:
        said = b""
        thought, content = _thought(delta), text(delta.get("content")) or text(delta.get("refusal"))
        if thought:
            said += self._in({"type": "thinking", "thinking": "", "signature": ""})
            said += self._part(self._blocks, {"type": "thinking_delta", "thinking": thought})
        if content:
            said += self._in({"type": "text", "text": "", "citations": None})
            said += self._part(self._blocks, {"type": "text_delta", "text": content})
        for call in objects(delta.get("tool_calls")):
            said += self._call(call)
        return said

    def _call(self, call: Object) -> bytes:
        function = an_object(call.get("function"))
        index = count(call.get("index"))
        said = b""
        if index not in self._calls:
            block: Object = {"type": "tool_use", "id": _call_id(call, index), "name": text(function.get("name")), "input": {}}
            said = self._close() + self._in(block)
            self._calls[index] = self._blocks
        part = text(function.get("arguments"))
        return said + (self._part(self._calls[index], {"type": "input_json_delta", "partial_json": part}) if part else b"")

    def _in(self, block: Object) -> bytes:
        """Begin this block, unless one of its kind is open."""
        if self._open == block["type"]:
            return b""
        said = self._close()
        self._open = block["type"]
        self._blocks += 1
        return said + _event({"type": "content_block_start", "index": self._blocks, "content_block": block})

    def _part(self, block: int, delta: Object) -> bytes:
        return _event({"type": "content_block_delta", "index": block, "delta": delta})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _event({"type": "content_block_stop", "index": self._blocks})


def _stop(choice: Object, *, called: bool) -> dict[str, Any]:
    reason = _STOP_REASONS.get(text(choice.get("finish_reason")), "end_turn")
    # Of vLLM's and SGLang's own: the text at which they stopped.
    at = choice.get("stop_reason") or choice.get("matched_stop")
    if reason == "end_turn" and called:
        reason = "tool_use"
    elif reason == "end_turn" and isinstance(at, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": at}
    return {"stop_reason": reason, "stop_sequence": None}


def _usage(usage: Object) -> dict[str, Any]:
    cached = count(an_object(usage.get("prompt_tokens_details")).get("cached_tokens"))
    return {
        "input_tokens": max(0, count(usage.get("prompt_tokens")) - cached),
        "output_tokens": count(usage.get("completion_tokens")),
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": 0,
    }


def _envelope(identity: str, model: str) -> dict[str, Any]:
    return {
        "id": identity if identity.startswith("msg_") else f"msg_{identity}",
        "type": "message",
        "role": "assistant",
        "model": model,
    }


def _thought(said: Object) -> str:
    """DeepSeek and SGLang say `reasoning_content`, vLLM says `reasoning`."""
    return text(said.get("reasoning_content")) or text(said.get("reasoning"))


def _tool_use(call: Object) -> Object:
    function = an_object(call.get("function"))
    arguments = text(function.get("arguments"))
    try:
        given: object = orjson.loads(arguments) if arguments.strip() else {}
    except orjson.JSONDecodeError:
        given = None
    return {
        "type": "tool_use",
        "id": _call_id(call, 0),
        "name": text(function.get("name")),
        "input": given if isinstance(given, dict) else {"arguments": arguments},
    }


def _call_id(call: Object, index: int) -> str:
    return text(call.get("id")) or f"toolu_{index}"


def _error(kind: str, said: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": said}}


def _event(given: Object) -> bytes:
    return event(orjson.dumps(given), given["type"])


def _parsed(data: bytes) -> Object:
    try:
        return an_object(orjson.loads(data))
    except orjson.JSONDecodeError:
        raise UpstreamError("protocol", "answered with something that is not JSON") from None
