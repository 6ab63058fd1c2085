"""What Anthropic's Messages API answers, said as a chat completion.

After "Messages" and "Streaming messages" in Anthropic's API reference.
"""

import contextlib
from typing import Any

import orjson

from slipway_router.answer import UpstreamError
from slipway_router.providers.chunks import Chunks, envelope
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
    answer = envelope("chat.completion", text(given.get("id")), text(given.get("model")))
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
        self._events = Events()
        self._chunks = Chunks(include_usage=include_usage)
        self._usage: dict[str, Any] = {}

    @property
    def unsaid(self) -> bytes:
        """See `StreamTranslator`."""
        return self._chunks.unsaid

    def feed(self, data: bytes) -> bytes:
        """See `StreamTranslator`."""
        return b"".join([self._said(_parsed(e)) for e in self._events.feed(data)])

    def end(self) -> bytes:
        """See `StreamTranslator`."""
        if not self._chunks.over:
            raise UpstreamError("reset", "ended its stream in the middle of its answer")
        return b""

    def _said(self, given: Object) -> bytes:
        match given.get("type"):
            case "content_block_delta":
                return self._delta(an_object(given.get("delta")))
            case "content_block_start":
                return self._block(an_object(given.get("content_block")))
            case "content_block_stop":
                return self._chunks.end_block()
            case "message_start":
                message = an_object(given.get("message"))
                self._chunks.begin(text(message.get("id")), text(message.get("model")))
                self._usage.update(an_object(message.get("usage")))
            case "message_delta":
                self._usage.update(_told(given))
                reason = an_object(given.get("delta")).get("stop_reason")
                return self._chunks.delta({}, FINISH.get(text(reason), "stop"))
            case "message_stop":
                return self._chunks.end(to_usage(self._usage))
            case "error":
                raise _broken(given)
            case _:  # `ping`, and what is yet to be invented: clients must ignore it
                pass
        return b""

    def _block(self, block: Object) -> bytes:
        match block.get("type"):
            case "tool_use":
                return self._chunks.call(block.get("id"), block.get("name"))
            case "text" if block.get("text"):
                return self._chunks.delta({"content": block["text"]})
            case _:
                return b""

    def _delta(self, delta: Object) -> bytes:
        match delta.get("type"):
            case "text_delta":
                return self._chunks.delta({"content": text(delta.get("text"))})
            case "input_json_delta":
                return self._chunks.arguments(text(delta.get("partial_json")))
            case "thinking_delta":
                return self._chunks.delta({"reasoning_content": text(delta.get("thinking"))})
            case _:
                return b""


class NativeStream:
    """A streamed answer for a client that speaks the Messages API itself: the same events, held back like those above."""

    def __init__(self) -> None:
        self._events = Events()
        self._held: list[bytes] | None = []
        self._usage: dict[str, Any] = {}
        self._over = False
        self.unsaid = b""
        """See `StreamTranslator`."""

    def feed(self, data: bytes) -> bytes:
        """See `StreamTranslator`."""
        said: list[bytes] = []
        for found in self._events.feed(data):
            given = _parsed(found)
            kind = text(given.get("type"))
            if kind == "error":
                raise _broken(given)
            match kind:
                case "message_start":
                    self._usage.update(an_object(an_object(given.get("message")).get("usage")))
                case "message_delta":
                    self._usage.update(_told(given))
                case "message_stop":
                    self._over = True
                    self.unsaid = orjson.dumps({"usage": to_usage(self._usage)})
                case _:
                    pass
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


def _told(given: Object) -> Object:
    return {k: v for k, v in an_object(given.get("usage")).items() if v is not None}


def _call(block: Object) -> dict[str, Any]:
    arguments = orjson.dumps(block.get("input") or {}).decode()
    return {"id": block.get("id"), "type": "function", "function": {"name": block.get("name"), "arguments": arguments}}


def _parsed(data: bytes) -> Object:
    try:
        return an_object(orjson.loads(data))
    except orjson.JSONDecodeError:
        raise UpstreamError("protocol", "answered with something that is not JSON") from None
