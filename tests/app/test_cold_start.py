"""A backend that scales to zero: by a clock of the test's own, and over servers that go away and come back."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import FakeUpstream
from tests.app.serving import Served, backend, serving, upstream

from slipway_router.cold_start import GIVEN_UP_SECONDS, HOLD_SECONDS, IDLE_SECONDS, ColdStart
from slipway_router.probe import probe, probe_all


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def asleep(clock: Clock, *, seconds: float = 300, ramp: float = 30) -> ColdStart:
    cold = ColdStart(seconds, ramp, 64, clock)
    assert cold.missed()
    assert (cold.state, cold.away, cold.share, cold.wanted(0)) == ("asleep", True, 0, 0)
    return cold


def test_a_request_wakes_it_and_its_cold_start_is_no_failure(clock: Clock) -> None:
    cold = asleep(clock)
    assert not cold.meet()
    assert (cold.state, cold.left_seconds, cold.wanted(0)) == ("waking", 300, 1)
    clock.now += 299
    assert cold.missed()
    # Nobody asked since two minutes, and still it must not be taken back before it is there.
    assert (cold.state, cold.wanted(0)) == ("waking", 1)
    cold.answered(request=False)
    assert (cold.state, cold.back.is_set(), cold.left_seconds) == ("awake", True, 0)


def test_after_its_cold_start_it_has_failed(clock: Clock) -> None:
    cold = asleep(clock)
    cold.meet()
    clock.now += 300
    assert (cold.state, cold.away, cold.missed(), cold.meet()) == ("late", False, False, True)
    assert cold.left_seconds == 0
    clock.now += HOLD_SECONDS + 1
    assert (cold.wanted(0), cold.meet(), cold.wanted(0)) == (0, True, 1)
    # Long after that somebody asks again: it was given up meanwhile, and gets its time anew.
    clock.now += GIVEN_UP_SECONDS + 1
    assert not cold.meet()
    assert (cold.state, cold.wanted(0)) == ("waking", 1)


def test_one_in_use_was_not_scaled_to_zero(clock: Clock) -> None:
    cold = ColdStart(300, 30, 64, clock)
    cold.meet()
    cold.answered(request=True)
    clock.now += IDLE_SECONDS - 1
    assert (cold.missed(), cold.state) == (False, "awake")
    clock.now += 1
    # Whoever finds out that it is gone met it awake, and has woken it by that.
    cold.meet()
    assert (cold.missed(), cold.state) == (True, "waking")


def test_traffic_ramps_in(clock: Clock) -> None:
    cold = asleep(clock, ramp=30)
    cold.meet()
    cold.answered(request=False)
    shares: list[float] = []
    for second in (0, 3, 15, 27):
        clock.now = 1000 + second
        shares.append(sum(cold.meet() for _ in range(4000)) / 4000)
    assert shares == pytest.approx([0.05, 0.1, 0.5, 0.9], abs=0.03)
    clock.now = 1030
    assert cold.share == 1
    assert all(cold.meet() for _ in range(100))


def test_one_that_was_always_there_does_not_ramp(clock: Clock) -> None:
    cold = ColdStart(300, 30, 64, clock)
    assert cold.share == 1
    cold.answered(request=True)
    assert all(cold.meet() for _ in range(100))


def test_what_is_wanted_counts_requests_everywhere(clock: Clock) -> None:
    cold = asleep(clock)
    cold.meet()
    cold.spilled = 3
    assert cold.wanted(4) == 7
    cold.spilled = 0
    cold.answered(request=False)
    clock.now += HOLD_SECONDS
    assert cold.wanted(0) == 1
    clock.now += 1
    assert cold.wanted(0) == 0


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not done():  # noqa: ASYNC110 -- what it waits for has no event
            await asyncio.sleep(0.01)


async def gauge(served: Served, name: str, backend: str = "pool") -> float:
    metrics = (await served.client.get("/metrics")).text
    wanted = f'slipway_router_backend_{name}{{backend="{backend}"}} '
    return next(float(line.removeprefix(wanted)) for line in metrics.splitlines() if line.startswith(wanted))


@asynccontextmanager
async def pool_and_vendor(**settings: Any) -> AsyncGenerator[tuple[FakeUpstream, FakeUpstream, Served], None]:
    """A pool that has no replica yet, and a vendor's API beside it."""
    async with upstream() as pool, upstream() as vendor:
        await pool.stop()
        own = backend(pool, "pool", min_replicas=0, **{"ramp_seconds": 0, **settings})
        policies = {"own": {"kind": "priority", "backends": ["pool", "vendor"]}}
        routes = [{"name": "own-first", "policy": "own"}]
        other = backend(vendor, "vendor", self_hosted=False)
        async with serving(own, other, policies=policies, routes=routes) as served:
            yield pool, vendor, served


async def test_an_api_fills_in_until_the_pool_is_back() -> None:
    async with pool_and_vendor() as (pool, vendor, served):
        target = served.router.targets["pool"]
        await probe(target)
        assert (await gauge(served, "wanted"), await gauge(served, "traffic_share")) == (0, 0)
        for _ in range(20):
            answer = await served.chat()
            assert (answer.status_code, answer.headers["x-slipway-backend"]) == (200, "vendor")
            assert answer.headers["x-slipway-attempts"] == "1"
            await probe(target)
        assert len(vendor.posts) == 20
        assert (target.breaker.state, target.status.error_rate, target.status.available) == ("closed", 0, True)
        assert (await gauge(served, "wanted"), await gauge(served, "cold_start_late")) == (1, 0)
        assert target.cold_start is not None
        assert target.cold_start.spilled == 0
        async with pool:
            await probe(target)
            assert (await served.chat()).headers["x-slipway-backend"] == "pool"
            assert await gauge(served, "traffic_share") == 1


