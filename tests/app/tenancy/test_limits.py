"""Limits and budgets over HTTP: one router alone, and several over a real Redis."""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
from redis import asyncio as client
from tests.app.fake_upstream import DONE, SSE, Exit, FakeUpstream, chunk, event, failing, head, stream, whole
from tests.app.serving import Served, backend, serving, upstream
from tests.app.tenancy.real_redis import RealRedis, needs_redis, redis_at, until

from slipway_router.tenancy.charge import Charge
from slipway_router.tenancy.money import UNITS_PER_DOLLAR

KEY = "k" * 40
BEARER = {"authorization": f"Bearer {KEY}"}


def key(**grant: Any) -> dict[str, Any]:
    return {"name": "shop", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), **grant}


@pytest.fixture
def redis(tmp_path: Path) -> Generator[RealRedis]:
    with redis_at(tmp_path) as running:
        yield running


@asynccontextmanager
async def router(at: FakeUpstream, redis: RealRedis | None = None, more: Any = None, **grant: Any) -> AsyncGenerator[Served]:
    """One, known to its Redis."""
    settings: dict[str, Any] = {"redis": {**redis.settings, **(more or {})}} if redis is not None else {}
    async with serving(backend(at, cost_per_1k_tokens=0.5), keys=[key(**grant)], **settings) as served:
        if redis is not None:
            await until(lambda: served.router.sharing.connected)
        yield served


async def ask(served: Served, **fields: Any) -> httpx.Response:
    return await served.chat(BEARER, **fields)


async def test_requests_past_the_limit_are_refused_in_openais_shape_and_told_when_to_come_again() -> None:
    async with upstream() as one, router(one, requests_per_minute=2) as served:
        first, second, third = [await ask(served) for _ in range(3)]
        assert [r.status_code for r in (first, second, third)] == [200, 200, 429]
        assert [r.headers["x-ratelimit-remaining-requests"] for r in (first, second, third)] == ["1", "0", "0"]
        assert third.json()["error"]["code"] == "rate_limit_exceeded"
        assert third.json()["error"]["type"] == "requests"
        assert 55 <= int(third.headers["retry-after"]) <= 60
        assert 55_000 <= int(third.headers["retry-after-ms"]) <= 60_000
        assert len(one.posts) == 2


async def test_tokens_count_by_the_estimate_until_the_answer_tells() -> None:
    async with upstream() as one, router(one, tokens_per_minute=300) as served:
        # The answer has 96 tokens; what is taken of it at first is what it may have.
        first = await ask(served, max_tokens=250)
        assert first.headers["x-ratelimit-remaining-tokens"] == "49"
        assert (await ask(served, max_tokens=250)).status_code == 429
        second = await ask(served, max_tokens=150)
        assert second.status_code == 200
        assert second.headers["x-ratelimit-remaining-tokens"] == str(300 - 96 - 151)
        refused = await ask(served, max_tokens=400)
        assert refused.json()["error"]["type"] == "tokens"
        assert "too large" in refused.json()["error"]["message"]


@needs_redis
@pytest.mark.parametrize("budget", [{}, {"monthly_budget": 1}], ids=["tokens", "tokens_and_budget"])
async def test_in_redis_too_tokens_count_by_what_the_answer_told(redis: RealRedis, budget: dict[str, int]) -> None:
    async with upstream() as one, router(one, redis, tokens_per_minute=1000, **budget) as served:
        link = served.router.limits.link
        assert link is not None
        left: list[str] = []
        for _ in range(2):
            left.append((await ask(served, max_tokens=250)).headers["x-ratelimit-remaining-tokens"])
            await until(lambda: not link.owes)
        assert left == [str(1000 - 251), str(1000 - 96 - 251)]


@pytest.mark.parametrize("shared", [False, pytest.param(True, marks=needs_redis)])
async def test_a_budget_is_spent_to_the_unit_and_then_refused(shared: bool, redis: RealRedis) -> None:
    # 96 tokens at $0.50 for 1,000 are 4.8 cents; 1 + 95 are reserved before.
    async with upstream() as one, router(one, redis if shared else None, monthly_budget="0.10") as served:
        for _ in range(2):
            assert (await ask(served, max_tokens=95)).status_code == 200
        refused = await ask(served, max_tokens=95)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
        assert "$0.1 " in refused.json()["error"]["message"]
        spent = await booked(served, redis) if shared else served.router.limits.spent("shop")
        assert spent == 2 * 96 * UNITS_PER_DOLLAR // 2000


