"""Routers tell each other, over a real Redis, which backends have failed or asked to be left alone."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.app.fake_upstream import FakeUpstream, failing, whole
from tests.app.serving import Served, backend, serving, upstream
from tests.app.tenancy.real_redis import RealRedis, needs_redis, redis_at, until


@pytest.fixture
def redis(tmp_path: Path) -> Generator[RealRedis]:
    with redis_at(tmp_path) as running:
        yield running


@asynccontextmanager
async def router(redis: RealRedis, bad: FakeUpstream, good: FakeUpstream, **more: Any) -> AsyncGenerator[Served]:
    backends = [
        backend(bad, "bad", breaker={"failures": 2, "window": 4, "open_seconds": 30}),
        backend(good, "good", self_hosted=False, cost_per_1k_tokens=1),
    ]
    async with serving(*backends, redis={**redis.settings, **more}, policy={"preferences": ["bad", "good"]}) as served:
        await until(lambda: served.router.sharing.connected)
        yield served


@needs_redis
async def test_what_one_found_to_fail_comes_last_at_the_others_and_is_still_asked_if_nothing_else_is_left(
    redis: RealRedis,
) -> None:
    async with upstream(failing()) as bad, upstream() as good, router(redis, bad, good) as one, router(redis, bad, good) as two:
        for _ in range(3):
            assert (await one.chat()).status_code == 200
        assert not one.router.targets["bad"].breaker.closed
        status = two.router.targets["bad"].status
        await until(lambda: status.set_aside_now, 2)
        assert two.router.targets["bad"].breaker.closed
        asked = len(bad.posts)
        answer = await two.chat()
        assert (answer.headers["x-slipway-backend"], len(bad.posts)) == ("good", asked)
        # What was heard is not told on: the first knows nothing of it by the second.
        good.behaviour, bad.behaviour = failing(), whole()
        assert (await two.chat()).headers["x-slipway-backend"] == "bad"


@needs_redis
async def test_what_a_backend_asked_for_holds_for_all_and_grows_no_longer_on_its_way(redis: RealRedis) -> None:
    limited = failing("429 Too Many Requests", "Retry-After: 20")
    async with upstream(limited) as bad, upstream() as good, router(redis, bad, good) as one, router(redis, bad, good) as two:
        assert (await one.chat()).status_code == 200
        status = two.router.targets["bad"].status
        await until(lambda: status.rests_seconds > 0, 2)
        first, loop = status.rests_seconds, asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(1.5)
        for served in (one, two):
            left = served.router.targets["bad"].status.rests_seconds
            assert 15 < left <= first - (loop.time() - began) + 0.4
        assert (await two.chat()).headers["x-slipway-backend"] == "good"
        assert len(bad.posts) == 1


@needs_redis
async def test_with_health_switched_off_nobody_is_told(redis: RealRedis) -> None:
    off = {"health": False}
    async with (
        upstream(failing()) as bad,
        upstream() as good,
        router(redis, bad, good, **off) as one,
        router(redis, bad, good) as two,
    ):
        for _ in range(3):
            await one.chat()
        assert not one.router.targets["bad"].breaker.closed
        await asyncio.sleep(0.7)
        assert not two.router.targets["bad"].status.set_aside_now
