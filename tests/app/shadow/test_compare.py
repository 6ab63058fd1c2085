"""What is read of answers, and how two compare."""

import json
from typing import Any

import pytest
from tests.app import fake_upstream as fake

from slipway_router.shadow.compare import compare, is_json, similarity, wants_json
from slipway_router.shadow.reading import SLICE_BYTES, Reading, read

JSON = [(b"content-type", b"application/json")]
SSE = [(b"content-type", b"text/event-stream; charset=utf-8")]


def said(text: str, **more: Any) -> Reading:
    return Reading(status=200, text=text, finish_reason="stop", understood=True, **more)


async def reading(body: bytes, *, stream: bool = False, piece: int = 10**9) -> Reading:
    into = Reading(200)
    await read([body[i : i + piece] for i in range(0, len(body), piece)], SSE if stream else JSON, into)
    return into


async def test_a_whole_answer_is_read() -> None:
    found = await reading(fake.completion("hello"))
    assert (found.text, found.finish_reason, found.prompt_tokens, found.answer_tokens) == ("hello", "stop", 32, 64)
    assert found.understood


@pytest.mark.parametrize("piece", [1, 7, 10**9])
async def test_a_stream_is_read_however_it_is_cut(piece: int) -> None:
    calls: list[dict[str, Any]] = [
        {"index": 0, "function": {"name": "look_up", "arguments": ""}},
        {"index": 0, "function": {"arguments": "{}"}},
        {"index": 1, "function": {"name": "send", "arguments": "{}"}},
    ]
    parts = [b'data: {"choices":[{"index":0,"delta":{"tool_calls":[%b]}}]}\n\n' % json.dumps(c).encode() for c in calls]
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
    body = b"".join([fake.event("hel"), fake.event("lo"), *parts, fake.event("", "tool_calls"), usage, fake.DONE])
    found = await reading(body, stream=True, piece=piece)
    assert (found.text, found.tools, found.finish_reason) == ("hello", {0: "look_up", 1: "send"}, "tool_calls")
    assert (found.prompt_tokens, found.answer_tokens) == (3, 2)


async def test_a_text_completion_and_only_the_first_choice() -> None:
    body = b'{"choices":[{"index":0,"text":"one","finish_reason":"length"},{"index":1,"text":"two","finish_reason":"stop"}]}'
    found = await reading(body)
    assert (found.text, found.finish_reason) == ("one", "length")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"type":"message","content":[]}', b'{"choices":[7]}', b'{"choices":{}}']
)
async def test_what_has_another_shape_is_not_understood(body: bytes) -> None:
    assert not (await reading(body)).understood


async def test_a_long_stream_lets_others_have_their_turn() -> None:
    body = b"".join([fake.event("word ")] * (4 * SLICE_BYTES // len(fake.event("word "))))
    found = await reading(body, stream=True)
    assert found.text.startswith("word word")


async def test_an_endless_event_is_given_up() -> None:
    found = await reading(fake.event("a") + b"data: " + b"x" * 5_000_000, stream=True)
    assert not found.understood


@pytest.mark.parametrize(
    ("one", "other", "json_asked", "verdicts"),
    [
        (said("a b"), said(" a b\n"), False, {"status": "same", "text": "same", "finish_reason": "same"}),
        (said("a"), said("b"), False, {"status": "same", "text": "different", "finish_reason": "same"}),
        (said("{}"), said("no"), True, {"status": "same", "text": "different", "finish_reason": "same", "json": "worse"}),
        (said("{"), said("[1]"), True, {"status": "same", "text": "different", "finish_reason": "same", "json": "better"}),
        (
            said("", tools={0: "x", 1: "y"}),
            said("", tools={0: "y", 1: "x"}),
            False,
            {"status": "same", "text": "same", "finish_reason": "same", "tool_calls": "same"},
        ),
        (
            said("", tools={0: "x"}),
            said("hi"),
            False,
            {"status": "same", "text": "different", "finish_reason": "same", "tool_calls": "different"},
        ),
        (said("a"), Reading(status=400), False, {"status": "worse"}),
        (Reading(status=400), said("a"), False, {"status": "better"}),
        (Reading(status=400), Reading(status=422), False, {"status": "same"}),
        (said("a"), Reading(status=200), False, {"status": "same"}),
    ],
)
def test_verdicts(one: Reading, other: Reading, json_asked: bool, verdicts: dict[str, str]) -> None:
    assert compare(one, other, json_asked=json_asked).verdicts == verdicts


def test_another_end_is_told() -> None:
    cut = Reading(status=200, text="a", finish_reason="length", understood=True)
    assert compare(said("a"), cut, json_asked=False).verdicts["finish_reason"] == "different"


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [("a b c", "a b c", 1.0), ("The sky", "the SKY", 1.0), ("a a b", "a c", 0.4), ("a", "b", 0.0), (" ", "\n", 1.0)],
)
def test_similarity_is_the_share_of_words_in_common(one: str, other: str, share: float) -> None:
    assert similarity(one, other) == pytest.approx(share)


def test_nothing_said_has_no_similarity() -> None:
    assert compare(said(""), said("a"), json_asked=False).similarity is None


def test_what_asks_for_json() -> None:
    assert wants_json({"response_format": {"type": "json_schema"}})
    assert not wants_json({"response_format": {"type": "text"}})
    assert not wants_json({"response_format": None})
    assert is_json("[1]")
    assert not is_json("```json\n[1]\n```")