async def test_the_first_to_find_it_gone_is_answered_too() -> None:
    async with pool_and_vendor() as (_, _, served):
        answer = await served.chat()
        assert (answer.headers["x-slipway-backend"], answer.headers["x-slipway-attempts"]) == ("vendor", "2")
        target = served.router.targets["pool"]
        assert (target.status.error_rate, target.breaker.state, await gauge(served, "wanted")) == (0, "closed", 1)
        assert (await served.chat()).headers["x-slipway-attempts"] == "1"


async def test_a_request_under_way_elsewhere_is_wanted_load() -> None:
    async with pool_and_vendor() as (_, vendor, served):
        vendor.behaviour = fake.hang
        await probe(served.router.targets["pool"])
        asking = [asyncio.create_task(served.chat()) for _ in range(3)]
        await until(lambda: len(vendor.posts) == 3)
        assert await gauge(served, "wanted") == 3
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await until(lambda: not served.proxy.watches)
        assert await gauge(served, "wanted") == 1


async def test_traffic_returns_by_and_by() -> None:
    async with pool_and_vendor(ramp_seconds=3600) as (pool, _, served):
        target = served.router.targets["pool"]
        await probe(target)
        async with pool:
            await probe(target)
            by = [(await served.chat()).headers["x-slipway-backend"] for _ in range(60)]
            assert 30 < by.count("vendor") <= 60
            # One that named the pool gets it: there is nobody else.
            assert (await served.chat(model="pool")).headers["x-slipway-backend"] == "pool"


async def test_a_503_of_one_that_loads_is_no_failure() -> None:
    async with pool_and_vendor() as (pool, _, served):
        target = served.router.targets["pool"]
        pool.behaviour = pool.models = fake.failing("503 Service Unavailable", "Retry-After: 60")
        async with pool:
            for _ in range(8):
                assert (await served.chat()).headers["x-slipway-backend"] == "vendor"
                await probe(target)
            assert (target.breaker.state, target.status.error_rate, target.status.rests_seconds) == ("closed", 0, 0)
            pool.behaviour, pool.models = fake.whole(), fake.models()
            await probe(target)
            assert (await served.chat()).headers["x-slipway-backend"] == "pool"


async def test_where_nobody_else_is_a_request_waits_for_the_pool() -> None:
    async with upstream() as pool:
        await pool.stop()
        async with serving(backend(pool, "pool", min_replicas=0, max_waiting=2)) as served:
            target = served.router.targets["pool"]
            await probe(target)
            assert served.router.ready()[0]
            asking = [asyncio.create_task(served.chat()) for _ in range(2)]
            assert target.cold_start is not None
            cold = target.cold_start
            await until(lambda: cold.waiting == 2)
            refused = await served.chat()
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "backends_busy")
            assert 250 < int(refused.headers["retry-after"]) <= 300
            assert await gauge(served, "wanted") == 2
            async with pool:
                await probe(target)
                answers = await asyncio.gather(*asking)
                assert [a.status_code for a in answers] == [200, 200]
            assert (cold.waiting, cold.spilled) == (0, 0)


async def test_the_wait_ends_with_the_deadline() -> None:
    async with upstream() as pool:
        await pool.stop()
        async with serving(backend(pool, "pool", min_replicas=0, timeouts={"total": 1})) as served:
            answer = await asyncio.wait_for(served.chat(), 5)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "backends_busy")
            assert "has no replica" in answer.json()["error"]["message"]


async def test_one_that_is_late_fails_like_any_other() -> None:
    async with pool_and_vendor(cold_start_seconds=0.05, breaker={"failures": 3}) as (_, _, served):
        target = served.router.targets["pool"]
        await served.chat()
        await asyncio.sleep(0.06)
        for _ in range(4):
            assert (await served.chat()).headers["x-slipway-backend"] == "vendor"
        assert target.breaker.state == "open"
        assert (await gauge(served, "cold_start_late"), await gauge(served, "wanted")) == (1, 1)


async def test_an_explanation_tells_that_it_is_at_zero() -> None:
    async with pool_and_vendor() as (_, _, served):
        await probe(served.router.targets["pool"])
        told = (await served.client.post("/v1/route", json={"messages": [{"role": "user", "content": "x"}]})).json()
        first = told["order"][0]
        assert (first["backend"], first["traffic_share"], first["against"]) == ("pool", 0, ["it has no replica now: asleep"])
        assert await gauge(served, "wanted") == 0


async def test_a_pool_goes_to_zero_and_comes_back_under_load_and_nobody_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway_router.cold_start.IDLE_SECONDS", 0.2)
    async with pool_and_vendor(ramp_seconds=0.3, breaker={"failures": 2}) as (pool, vendor, served):
        target = served.router.targets["pool"]
        probing = asyncio.create_task(probe_all(served.router, period=0.05))

        async def answered_by() -> str:
            answer = await served.chat()
            assert answer.status_code == 200
            return answer.headers["x-slipway-backend"]

        try:
            for _ in range(2):
                async with pool:
                    async with asyncio.timeout(10):
                        while [await answered_by() for _ in range(20)].count("pool") < 20:
                            pass
                    await asyncio.sleep(0.3)
                # From here on nobody listens there.
                asked = len(vendor.posts)
                assert {await answered_by() for _ in range(40)} == {"vendor"}
                assert len(vendor.posts) == asked + 40
                assert (target.breaker.state, target.status.available, target.status.error_rate) == ("closed", True, 0)
                assert target.away
                assert await gauge(served, "wanted") == 1
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)
