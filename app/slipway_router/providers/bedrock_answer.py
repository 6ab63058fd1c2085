"""What Amazon Bedrock's Converse API answers, said as a chat completion.

After "Converse" and "ConverseStream" in Amazon Bedrock Runtime's API reference.
"""

from typing import Any

import orjson

from slipway_router.answer import UpstreamError
from slipway_router.providers import aws
from slipway_router.providers.chunks import Chunks, envelope
from slipway_router.providers.shapes import Object, an_object, count, objects, text

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
"""`stopReason` and its `finish_reason`."""
_MALFORMED = frozenset({"malformed_model_output", "malformed_tool_use"})


def to_completion(body: bytes, identity: str, model: str) -> bytes:
    """A whole answer.

    Reasoning is given as `reasoning_content`, as vLLM, SGLang and DeepSeek do.

    Args:
        body: The answer.
        identity: What it is to be known by; Converse gives it no name.
        model: The model that was asked.

    Raises:
        UpstreamError: 'protocol' when it is no message, or the service calls it malformed.
    """
    given = aws.parsed(body)
    content = an_object(an_object(given.get("output")).get("message")).get("content")
    if not isinstance(content, list):
        raise UpstreamError("protocol", "answered with something that is no message")
    blocks = objects(content)  # pyright: ignore[reportUnknownArgumentType] -- JSON
    said = "".join(text(b.get("text")) + _cited(b) for b in blocks)
    thought = "".join(text(an_object(an_object(b.get("reasoningContent")).get("reasoningText")).get("text")) for b in blocks)
    calls = [_call(an_object(b["toolUse"])) for b in blocks if "toolUse" in b]
    message: dict[str, Any] = {"role": "assistant", "content": said or (None if calls else ""), "refusal": None}
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(given)}
    answer = envelope("chat.completion", identity, model)
    return orjson.dumps({**answer, "choices": [choice], "usage": to_usage(an_object(given.get("usage")))})


def to_usage(usage: Object) -> dict[str, Any]:
    """Counts of tokens. Converse's `inputTokens` leaves out what was read from the cache or written to it."""
    cached = count(usage.get("cacheReadInputTokens"))
    prompt = count(usage.get("inputTokens")) + cached + count(usage.get("cacheWriteInputTokens"))
    answer = count(usage.get("outputTokens"))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def to_error(status: int, kind: str, body: bytes) -> tuple[int, bytes]:
    """Status and body in OpenAI's shape; the exception's name is the code.

    Raises:
        UpstreamError: 'not_found' when there is no such model here.
    """
    said = aws.said_of(body)
    if kind in aws.THROTTLED or kind == "ServiceQuotaExceededException":
        status, said = 429, said or "Bedrock throttles this account."
    elif kind == "ModelNotReadyException":
        status, said = 503, "The model is not ready."
    elif kind == "ModelErrorException":
        told = count(aws.parsed(body).get("originalStatusCode"))
        status = told if 400 <= told <= 599 else 500
    elif kind == "ValidationException" and "model identifier" in said:
        raise UpstreamError("not_found", f"answered {status} ({kind})")
    return status, aws.an_error(status, kind, said or f"Bedrock answered {status} without a reason.")


class ConverseStream:
    """A streamed answer.

    Nothing is said before the first content, so that a stream which fails at once can still be asked for elsewhere.
    """

    def __init__(self, identity: str, model: str, *, include_usage: bool) -> None:
        """
        Args:
            identity: What the answer is to be known by.
            model: The model that was asked.
            include_usage: Whether the client asked for the usage (`stream_options.include_usage`).
        """
        self._frames = aws.EventFrames()
        self._chunks = Chunks(include_usage=include_usage)
        self._chunks.begin(identity, model)
        self._stopped = False

    @property
    def unsaid(self) -> bytes:
        """See `StreamTranslator`."""
        return self._chunks.unsaid

    def feed(self, data: bytes) -> bytes:
        """See `StreamTranslator`."""
        return b"".join([self._said(kind, payload) for kind, payload in self._frames.feed(data)])

    def end(self) -> bytes:
        """See `StreamTranslator`."""
        if not self._stopped:
            raise UpstreamError("reset", "ended its stream in the middle of its answer")
        return b"" if self._chunks.over else self._chunks.end(to_usage({}))

    def _said(self, kind: str, payload: bytes) -> bytes:
        given = _event(payload)
        match kind:
            case "contentBlockDelta":
                return self._delta(an_object(given.get("delta")))
            case "contentBlockStart":
                call = an_object(an_object(given.get("start")).get("toolUse"))
                return self._chunks.call(call.get("toolUseId"), call.get("name")) if call else b""
            case "contentBlockStop":
                return self._chunks.end_block()
            case "messageStop":
                self._stopped = True
                return self._chunks.delta({}, _finish(given))
            case "metadata":
                return self._chunks.end(to_usage(an_object(given.get("usage"))))
            case _:  # `messageStart`, and what is yet to be invented
                return b""

    def _delta(self, delta: Object) -> bytes:
        if said := text(delta.get("text")):
            return self._chunks.delta({"content": said})
        if part := text(an_object(delta.get("toolUse")).get("input")):
            return self._chunks.arguments(part)
        if thought := text(an_object(delta.get("reasoningContent")).get("text")):
            return self._chunks.delta({"reasoning_content": thought})
        return b""


def _finish(given: Object) -> str:
    reason = text(given.get("stopReason"))
    if reason in _MALFORMED:
        raise UpstreamError("protocol", f"gave up an answer of its model ({reason})")
    return FINISH.get(reason, "stop")


def _event(payload: bytes) -> Object:
    try:
        return an_object(orjson.loads(payload))
    except orjson.JSONDecodeError:
        raise UpstreamError("protocol", "answered with something that is not JSON") from None


def _cited(block: Object) -> str:
    return "".join(text(c.get("text")) for c in objects(an_object(block.get("citationsContent")).get("content")))


def _call(block: Object) -> dict[str, Any]:
    arguments = orjson.dumps(block.get("input") or {}).decode()
    function = {"name": block.get("name"), "arguments": arguments}
    return {"id": block.get("toolUseId"), "type": "function", "function": function}
