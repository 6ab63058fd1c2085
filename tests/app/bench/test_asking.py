"""One request of the load generator, against fake model servers and a real router."""

import asyncio
import json
from time import perf_counter
from typing import Any

import pytest
from pydantic import ValidationError
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour, FakeUpstream
from tests.app.serving import backend, serving, upstream

from slipway_router.bench.asking import Asker, Outcome, prompt
from slipway_router.bench.traffic import Arrival

REQUEST = Arrival(0.0, 10, 3)
USAGE = b'data: {"choices":[],"usage":{"completion_tokens":9}}\n\n'
ERROR = b'data: {"error":{"message":"out of memory","type":"server_error"}}\n\n'


async def ask(up: FakeUpstream | str, key: str | None = None, seconds: float = 10, **extra: Any) -> Outcome:
    asker = Asker(up if isinstance(up, str) else up.url, "mock", key=key, timeout=seconds, extra=extra)
    try:
        return await asker.ask(REQUEST, perf_counter())
    finally:
        asker.close()


def test_a_prompt_has_about_four_characters_a_token() -> None:
    assert [len(prompt(n)) for n in (1, 10, 500)] == [4, 40, 2000]
    assert [len(prompt(n, "run-1")) for n in (1, 10, 500)] == [4, 40, 2000]
    assert prompt(10, "run-1").startswith("run-1 the model")


async def test_times_and_tokens_are_those_of_the_stream() -> None:
    async with upstream(fake.stream("a", "b", "c", delay=0.05)) as up:
        outcome = await ask(up)
    assert (outcome.cause, outcome.tokens) == (None, 3)
    assert outcome.first_token is not None
    assert outcome.last_token is not None
    assert 0.045 < outcome.first_token < outcome.last_token < outcome.total
    assert outcome.per_token is not None
    assert outcome.per_token == pytest.approx((outcome.last_token - outcome.first_token) / 2)
    assert outcome.per_token > 0.04


async def test_times_count_from_when_a_request_was_due() -> None:
    async with upstream(fake.stream("a")) as up:
        asker = Asker(up.url, "mock", key=None, timeout=10, extra={})
        outcome = await asker.ask(REQUEST, perf_counter() - 5)
        asker.close()
    assert outcome.first_token is not None
    assert 5 < outcome.first_token < outcome.total


async def test_the_tokens_that_usage_tells_count_more_than_events() -> None:
    async with upstream(fake.stream(events=[fake.event("a"), fake.event("b"), USAGE, fake.DONE])) as up:
        assert (await ask(up)).tokens == 9


def test_one_token_has_no_time_per_token() -> None:
    assert Outcome(1.0, 0.5, 0.5, 1).per_token is None
    assert Outcome(1.0).per_token is None


async def test_the_body_is_that_of_a_streamed_chat_completion_and_can_be_changed() -> None:
    async with upstream(fake.stream("a")) as up:
        await ask(up)
        await ask(up, ignore_eos=True, stream_options=None)
    plain, changed = (got.json for got in up.posts)
    assert up.posts[0].path == "/v1/chat/completions"
    told = {k: plain[k] for k in ("model", "max_tokens", "stream", "stream_options")}
    assert told == {"model": "mock", "max_tokens": 3, "stream": True, "stream_options": {"include_usage": True}}
    assert [len(m["content"]) for m in plain["messages"]] == [40]
    assert changed["ignore_eos"] is True
    assert "stream_options" not in changed


async def test_every_prompt_begins_differently() -> None:
    async with upstream(fake.stream("a")) as up:
        asker = Asker(up.url, "mock", key=None, timeout=10, extra={})
        for _ in range(3):
            await asker.ask(Arrival(0.0, 100, 1), perf_counter())
        asker.close()
        await ask(up)
    begins = {got.json["messages"][0]["content"].split()[0] for got in up.posts}
    assert len(begins) == 4
    assert up.connections == 2  # kept between requests


async def test_prompts_of_a_trace_are_alike_as_far_as_its_blocks_are() -> None:
    async with upstream(fake.stream("a")) as up:
        asker = Asker(up.url, "mock", key=None, timeout=10, extra={})
        for blocks in ((0, 1, 2), (0, 1, 3), (4, 1, 2)):
            await asker.ask(Arrival(0.0, 25, 1, blocks, 10), perf_counter())
        asker.close()
    first, second, third = (got.json["messages"][0]["content"] for got in up.posts)
    assert len(first) == 100
    assert first[:80] == second[:80]
    assert first[:40] != third[:40]
    assert first[40:] == third[40:]
    assert first[80:] != second[80:]


@pytest.mark.parametrize(
    ("behaviour", "cause", "said"),
    [
        (fake.failing(), "status 500", "it is me"),
        (fake.failing("429 Too Many Requests"), "status 429", "it is me"),
        (fake.whole(b"<html>no</html>", "404 Not Found"), "status 404", "<html>no</html>"),
        (fake.cut_stream(fake.event("a")), "reset", "closed the connection in the middle of its answer"),
        (fake.stream(events=[fake.event("a")]), "unfinished", "the stream ended without [DONE]"),
        (fake.stream(events=[fake.DONE]), "empty", "the stream had no token"),
        (fake.stream(events=[fake.event("a"), ERROR, fake.DONE]), "in the stream", "out of memory"),
        (fake.stream(events=[b"data: {\n\n", fake.DONE]), "protocol", "no JSON object"),
        (fake.hang, "timeout", "the server"),
        (fake.garbage, "protocol", "malformed HTTP"),
        (fake.whole(), "unfinished", "without [DONE]"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
async def test_what_is_no_whole_answer_is_a_failure_with_its_cause(behaviour: Behaviour, cause: str, said: str) -> None:
    async with upstream(behaviour) as up:
        outcome = await ask(up, seconds=0.5)
    assert outcome.cause == cause
    assert said in outcome.detail


async def test_nobody_there_is_a_failure_too() -> None:
    outcome = await ask("http://127.0.0.1:1/v1")
    assert (outcome.cause, outcome.first_token) == ("connect", None)


async def test_the_key_is_sent_and_taken_out_of_what_a_server_repeats() -> None:
    body = json.dumps({"error": {"message": "wrong key sk-secret"}}).encode()
    async with upstream(fake.whole(body, "401 Unauthorized")) as up:
        outcome = await ask(up, key="sk-secret")
    assert up.posts[0].headers["authorization"] == "Bearer sk-secret"
    assert outcome.detail == "wrong key [key]"


async def test_it_asks_a_router() -> None:
    async with upstream(fake.stream("a", "b")) as up, serving(backend(up)) as served:
        outcome = await ask(f"{served.url}/v1")
    assert (outcome.cause, outcome.tokens) == (None, 2)


async def test_a_request_that_is_cancelled_leaves_no_connection() -> None:
    async with upstream(fake.hang_after_head) as up:
        asker = Asker(up.url, "mock", key=None, timeout=10, extra={})
        asking = asyncio.ensure_future(asker.ask(REQUEST, perf_counter()))
        await up.asked()
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(up.gone.wait(), 5)
        assert up.open == 0


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="give http://HOST:PORT/v1"):
        Asker("ftp://h", "mock", key=None, timeout=1, extra={})
