"""Endpoints side by side, on model servers whose delays are known."""

import asyncio
import time
from typing import Any

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Exit
from tests.app.serving import upstream

from slipway.endpoint_bench import Endpoint, Load, Result, TokenPrice, compare
from slipway_router.bench.asking import Outcome
from slipway_router.bench.load import Measured

USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 40, "completion_tokens": 8}}\n\n'


def load(**more: Any) -> Load:
    given: dict[str, Any] = {
        "requests": 12, "concurrency": 2, "prompt_tokens": 20, "answer_tokens": 8, "rounds": 3, "warm_up": 2,
        "timeout": 10, "seconds": 20,
    }  # fmt: skip
    return Load(**{**given, **more})


def slow(first: float, between: float) -> fake.Behaviour:
    """Four tokens: the first after a time, each other after another."""

    async def behave(out: Exit) -> None:
        await out.write(fake.head("200 OK", fake.SSE, "Transfer-Encoding: chunked"))
        await asyncio.sleep(first)
        for i in range(4):
            await asyncio.sleep(between if i else 0)
            await out.write(fake.chunk(fake.event(f"t{i}")))
        for last in (USAGE, fake.DONE):
            await out.write(fake.chunk(last))
        await out.write(b"0\r\n\r\n")

    return behave


async def test_the_figures_are_those_of_the_servers() -> None:
    async with upstream(slow(0.05, 0.02)) as quick, upstream(slow(0.15, 0.04)) as slower:
        endpoints = [Endpoint(n, u.url, "m", usd_per_hour=3.6) for n, u in (("quick", quick), ("slower", slower))]
        quick_result, slow_result = await compare(endpoints, load(), asyncio.Event())
    first, second = quick_result.told(), slow_result.told()
    for told, first_token, total in ((first, 50, 110), (second, 150, 270)):
        assert (told["requests"], told["failures"], told["output_tokens"]) == (12, 0, 96)
        # A timer never ends early; a busy machine adds some.
        for share in ("p50", "p95", "p99"):
            assert first_token <= told["time_to_first_token_ms"][share] < first_token * 2.2
            assert total <= told["total_ms"][share] < total * 2.2
        assert all(total <= v < total * 2.2 for v in told["median_ms_by_round"])
        assert len(told["median_ms_by_round"]) == 3
        # Two at a time: 12 requests take 6 totals.
        assert told["requests_per_second"] == pytest.approx(2000 / told["total_ms"]["p50"], rel=0.35)
        # 3.60 an hour is 0.001 a second.
        assert told["usd_per_1000_requests"] == pytest.approx(1 / told["requests_per_second"], rel=0.01)
        assert told["usd_per_million_output_tokens"] == pytest.approx(told["usd_per_1000_requests"] * 1000 / 8, rel=0.01)
    assert second["total_ms"]["p50"] / first["total_ms"]["p50"] == pytest.approx(270 / 110, rel=0.35)


async def test_endpoints_take_turns_and_who_begins_changes() -> None:
    turns: list[str] = []

    def noting(name: str) -> fake.Behaviour:
        async def behave(out: Exit) -> None:
            turns.append(name)
            await slow(0.0, 0.0)(out)

        return behave

    said: list[str] = []
    async with upstream(noting("a")) as one, upstream(noting("b")) as two:
        endpoints = [Endpoint("a", one.url, "m"), Endpoint("b", two.url, "m")]
        results = await compare(endpoints, load(requests=5, concurrency=1, rounds=2, warm_up=1), asyncio.Event(), said.append)
    assert "".join(turns) == "abaaabbbbbaa"
    assert said == ["round 1 of 2: a", "round 1 of 2: b", "round 2 of 2: b", "round 2 of 2: a"]
    # Warming up counts nowhere.
    assert [len(r.whole.outcomes) for r in results] == [5, 5]
    assert [[len(m.outcomes) for m in r.rounds] for r in results] == [[3, 2], [3, 2]]


async def test_stopped_early_it_tells_what_came_until_then() -> None:
    stop = asyncio.Event()
    async with upstream(slow(0.02, 0.0)) as up:
        endpoints = [Endpoint(n, up.url, "m") for n in ("a", "b")]
        began = time.perf_counter()
        asyncio.get_running_loop().call_later(0.3, stop.set)
        results = await compare(endpoints, load(requests=100_000, rounds=1, warm_up=0), stop)
        assert time.perf_counter() - began < 5
    assert results[0].whole.outcomes
    assert results[1].rounds == []
    assert results[1].told()["requests"] == 0
    assert results[1].cost() is None


def result(*outcomes: Outcome, seconds: float = 10.0, **price: Any) -> Result:
    return Result(Endpoint("x", "http://x/v1", "m", **price), [Measured(list(outcomes), seconds)])


GOOD = Outcome(1.0, 0.5, 1.0, tokens=50, prompt_tokens=200)


def test_cost_by_the_hour_is_shared_by_what_was_answered() -> None:
    # 10 s of 36 an hour are 0.1; 4 answers with 50 tokens each. What failed has cost, and brought nothing.
    told = result(GOOD, GOOD, GOOD, GOOD, Outcome(1.0, cause="timeout"), usd_per_hour=36.0)
    assert told.cost() == (pytest.approx(25.0), pytest.approx(500.0))


def test_cost_by_the_token_counts_prompts_too() -> None:
    # 200 x 0.15 / 1e6 + 50 x 0.60 / 1e6 = 0.00006
    told = result(GOOD, GOOD, tokens=TokenPrice(0.15, 0.60))
    assert told.cost() == (pytest.approx(0.06), pytest.approx(1.2))


@pytest.mark.parametrize(
    "told",
    [
        result(GOOD),
        result(usd_per_hour=1.0),
        result(Outcome(1.0, cause="timeout"), usd_per_hour=1.0),
        # A server that does not tell how long prompts were cannot be priced by the token.
        result(Outcome(1.0, 0.5, 1.0, tokens=50), tokens=TokenPrice(1, 1)),
    ],
)
def test_an_unknown_cost_is_none(told: Result) -> None:
    assert told.cost() is None
    assert told.told()["usd_per_1000_requests"] is None


def test_a_key_is_not_shown() -> None:
    assert "sk-secret" not in repr(Endpoint("x", "http://x/v1", "m", key="sk-secret"))
