"""Two kinds of load: so many requests at once, or requests at the times at which a trace has them."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from time import perf_counter, process_time

from slipway_router.bench.asking import Asker, Outcome
from slipway_router.bench.traffic import Arrival


@dataclass
class Measured:
    """What came of a load."""

    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    """Of the requests that ended, in that order."""
    seconds: float = 0.0
    """From the first request to the last end."""
    generator_share: float = 0.0
    """Share of that time for which the load generator's own process computed. Near 1 its times tell of itself."""
    given_up: int = 0
    """Requests under way that were cut, as somebody stopped the run."""


async def at_once(
    asker: Asker, request: Arrival, concurrency: int, requests: int, seconds: float, stop: asyncio.Event | None = None
) -> Measured:
    """Keep so many requests under way: each is sent when one before it has ended.

    Args:
        asker: Who asks.
        request: How long prompts and answers are.
        concurrency: How many at once.
        requests: How many in all, at most.
        seconds: How long new ones are sent; those under way are waited for.
        stop: Ends it early, without those under way.
    """
    measured = Measured()
    until = perf_counter() + seconds
    sent = 0

    async def client() -> None:
        nonlocal sent
        while sent < requests and (now := perf_counter()) < until:
            sent += 1
            measured.outcomes.append(await asker.ask(request, now))

    await _run(measured, [client() for _ in range(min(concurrency, requests))], stop)
    return measured


async def as_traced(asker: Asker, trace: Sequence[Arrival], concurrency: int, stop: asyncio.Event | None = None) -> Measured:
    """Send each request when it is due. Times count from then, so that waiting for a free place is in them.

    Args:
        asker: Who asks.
        trace: When requests are due, and how long they are.
        concurrency: How many at once, at most.
        stop: See above.
    """
    measured = Measured()
    places = asyncio.Semaphore(concurrency)
    begun = perf_counter()

    async def one(request: Arrival) -> None:
        due = begun + request.at
        await asyncio.sleep(due - perf_counter())
        async with places:
            measured.outcomes.append(await asker.ask(request, due))

    await _run(measured, [one(r) for r in trace], stop)
    return measured


async def _run(measured: Measured, clients: Sequence[Coroutine[None, None, None]], stop: asyncio.Event | None) -> None:
    begun, computed = perf_counter(), process_time()
    tasks = [asyncio.ensure_future(c) for c in clients]
    stopping = asyncio.ensure_future((stop or asyncio.Event()).wait())
    everything = asyncio.gather(*tasks)
    try:
        await asyncio.wait({everything, stopping}, return_when=asyncio.FIRST_COMPLETED)
        measured.seconds = perf_counter() - begun
        measured.generator_share = (process_time() - computed) / measured.seconds
        measured.given_up = sum(not t.done() for t in tasks)
        if everything.done():
            everything.result()
    finally:
        stopping.cancel()
        everything.cancel()
        await asyncio.gather(stopping, everything, *tasks, return_exceptions=True)
