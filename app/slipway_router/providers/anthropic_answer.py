"""What Anthropic's Messages API answers, said as a chat completion.

After "Messages" and "Streaming messages" in Anthropic's API reference.
"""

import contextlib
import time
from typing import Any

import orjson

from slipway_router.answer import UpstreamError
from slipway_router.providers.shapes import Object, an_object, count, objects, text
from slipway_router.providers.sse import Events, event

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""`stop_reason` and its `finish_reason`."""


def to_completion(body: bytes) -> bytes:
    """A whole answer.

    Thinking is given as `reasoning_content`, as vLLM, SGLang and DeepSeek do.

    Raises:
        UpstreamError: 'protocol' when it is no message.
    """
    given = a_message(body)
    blocks = objects(given["content"])
    said = "".join(text(b.get("text")) for b in blocks if b.get("type") == "text")
    thought = "".join(text(b.get("thinking")) for b in blocks if b.get("type") == "thinking")
    calls = [_call(b) for b in blocks if b.get("type") == "tool_use"]
    message: dict[str, Any] = {"role": "assistant", "content": said or (None if calls else ""), "refusal": None}
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = calls
    finish = FINISH.get(text(given.get("stop_reason")), "stop")
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    answer = _envelope("chat.completion", text(given.get("id")), text(given.get("model")))
    return orjson.dumps({**answer, "choices": [choice], "usage": to_usage(an_object(given.get("usage")))})


def to_error(status: int, body: bytes) -> bytes:
    """An error in OpenAI's shape, with the vendor's message, and its type as the code."""
    error: Object = {}
    with contextlib.suppress(orjson.JSONDecodeError):
        error = an_object(an_object(orjson.loads(body)).get("error"))
    told = {
        "message": text(error.get("message")) or f"Anthropic answered {status} without a reason.",
        "type": "invalid_request_error" if status < 500 else "server_error",
        "param": None,
        "code": text(error.get("type")) or None,
    }
    return orjson.dumps({"error": told})


def to_usage(usage: Object) -> dict[str, Any]:
    """Counts of tokens. Anthropic's `input_tokens` leaves out what was read from its cache or written to it."""
    cached = count(usage.get("cache_read_input_tokens"))
    prompt = count(usage.get("input_tokens")) + cached + count(usage.get("cache_creation_input_tokens"))
    answer = count(usage.get("output_tokens"))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