@pytest.mark.parametrize("shared", [False, pytest.param(True, marks=needs_redis)])
async def test_what_is_under_way_counts_for_the_budget(shared: bool, redis: RealRedis) -> None:
    """4.8 cents each: two fit into ten, and a third does not while they are under way, though nothing is spent yet."""
    go = asyncio.Event()

    async def slow(out: Exit) -> None:
        await go.wait()
        await whole()(out)

    async with upstream(slow) as one, router(one, redis if shared else None, monthly_budget="0.10") as served:
        asked = [asyncio.create_task(ask(served, max_tokens=95)) for _ in range(2)]
        await until(lambda: len(one.posts) == 2)
        assert (await ask(served, max_tokens=95)).json()["error"]["code"] == "insufficient_quota"
        go.set()
        assert [r.status_code for r in await asyncio.gather(*asked)] == [200, 200]


async def booked(served: Served, redis: RealRedis) -> int:
    """What Redis has, once everything is told."""
    link = served.router.limits.link
    assert link is not None
    await until(lambda: not link.owes)
    found = await link_hash(served, redis)
    assert found.get(b"held", b"0") == b"0"
    return int(found.get(b"spent", b"0"))


async def link_hash(served: Served, redis: RealRedis) -> dict[bytes, bytes]:
    made: Any = client.Redis.from_url(redis.url)  # pyright: ignore[reportUnknownMemberType] -- of redis-py
    async with made as asked:
        found: Any = await asked.hgetall(f"{{slipway}}:b:shop:{served.router.limits.month(monotonic())}")
        return found


@needs_redis
async def test_streams_are_booked_by_their_usage_though_the_client_did_not_ask_for_it(redis: RealRedis) -> None:
    last = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n\n'
    behaviour = stream(events=[event("a"), event("b", "stop"), last, DONE])
    async with upstream(behaviour) as one, router(one, redis, monthly_budget=1) as served:
        told = await ask(served, stream=True)
        assert (b'"usage"' in told.content, told.content.endswith(DONE)) == (False, True)
        assert one.posts[0].json["stream_options"] == {"include_usage": True}
        asked = await ask(served, stream=True, stream_options={"include_usage": True})
        assert b'"prompt_tokens":7' in asked.content
        assert await booked(served, redis) == 2 * 10 * UNITS_PER_DOLLAR // 2000


@needs_redis
async def test_a_stream_whose_client_leaves_is_booked_by_what_it_got(redis: RealRedis) -> None:
    async def some(out: Exit) -> None:
        await out.write(head("200 OK", SSE, "Transfer-Encoding: chunked") + chunk(event("a")) + chunk(event("b")))
        await asyncio.sleep(3600)

    async with upstream(some) as one, router(one, redis, monthly_budget=1) as served:
        body = {"model": "auto", "stream": True, "max_tokens": 99, "messages": [{"role": "user", "content": "hello"}]}
        async with served.client.stream("POST", "/v1/chat/completions", json=body, headers=BEARER) as answer:
            got = b""
            async for part in answer.aiter_raw():
                got += part
                if got.count(b"\n\n") >= 2:
                    break
        await until(lambda: not served.proxy.watches)
        # One token of prompt, as estimated, and two events.
        assert await booked(served, redis) == 3 * UNITS_PER_DOLLAR // 2000


@needs_redis
async def test_what_no_backend_answered_costs_nothing(redis: RealRedis) -> None:
    async with upstream(failing()) as one, router(one, redis, monthly_budget=1, tokens_per_minute=10_000) as served:
        assert (await ask(served)).status_code == 502
        assert await booked(served, redis) == 0


@needs_redis
async def test_two_routers_let_exactly_the_limit_through_in_any_window(redis: RealRedis, tmp_path: Path) -> None:
    grant = {"requests_per_minute": 20}
    async with upstream() as up, router(up, redis, **grant) as one, router(up, redis, **grant) as two:
        for served in (one, two):
            served.router.limits._window = 2.0  # pyright: ignore[reportPrivateUsage]
            link = served.router.limits.link
            assert link is not None
            link._window = 2_000_000  # pyright: ignore[reportPrivateUsage]
        loop = asyncio.get_running_loop()
        end, passed = loop.time() + 5, list[float]()

        async def client(served: Served) -> None:
            while loop.time() < end:
                if (await ask(served)).status_code == 200:
                    passed.append(loop.time())
                await asyncio.sleep(0.01)

        await asyncio.gather(*(client(s) for s in (one, two, one, two)))
        # Twenty at once, then twenty in each window of two seconds: by Redis' clock, as its append-only file has it.
        assert len(passed) == 60
        admitted = admissions(tmp_path)
        assert len(admitted) == 60
        assert min(b - a for a, b in zip(admitted, admitted[20:], strict=False)) >= 2_000_000


