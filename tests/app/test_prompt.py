"""What of a request is looked at to choose a replica."""

from typing import Any

import orjson
import pytest

from slipway_router.prompt import Prompt
from slipway_router.request import parse
from slipway_router.schema import Task

BLOCK = 64
LONG = "a text of some length, " * 40


def blocks(task: Task = "chat", most: int = 1_000_000, **fields: Any) -> list[int]:
    return list(Prompt(parse(task, orjson.dumps(fields)), most).blocks(BLOCK))


def chat(*said: Any, **fields: Any) -> list[int]:
    return blocks(messages=[{"role": "user", "content": s} for s in said], **fields)


def shared(one: list[int], other: list[int]) -> int:
    return sum(a == b for a, b in zip(one, other, strict=False))


def test_the_next_turn_begins_as_the_last_one() -> None:
    last, now = chat(LONG), chat(LONG, LONG, "and now?")
    assert shared(last, now) >= len(last) - 1
    assert len(now) > len(last) + 10


def test_what_is_no_part_of_the_prompt_changes_nothing() -> None:
    assert chat(LONG) == chat(LONG, temperature=1, model="other", stream=True, user="me")


def test_tools_come_before_the_conversation() -> None:
    tools = [{"type": "function", "function": {"name": "look", "description": LONG}}]
    assert shared(chat(LONG), chat(LONG, tools=tools)) == 0
    assert shared(chat("one", tools=tools), chat("two", tools=tools)) > 10


def test_a_salt_of_the_engines_cache_keeps_prompts_apart() -> None:
    assert shared(chat(LONG, cache_salt="a"), chat(LONG, cache_salt="b")) == 0


def test_an_image_is_as_long_as_its_digest_and_tells_prompts_apart() -> None:
    def seen(pixel: str) -> list[Any]:
        text = {"type": "text", "text": LONG}
        return [text, {"type": "image_url", "image_url": {"url": "data:" + pixel * 100_000}}, text]

    one, other = chat(seen("a")), chat(seen("b"))
    assert len(one) == len(other) < 40
    assert 10 < shared(one, other) < 20
    assert chat(seen("a")) == one


@pytest.mark.parametrize(
    ("task", "field"),
    [("completions", LONG), ("completions", [1, 2, 3] * 100), ("completions", [LONG, LONG]), ("embeddings", LONG)],
)
def test_texts_and_tokens_have_blocks_too(task: Task, field: Any) -> None:
    name = "prompt" if task == "completions" else "input"
    assert len(blocks(task, **{name: field})) > 5


def test_no_more_is_looked_at_than_fits_but_the_length_is_told() -> None:
    asked = parse("completions", orjson.dumps({"prompt": "x" * 4000}))
    prompt = Prompt(asked, 640)
    assert len(prompt.blocks(BLOCK)) == 10
    assert prompt.tokens == 1000
    assert len(prompt.blocks(32)) == 20
