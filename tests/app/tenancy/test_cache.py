"""Answers that are given again: to whom, for how long, and how many."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.app.fake_upstream import FakeUpstream, completion, failing, stream, whole
from tests.app.serving import Served, backend, serving, upstream

from slipway_router.config import Config, ConfigError
from slipway_router.tenancy.cache import OVERHEAD_BYTES, Cache
from slipway_router.tenancy.settings import CacheSettings

KEYS = {name: f"{name}-{'k' * 40}" for name in ("keeps", "also", "not")}


@asynccontextmanager
async def router(at: FakeUpstream, **settings: Any) -> AsyncGenerator[Served]:
    grants: dict[str, dict[str, Any]] = {
        "keeps": {"cache_seconds": 60, "requests_per_minute": 20, "monthly_budget": 100},
        "also": {"cache_seconds": 60},
        "not": {},
    }
    keys = [{"name": n, "sha256": hashlib.sha256(k.encode()).hexdigest(), **grants[n]} for n, k in KEYS.items()]
    async with serving(backend(at, cost_per_1k_tokens=0.5), keys=keys, **settings) as served:
        yield served


async def ask(served: Served, key: str = "keeps", headers: dict[str, str] | None = None, **fields: Any) -> tuple[int, bool]:
    answer = await served.chat({"authorization": f"Bearer {KEYS[key]}", **(headers or {})}, **fields)
    return answer.status_code, answer.headers.get("x-slipway-cache") == "hit"


async def test_the_same_request_of_the_same_key_gets_the_same_answer_and_takes_nothing_of_the_limits() -> None:
    async with upstream() as one, router(one) as served:
        first = await served.chat({"authorization": f"Bearer {KEYS['keeps']}"})
        one.behaviour = whole(completion("another"))
        again = await served.chat({"authorization": f"Bearer {KEYS['keeps']}", "x-request-id": "mine"})
        assert again.content == first.content
        assert again.headers["x-slipway-cache"] == "hit"
        assert again.headers["x-request-id"] == "mine"
        assert again.headers["x-slipway-backend"] == "one"
        assert "x-ratelimit-remaining-requests" not in again.headers
        assert len(one.posts) == 1
        spent = served.router.limits.spent("keeps")
        assert await ask(served) == (200, True)
        assert served.router.limits.spent("keeps") == spent
        # A body that comes in parts goes the other way, and finds the same.
        body: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "x" * 200_000}]}
        for hit in (False, True):
            assert await ask(served, **body) == (200, hit)


@pytest.mark.parametrize(
    "other",
    [
        {"key": "also"},
        {"key": "not"},
        {"temperature": 0.5},
        {"headers": {"x-quality": "high"}},
        {"headers": {"cache-control": "no-cache"}},
        {"stream": True},
    ],
)
async def test_what_is_not_the_same_is_asked(other: dict[str, Any]) -> None:
    async with upstream() as one, router(one) as served:
        assert await ask(served) == (200, False)
        assert await ask(served, **other) == (200, False)
        assert len(one.posts) == 2
        assert await ask(served) == (200, True)


async def test_what_is_not_kept_is_asked_again() -> None:
    async with upstream() as one, router(one, cache={"max_entry_kib": 1}) as served:
        unkept: list[dict[str, Any]] = [{"headers": {"cache-control": "no-store"}}, {"key": "not"}]
        for fields in unkept:
            assert [await ask(served, **fields) for _ in range(2)] == [(200, False)] * 2
        one.behaviour = failing("400 Bad Request")
        assert [await ask(served) for _ in range(2)] == [(400, False)] * 2
        one.behaviour = stream("a", "b")
        assert [await ask(served, stream=True) for _ in range(2)] == [(200, False)] * 2
        one.behaviour = whole(completion("x" * 2000))
        assert [await ask(served) for _ in range(2)] == [(200, False)] * 2
        one.behaviour = whole()
        assert [await ask(served) for _ in range(2)] == [(200, False), (200, True)]


def test_memory_is_bounded_and_time_too() -> None:
    now = 0.0
    cache = Cache(CacheSettings(max_mib=1, max_entry_kib=256), lambda: now)
    body = b"x" * (200 * 1024)
    for i in range(20):
        cache.keep(b"%d" % i, 10, [], body)
        assert cache.size <= 1024 * 1024
        assert cache.find(b"0" if i < 4 else b"%d" % i) is not None
    assert cache.find(b"1") is None
    now = 10.0
    assert cache.find(b"19") is None
    for i in range(20):
        cache.find(b"%d" % i)
    assert cache.size == 0
    cache.keep(b"a", 10, [(b"x-request-id", b"1"), (b"content-type", b"t")], b"a")
    cache.keep(b"a", 10, [], b"bb")
    assert cache.size == 2 + OVERHEAD_BYTES


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"cache": {"max_mib": 0}}, "cache.max_mib"),
        ({"cache": {"max_entry_kib": 0}}, "cache.max_entry_kib"),
        ({"cache": {"ttl": 3}}, "cache.ttl"),
        ({"keys": [{"name": "a", "sha256": "0" * 64, "cache_seconds": 0}]}, "keys[0].cache_seconds"),
    ],
)
def test_a_caches_faults(settings: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Config.parse({"backends": [{"name": "one", "url": "http://127.0.0.1:1/v1", "model": "mock"}], **settings})
    assert [p for p, _ in refused.value.faults] == [path]