def admissions(folder: Path) -> list[int]:
    """When requests were admitted, in microseconds."""
    pushed = re.compile(rb"RPUSH\r\n\$\d+\r\n\{slipway\}:r:shop\r\n((?:\$\d+\r\n\d+\r\n)+)", re.IGNORECASE)
    together = [values for file in folder.rglob("*.aof") for values in pushed.findall(file.read_bytes())]
    return sorted(int(at) for values in together for at in values.split(b"\r\n")[1::2])


@needs_redis
@pytest.mark.parametrize(("gone", "let_through"), [("open", 12), ("closed", 0), ("share", 4)])
async def test_each_limit_says_what_holds_while_redis_is_gone_and_is_shared_again_after(
    redis: RealRedis, gone: str, let_through: int
) -> None:
    limit = {"limit": 8, "when_redis_is_gone": gone}
    async with upstream() as up, router(up, redis, {"replicas": 2}, requests_per_minute=limit) as served:
        redis.kill()
        answers = [await ask(served) for _ in range(12)]
        codes = [a.status_code for a in answers]
        assert codes.count(200) == let_through
        assert set(codes) - {200} <= ({503} if gone == "closed" else {429})
        redis.start()
        await until(lambda: served.router.sharing.connected)
        # What was let through meanwhile counts.
        after = [(await ask(served)).status_code for _ in range(9)]
        assert after.count(200) == max(0, 8 - let_through)


@needs_redis
async def test_routers_that_lose_redis_in_the_middle_of_a_minute_do_not_let_more_through_than_the_limit(redis: RealRedis) -> None:
    grant = {"requests_per_minute": 20}
    both: dict[str, Any] = {"redis": redis, "more": {"replicas": 2}, **grant}
    async with upstream() as up, router(up, **both) as one, router(up, **both) as two:
        # 14 here, which is over half, and 4 there, which last heard of 3 that are left: its part of these is one.
        passed = [(await ask(one)).status_code for _ in range(13)] + [(await ask(two)).status_code for _ in range(4)]
        await ask(one)
        assert set(passed) == {200}
        redis.kill()
        alone = [(await ask(served)).status_code for served in (one, two) for _ in range(5)]
        assert alone[:5] == [429] * 5
        assert alone[5:].count(200) == 1


@needs_redis
async def test_what_is_spent_while_redis_is_told_what_was_spent_is_told_too(redis: RealRedis) -> None:
    async with upstream() as up, router(up, redis, monthly_budget=1) as served:
        link = served.router.limits.link
        assert link is not None
        real = link.script
        answered: list[int] = []

        async def slow(name: str, argument: bytes) -> Any:
            told = await real(name, argument)
            if name == "admit" and not answered:
                assert not link.up
                answered.append((await ask(served)).status_code)
            return told

        link.script = slow
        link.fail("for the test")
        assert (await ask(served)).status_code == 200
        await until(lambda: link.up)
        assert answered == [200]
        assert await booked(served, redis) == 2 * 96 * UNITS_PER_DOLLAR // 2000


@needs_redis
async def test_a_redis_that_hangs_holds_no_request_longer_than_it_may(redis: RealRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    async with upstream() as up, router(up, redis, {"timeout_ms": 20}, requests_per_minute=1000) as served:
        link = served.router.limits.link
        assert link is not None
        began: list[float] = []
        waits: list[float] = []
        ask_redis, heard = link.ask, Charge.heard

        def asking(waiting: Any) -> None:
            began.append(monotonic())
            ask_redis(waiting)

        def timed(charge: Charge, told: Any) -> None:
            waits.append(monotonic() - began[len(waits)])
            heard(charge, told)

        link.ask = asking
        monkeypatch.setattr(Charge, "heard", timed)
        redis.freeze()
        try:
            answers = await asyncio.gather(*(ask(served) for _ in range(20)))
            assert {a.status_code for a in answers} == {200}
            assert not link.up
            held = len(waits)
            assert held
            assert min(waits) < 0.03
            # Nobody waits any more.
            answers = [await ask(served) for _ in range(20)]
            assert {a.status_code for a in answers} == {200}
            assert len(waits) == held
        finally:
            redis.thaw()
        await until(lambda: link.up)
