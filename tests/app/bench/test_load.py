"""How requests are let loose: so many at once, or at the times of a trace."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import perf_counter

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour, Exit, FakeUpstream
from tests.app.serving import upstream

from slipway_router.bench.asking import Asker
from slipway_router.bench.load import as_traced, at_once
from slipway_router.bench.traffic import Arrival

REQUEST = Arrival(0.0, 1, 1)


class Counting:
    """Answers after a while, and knows how many wait."""

    def __init__(self, seconds: float = 0.05) -> None:
        self.under_way = self.most = 0
        self._seconds = seconds

    async def __call__(self, out: Exit) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await fake.stream("a", delay=self._seconds / 3)(out)
        self.under_way -= 1


@asynccontextmanager
async def asking(behaviour: Behaviour) -> AsyncGenerator[tuple[Asker, FakeUpstream]]:
    async with upstream(behaviour) as up:
        asker = Asker(up.url, "mock", key=None, timeout=10, extra={})
        try:
            yield asker, up
        finally:
            asker.close()


async def test_so_many_are_under_way_at_once_and_so_many_in_all() -> None:
    counting = Counting()
    async with asking(counting) as (asker, up):
        measured = await at_once(asker, REQUEST, concurrency=3, requests=10, seconds=60)
    assert (len(measured.outcomes), len(up.posts), counting.most) == (10, 10, 3)
    assert [o.cause for o in measured.outcomes] == [None] * 10
    assert up.connections == 3
    assert measured.seconds > 0.05 * 3
    assert measured.generator_share > 0
    assert measured.given_up == 0


async def test_no_more_are_sent_than_asked_for_when_there_are_more_places() -> None:
    counting = Counting()
    async with asking(counting) as (asker, up):
        await at_once(asker, REQUEST, concurrency=50, requests=2, seconds=60)
    assert (len(up.posts), counting.most) == (2, 2)


async def test_it_ends_when_its_time_is_over_and_waits_for_what_is_under_way() -> None:
    async with asking(Counting(0.3)) as (asker, up):
        measured = await at_once(asker, REQUEST, concurrency=2, requests=1_000_000, seconds=0.4)
    assert len(measured.outcomes) == len(up.posts) <= 4
    assert [o.cause for o in measured.outcomes] == [None] * len(measured.outcomes)
    assert measured.seconds > 0.4


async def test_a_trace_is_sent_when_due() -> None:
    trace = [Arrival(0.0, 10, 3), Arrival(0.1, 20, 5), Arrival(0.2, 1, 1)]
    arrived: list[float] = []

    async def noting(out: Exit) -> None:
        arrived.append(perf_counter())
        await fake.stream("a")(out)

    async with asking(noting) as (asker, up):
        measured = await as_traced(asker, trace, 8)
    assert [g.json["max_tokens"] for g in up.posts] == [3, 5, 1]
    assert arrived[2] - arrived[0] > 0.15
    assert measured.seconds > 0.2


async def test_waiting_for_a_place_counts() -> None:
    counting = Counting(0.6)
    async with asking(counting) as (asker, _):
        measured = await as_traced(asker, [REQUEST] * 4, 2)
    assert counting.most == 2
    assert max(o.total for o in measured.outcomes) > 1.4 * min(o.total for o in measured.outcomes)


@pytest.mark.parametrize("traced", [False, True])
async def test_a_run_that_is_stopped_tells_what_came_of_it(traced: bool) -> None:
    stop = asyncio.Event()
    answered = 0

    async def first_only(out: Exit) -> None:
        nonlocal answered
        answered += 1
        await (fake.stream("a") if answered == 1 else fake.hang)(out)

    async with asking(first_only) as (asker, _):
        asyncio.get_running_loop().call_later(0.5, stop.set)
        load = as_traced(asker, [REQUEST] * 3, 1, stop) if traced else at_once(asker, REQUEST, 1, 3, 60, stop)
        measured = await asyncio.wait_for(load, 5)
    assert [o.cause for o in measured.outcomes] == [None]
    assert measured.given_up == (2 if traced else 1)


async def test_a_fault_of_ours_is_not_counted_but_raised() -> None:
    async with asking(fake.stream("a")) as (asker, _):
        asker.ask = None  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(TypeError):
            await at_once(asker, REQUEST, 2, 2, 60)
