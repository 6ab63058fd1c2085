"""OpenAI's chat completions on loopback: requests are held against the SDK's types, answers are made of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import orjson
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming, CompletionCreateParamsStreaming
from pydantic import TypeAdapter, ValidationError
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import DONE, Behaviour, Exit

USAGE: Mapping[str, Any] = {
    "prompt_tokens": 12,
    "completion_tokens": 7,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 4},
}
_WHOLE = TypeAdapter[Any](CompletionCreateParamsNonStreaming)
_STREAMED = TypeAdapter[Any](CompletionCreateParamsStreaming)


def completion(finish: str = "stop", **message: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, "logprobs": None}
    made = {"id": "c1", "object": "chat.completion", "created": 1, "model": "mock", "choices": [choice], "usage": USAGE}
    ChatCompletion.model_validate(made)
    return orjson.dumps(made)


def chunks(*deltas: Mapping[str, Any], finish: str | None = "stop") -> list[bytes]:
    """A stream as OpenAI sends it where the usage is asked for, without its end where `finish` is None."""
    envelope = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "mock"}
    shown: list[tuple[Mapping[str, Any], str | None]] = [({"role": "assistant", "content": ""}, None)]
    shown += [(d, None) for d in deltas]
    if finish is not None:
        shown.append(({}, finish))
    made: list[dict[str, Any]] = [
        {**envelope, "choices": [{"index": 0, "delta": d, "finish_reason": f}], "usage": None} for d, f in shown
    ]
    if finish is not None:
        made.append({**envelope, "choices": [], "usage": USAGE})
    for one in made:
        ChatCompletionChunk.model_validate(one)
    told = [b"data: " + orjson.dumps(m) + b"\n\n" for m in made]
    return [*told, DONE] if finish is not None else told


def api(whole: bytes, streamed: Sequence[bytes], *, check: Callable[[Any], None] = lambda _: None) -> Behaviour:
    """Answers a right request; a wrong one gets OpenAI's own kind of error."""

    async def behave(out: Exit) -> None:
        body = out.got.json
        check(body)
        assert out.got.path == "/v1/chat/completions"
        refused = refusal(body)
        if refused is not None:
            await fake.whole(refused, "400 Bad Request")(out)
            return
        await (fake.stream(events=list(streamed)) if body.get("stream") else fake.whole(whole))(out)

    return behave


def refusal(body: Any) -> bytes | None:
    """OpenAI's own kind of error where this is no chat completion that it would take."""
    try:
        _exhaust((_STREAMED if body.get("stream") else _WHOLE).validate_python(body))
    except ValidationError as wrong:
        first = wrong.errors()[0]
        error = {"message": f"{first['loc']}: {first['msg']}", "type": "invalid_request_error", "param": None, "code": None}
        return orjson.dumps({"error": error})
    return None


def _exhaust(value: Any) -> None:
    """Read pydantic's lazy lists to their ends: they are checked while they are read."""
    if isinstance(value, dict):
        for part in cast("dict[str, Any]", value).values():
            _exhaust(part)
    elif hasattr(value, "__iter__") and not isinstance(value, str):
        for part in value:
            _exhaust(part)