class CompletionStream:
    """A streamed answer.

    Nothing is said before the first block of content, so that a stream which fails at once can still be asked for elsewhere.
    """

    def __init__(self, *, include_usage: bool) -> None:
        """
        Args:
            include_usage: Whether the client asked for the usage (`stream_options.include_usage`).
        """
        self._include_usage = include_usage
        self._events = Events()
        self._envelope: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._calls = -1
        self._arguments = False
        self._in_call = False
        self._begun = False
        self._over = False

    def feed(self, data: bytes) -> bytes:
        """See `StreamTranslator`."""
        return b"".join([self._said(_parsed(e)) for e in self._events.feed(data)])

    def end(self) -> bytes:
        """See `StreamTranslator`."""
        if not self._over:
            raise UpstreamError("reset", "ended its stream in the middle of its answer")
        return b""

    def _said(self, given: Object) -> bytes:
        match given.get("type"):
            case "content_block_delta":
                return self._delta(an_object(given.get("delta")))
            case "content_block_start":
                return self._block(an_object(given.get("content_block")))
            case "content_block_stop":
                # Without a single argument the API streams none, and OpenAI's clients cannot parse nothing.
                missing = self._in_call and not self._arguments
                self._in_call = False
                return self._call_part("{}") if missing else b""
            case "message_start":
                message = an_object(given.get("message"))
                self._envelope = _envelope("chat.completion.chunk", text(message.get("id")), text(message.get("model")))
                self._usage.update(an_object(message.get("usage")))
            case "message_delta":
                self._usage.update({k: v for k, v in an_object(given.get("usage")).items() if v is not None})
                reason = an_object(given.get("delta")).get("stop_reason")
                return self._chunk({}, FINISH.get(text(reason), "stop"))
            case "message_stop":
                self._over = True
                usage: dict[str, Any] = {**self._envelope, "choices": [], "usage": to_usage(self._usage)}
                return (event(orjson.dumps(usage)) if self._include_usage else b"") + event(b"[DONE]")
            case "error":
                raise _broken(given)
            case _:  # `ping`, and what is yet to be invented: clients must ignore it
                pass
        return b""

    def _block(self, block: Object) -> bytes:
        match block.get("type"):
            case "tool_use":
                self._calls += 1
                self._in_call = True
                self._arguments = False
                function = {"name": block.get("name"), "arguments": ""}
                call = {"index": self._calls, "id": block.get("id"), "type": "function", "function": function}
                return self._chunk({"tool_calls": [call]})
            case "text" if block.get("text"):
                return self._chunk({"content": block["text"]})
            case _:
                return b""

    def _delta(self, delta: Object) -> bytes:
        match delta.get("type"):
            case "text_delta":
                return self._chunk({"content": text(delta.get("text"))})
            case "input_json_delta":
                part = text(delta.get("partial_json"))
                if not part or not self._in_call:
                    return b""
                self._arguments = True
                return self._call_part(part)
            case "thinking_delta":
                return self._chunk({"reasoning_content": text(delta.get("thinking"))})
            case _:
                return b""

    def _call_part(self, arguments: str) -> bytes:
        return self._chunk({"tool_calls": [{"index": self._calls, "function": {"arguments": arguments}}]})

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        if not self._begun:
            self._begun = True
            delta = {"role": "assistant", "content": "", **delta}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event(orjson.dumps({**self._envelope, "choices": [choice]}))


class NativeStream:
    """A streamed answer for a client that speaks the Messages API itself: the same events, held back like those above."""

    def __init__(self) -> None:
        self._events = Events()
        self._held: list[bytes] | None = []
        self._over = False

    def feed(self, data: bytes) -> bytes:
        """See `StreamTranslator`."""
        said: list[bytes] = []
        for found in self._events.feed(data):
            given = _parsed(found)
            kind = text(given.get("type"))
            if kind == "error":
                raise _broken(given)
            self._over = self._over or kind == "message_stop"
            said.append(event(found, kind))
            if self._held is not None and kind not in ("message_start", "ping"):
                said = [*self._held, *said]
                self._held = None
        if self._held is not None:
            self._held += said
            return b""
        return b"".join(said)

    def end(self) -> bytes:
        """See `StreamTranslator`."""
        if not self._over:
            raise UpstreamError("reset", "ended its stream in the middle of its answer")
        return b""


def a_message(body: bytes) -> Object:
    """A whole answer, as far as it is one.

    Raises:
        UpstreamError: 'protocol' when it is no message.
    """
    given = _parsed(body)
    if given.get("type") != "message" or not isinstance(given.get("content"), list):
        raise UpstreamError("protocol", "answered with something that is no message")
    return given


def _broken(given: Object) -> UpstreamError:
    kind = text(an_object(given.get("error")).get("type"))
    return UpstreamError("rate_limit" if kind == "rate_limit_error" else "status", f"broke off with {kind[:64] or 'an error'}")


def _envelope(kind: str, identity: str, model: str) -> dict[str, Any]:
    return {"id": identity, "object": kind, "created": int(time.time()), "model": model}


def _call(block: Object) -> dict[str, Any]:
    arguments = orjson.dumps(block.get("input") or {}).decode()
    return {"id": block.get("id"), "type": "function", "function": {"name": block.get("name"), "arguments": arguments}}


def _parsed(data: bytes) -> Object:
    try:
        return an_object(orjson.loads(data))
    except orjson.JSONDecodeError:
        raise UpstreamError("protocol", "answered with something that is not JSON") from None
