"""Whatever JSON comes, from a client or from a backend: an error of ours with its name, or an answer, and nothing else."""

import copy
import random
from collections.abc import Callable
from typing import Any, cast

import orjson
import pytest
from tests.app.messages import fake_openai as gpt
from tests.app.providers import fake_anthropic as claude

from slipway_router.answer import UpstreamError
from slipway_router.asgi import ApiError
from slipway_router.messages.answer import MessageStream, to_message
from slipway_router.messages.request import understood
from slipway_router.providers import sagemaker, vertex
from slipway_router.providers.anthropic_answer import CompletionStream, NativeStream, to_completion, to_error
from slipway_router.providers.anthropic_request import to_messages

ODD: list[Any] = [None, True, -1, 0, 1.5, 2**63 - 1, "", "x", "[]", [], {}, [None], [[]], {"": {}}, {"type": []}, "é" * 50]
ROUNDS = 500

CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [
            {"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
            {"type": "file", "file": {"filename": "f", "file_data": "data:a/b;base64,AA"}}]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "r"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"schema": {}}},
    "temperature": 0.5, "stop": ["x"], "max_tokens": 5, "reasoning_effort": "low", "user": "u", "stream_options": {},
}  # fmt: skip
MESSAGES: dict[str, Any] = {
    "model": "m", "max_tokens": 5, "system": [{"type": "text", "text": "s"}], "stream": True,
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "a"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
            {"type": "document", "source": {"type": "text", "data": "d"}}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "r"}]}]},
    ],
    "tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "tool", "name": "f"},
    "metadata": {"user_id": "u"}, "output_config": {"format": {"type": "json_schema", "schema": {}}, "effort": "low"},
}  # fmt: skip
ANSWER = claude.message(
    {"type": "thinking", "thinking": "t", "signature": "s"}, claude.text("a"), claude.tool_use("1", "f", {"a": 1})
)
COMPLETION: Any = orjson.loads(gpt.completion(content="a", tool_calls=[
    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}], reasoning="t"))  # fmt: skip


def mutated(document: Any, dice: random.Random) -> Any:
    """The document with one to three of its parts replaced or taken away."""
    document = copy.deepcopy(document)
    for _ in range(dice.randint(1, 3)):
        places: list[tuple[Any, Any]] = []
        _collect(document, places)
        if not places:
            break
        node, key = dice.choice(places)
        if dice.random() < 0.2 and isinstance(node, dict):
            del node[key]
        else:
            node[key] = copy.deepcopy(dice.choice(ODD))
    return document


def _collect(node: Any, places: list[tuple[Any, Any]]) -> None:
    keys: list[Any] | range = []
    if isinstance(node, dict):
        keys = list(cast("dict[str, Any]", node))
    elif isinstance(node, list):
        keys = range(len(cast("list[Any]", node)))
    inside = cast("Any", node)
    for key in keys:
        places.append((inside, key))
        _collect(inside[key], places)


def streamed(make: Callable[[], Any], events: list[Any]) -> None:
    stream = make()
    for event in events:
        stream.feed(b"data: " + orjson.dumps(event) + b"\n\n")
    stream.end()


def parsed(events: list[bytes]) -> list[Any]:
    return [orjson.loads(e.partition(b"data: ")[2]) for e in events if b"[DONE]" not in e]


CLAUDE_EVENTS = parsed(claude.events(ANSWER))
GPT_EVENTS = parsed(
    gpt.chunks(
        {"reasoning": "t"},
        {"content": "a"},
        {"tool_calls": [{"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": "{"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]},
    )
)
CASES: list[tuple[str, Any, Callable[[Any], object]]] = [
    ("chat to messages", CHAT, lambda d: to_messages(d if isinstance(d, dict) else {}, "m", 1)),  # pyright: ignore[reportUnknownArgumentType] -- JSON
    ("messages to chat", MESSAGES, lambda d: understood(orjson.dumps(d))),
    ("message to completion", ANSWER, lambda d: to_completion(orjson.dumps(d))),
    ("anthropic's error", orjson.loads(claude.error("a", "b")), lambda d: to_error(400, orjson.dumps(d))),
    ("google's error", [{"error": {"message": "m", "status": "S"}}], lambda d: vertex.to_error(400, orjson.dumps(d))),
    (
        "aws's error",
        {"OriginalStatusCode": 400, "OriginalMessage": "m"},
        lambda d: sagemaker.to_error(424, "ModelError", orjson.dumps(d)),
    ),
    ("completion to message", COMPLETION, lambda d: to_message(orjson.dumps(d))),
    ("anthropic's stream", CLAUDE_EVENTS, lambda d: streamed(lambda: CompletionStream(include_usage=True), d)),
    ("anthropic's own stream", CLAUDE_EVENTS, lambda d: streamed(NativeStream, d)),
    ("openai's stream", GPT_EVENTS, lambda d: streamed(MessageStream, d)),
]


@pytest.mark.parametrize(("document", "do"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_nothing_but_errors_of_ours(document: Any, do: Callable[[Any], object]) -> None:
    dice = random.Random(20261122)
    do(document)
    told = 0
    for _ in range(ROUNDS):
        odd = mutated(document, dice)
        try:
            do(odd)
        except (UpstreamError, ApiError):
            told += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} {error} on {orjson.dumps(odd)!r}") from error
    assert told < ROUNDS
