"""The script that admits requests, called as the router does: what of one call counts against the rest, and what is written."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis import asyncio as client
from tests.app.tenancy.real_redis import RealRedis, needs_redis, redis_at

from slipway_router.tenancy import limits

pytestmark = needs_redis
SCRIPT = Path(limits.__file__).with_name("admit.lua").read_text()
MONTH = "2026-11"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RealRedis]:
    with redis_at(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
async def redis(server: RealRedis) -> AsyncGenerator[Any]:
    made: Any = client.Redis.from_url(server.url, decode_responses=True)  # pyright: ignore[reportUnknownMemberType] -- of redis-py
    async with made as asked:
        await asked.flushall()
        yield asked


async def call(redis: Any, *asks: list[Any], books: tuple[list[Any], ...] = (), seq: int = 0, me: str = "me") -> list[list[Any]]:
    told = {"me": me, "window": 60_000_000, "seq": seq, "books": books, "asks": asks}
    return orjson.loads(await redis.eval(SCRIPT, 1, "{s}:", orjson.dumps(told)))


def wanting(
    identity: int, *, name: str = "a", requests: int = 0, tokens: int = 0, budget: int = 0, wanted: int = 0, units: int = 0
) -> list[Any]:
    return [name, requests, tokens, budget, wanted, units, MONTH, identity]


async def test_requests_of_one_call_count_against_each_other_and_others_tenants_do_not(redis: Any) -> None:
    asks = [wanting(n, requests=2) for n in range(3)]
    told = await call(redis, asks[0], wanting(9, name="b", requests=2), *asks[1:])
    assert [(t[0], t[1]) for t in told] == [(0, 1), (0, 1), (0, 0), (1, 0)]
    assert 59_000 < told[3][3] <= 60_000
    assert told[3][4] == 60_000
    assert (await redis.llen("{s}:r:a"), await redis.llen("{s}:r:b")) == (2, 1)
    assert 59_000 < await redis.pttl("{s}:r:a") <= 60_000
    again = await call(redis, wanting(4, requests=2), wanting(5, requests=3))
    assert [(t[0], t[1]) for t in again] == [(1, 0), (0, 0)]


async def test_tokens_of_one_call_count_against_each_other_and_the_wait_is_till_they_leave(redis: Any) -> None:
    told = await call(redis, *[wanting(n, tokens=250, wanted=100) for n in range(3)], wanting(3, tokens=250, wanted=50))
    assert [(t[0], t[2]) for t in told] == [(0, 150), (0, 50), (2, 50), (0, 0)]
    assert 60_000 <= told[2][3] <= 62_000
    second = told[0][3]
    assert await redis.hgetall("{s}:t:a") == {"oldest": str(second), str(second): "250", "sum": "250"}
    await call(redis, books=(["tokens", "a", second, -70], ["tokens", "a", second, -30], ["tokens", "a", 1, -30]), seq=1)
    assert await redis.hget("{s}:t:a", "sum") == "150"
    assert await redis.hget("{s}:t:a", str(second)) == "150"


async def test_money_of_one_call_is_reserved_together_and_paid_once(redis: Any) -> None:
    told = await call(redis, *[wanting(n, budget=250, units=100) for n in range(3)], wanting(3, budget=250, units=50))
    assert [(t[0], t[5]) for t in told] == [(0, 150), (0, 50), (3, 50), (0, 0)]
    key = f"{{s}}:b:a:{MONTH}"
    assert await redis.hgetall(key) == {"held": "250"}
    assert {k: orjson.loads(v) for k, v in (await redis.hgetall("{s}:held:me")).items()} == {
        "0": ["a", MONTH, "100"],
        "1": ["a", MONTH, "100"],
        "3": ["a", MONTH, "50"],
    }
    books = (["money", "a", MONTH, 0, 100, 70], ["money", "a", MONTH, 1, 100, 0], ["money", "a", MONTH, "", 0, 5])
    for _ in range(2):  # told again under the same number
        await call(redis, books=books, seq=7)
    assert await redis.hgetall(key) == {"held": "50", "spent": "75"}
    # Booked as reserved by somebody who took this router for dead: what is left is the difference.
    await call(redis, books=(["money", "a", MONTH, 1, 100, 30],), seq=8)
    assert await redis.hgetall(key) == {"held": "50", "spent": "5"}
    assert await redis.ttl(key) > 30_000_000
    (refused,) = await call(redis, wanting(5, budget=55, units=1))
    assert (refused[0], refused[5]) == (3, 0)


async def test_sums_past_what_lua_counts_exactly_are_written_in_parts(redis: Any) -> None:
    units = 2**51 + 1
    told = await call(redis, *[wanting(n, budget=2**60, units=units) for n in range(4)])
    assert [t[0] for t in told] == [0] * 4
    key = f"{{s}}:b:a:{MONTH}"
    assert await redis.hgetall(key) == {"held": str(4 * units)}
    await call(redis, books=tuple(["money", "a", MONTH, n, units, units] for n in range(4)), seq=1)
    assert await redis.hgetall(key) == {"held": "0", "spent": str(4 * units)}
