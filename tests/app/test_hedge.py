"""Hedging: when an answer is late, and what a second request beside it costs and wins."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import DONE, FakeUpstream, event
from tests.app.serving import Served, backend, serving, upstream

from slipway_router.hedge import FirstBytes
from slipway_router.steadiness import Hedging


def test_late_is_the_percentile_of_the_newest() -> None:
    times = FirstBytes(Hedging(percentile=0.9, least_seconds=0))
    for i in range(19):
        times.add(i)
        assert times.late_after is None
    times.add(19)
    assert times.late_after == 18
    for _ in range(144):
        times.add(0.5)
    assert times.late_after == 0.5


def test_never_before_the_least() -> None:
    times = FirstBytes(Hedging(least_seconds=2))
    for _ in range(20):
        times.add(0.001)
    assert times.late_after == 2


@asynccontextmanager
async def hedging(slow: FakeUpstream, well: FakeUpstream, late: float = 0.05, **settings: Any) -> AsyncGenerator[Served]:
    """Two backends; the first counts as late after so many seconds."""
    one, two = backend(slow), backend(well, "two")
    async with serving(one, two, hedging={"least_seconds": late}, **settings) as served:
        known = served.router.targets["one"].first_bytes
        assert known is not None
        for times in known.values():
            for _ in range(20):
                times.add(0.001)
        yield served


async def slowly(out: fake.Exit) -> None:
    await asyncio.sleep(0.3)
    await fake.whole(fake.completion("slow"))(out)


@pytest.mark.parametrize(
    ("behaviour", "stream"),
    [(fake.hang, False), (fake.hang, True), (fake.hang_after_head, True)],
    ids=["whole", "stream", "stream_after_head"],
)
async def test_the_second_answers_and_the_first_is_given_up(behaviour: fake.Behaviour, stream: bool) -> None:
    good = fake.stream("a") if stream else fake.whole()
    async with upstream(behaviour) as slow, upstream(good) as well, hedging(slow, well) as served:
        answer = await served.chat(stream=stream)
        await asyncio.wait_for(slow.gone.wait(), 2)
        metrics = (await served.client.get("/metrics")).text
        flights = [t.in_flight for t in served.router.targets.values()]
        status = served.router.targets["one"].status
    assert (answer.status_code, answer.headers["x-slipway-backend"], answer.headers["x-slipway-attempts"]) == (200, "two", "2")
    assert answer.content == (event("a") + event("", "stop") + DONE if stream else fake.completion())
    assert (len(slow.posts), len(well.posts), flights) == (1, 1, [0, 0])
    assert (status.error_rate, status.breaker.state) == (0, "closed")
    assert 'slipway_router_hedges_total{outcome="won"} 1.0' in metrics


async def test_the_first_may_still_win() -> None:
    async with upstream(slowly) as slow, upstream(fake.hang) as well, hedging(slow, well) as served:
        answer = await served.chat()
        await asyncio.wait_for(well.gone.wait(), 2)
        metrics = (await served.client.get("/metrics")).text
        assert [t.in_flight for t in served.router.targets.values()] == [0, 0]
    assert (answer.headers["x-slipway-backend"], answer.content) == ("one", fake.completion("slow"))
    assert 'slipway_router_hedges_total{outcome="lost"} 1.0' in metrics


async def test_a_prompt_answer_is_not_hedged() -> None:
    async with upstream() as quick, upstream() as well, hedging(quick, well, late=5) as served:
        answer = await served.chat()
    assert (answer.headers["x-slipway-attempts"], well.posts) == ("1", [])


@pytest.mark.parametrize("which", ["first", "second", "both"])
async def test_one_that_fails_leaves_the_other(which: str) -> None:
    async def late_failure(out: fake.Exit) -> None:
        await asyncio.sleep(0.1)
        await fake.failing()(out)

    first = slowly if which == "second" else late_failure
    second = slowly if which == "first" else fake.failing()
    async with upstream(first) as slow, upstream(second) as well, hedging(slow, well, retries={"rounds": 0}) as served:
        answer = await served.chat()
        rates = [t.status.error_rate for t in served.router.targets.values()]
        assert [t.in_flight for t in served.router.targets.values()] == [0, 0]
    assert answer.status_code == (502 if which == "both" else 200)
    assert rates == [pytest.approx(0.1 * (which != "second"), abs=0.011), pytest.approx(0.1 * (which != "first"), abs=0.011)]
    assert (len(slow.posts), len(well.posts)) == (1, 1)


async def test_hedges_are_paid_for_by_the_retry_budget() -> None:
    none = {"ratio": 0, "per_second": 0}
    async with upstream(slowly) as slow, upstream() as well, hedging(slow, well, retries=none) as served:
        answer = await served.chat()
    assert (answer.headers["x-slipway-backend"], well.posts) == ("one", [])


async def test_a_client_that_leaves_takes_both_along() -> None:
    async with upstream(fake.hang) as slow, upstream(fake.hang) as well, hedging(slow, well) as served:
        waiting = asyncio.create_task(served.chat())
        await well.asked()
        waiting.cancel()
        await asyncio.wait_for(asyncio.gather(slow.gone.wait(), well.gone.wait()), 2)
        await asyncio.sleep(0.05)
        assert [t.in_flight for t in served.router.targets.values()] == [0, 0]
