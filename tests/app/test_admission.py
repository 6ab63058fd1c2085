"""Limits on what is under way: who is refused, and who is not yet."""

import asyncio
from typing import Any

import pytest
from tests.app import fake_upstream as fake
from tests.app.serving import Served, backend, serving, upstream

from slipway_router.config import Config, ConfigError
from slipway_router.steadiness import Admission

TIERS = ("free", "paid", "enterprise")


def test_room_is_shared_by_tier_and_never_nothing() -> None:
    assert Admission().room(10) == {"free": 8, "paid": 9, "enterprise": 10}
    assert Admission.model_validate({"shares": {"free": 0.5}}).room(3) == {"free": 1, "paid": 3, "enterprise": 3}
    assert Admission().room(1) == {"free": 1, "paid": 1, "enterprise": 1}
    assert Admission().room(None) is None


@pytest.mark.parametrize("share", [0, -1, 1.1])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="give shares above 0, at most 1"):
        Config.parse({"backends": [backend("http://h/v1")], "admission": {"shares": {"free": share}}})


async def waiting(served: Served, up: fake.FakeUpstream, count: int, **more: Any) -> list[asyncio.Task[Any]]:
    """So many requests that hang at a backend."""
    tasks: list[asyncio.Task[Any]] = []
    for _ in range(count):
        tasks.append(asyncio.create_task(served.chat(headers={"x-user-tier": "enterprise"}, **more)))
        await up.asked()
    return tasks


async def end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_lower_tiers_are_refused_first() -> None:
    limits = {"max_in_flight": 4, "shares": {"free": 0.5, "paid": 0.75}}
    async with upstream(fake.hang) as up, serving(backend(up), admission=limits) as served:
        tasks = await waiting(served, up, 2)
        up.behaviour = fake.whole()
        codes = [(await served.chat(headers={"x-user-tier": t})).status_code for t in TIERS]
        refused = await served.chat()
        up.behaviour = fake.hang
        tasks += await waiting(served, up, 2)
        up.behaviour = fake.whole()
        full = await served.chat(headers={"x-user-tier": "enterprise"})
        metrics = (await served.client.get("/metrics")).text
        await end(tasks)
    assert codes == [429, 200, 200]
    assert (refused.json()["error"]["code"], refused.headers["retry-after"]) == ("overloaded", "1")
    assert (full.status_code, full.json()["error"]["type"], full.headers["retry-after"]) == (503, "server_error", "1")
    assert 'slipway_router_shed_total{tier="free"} 2.0' in metrics


async def test_a_keys_tier_counts_not_the_headers() -> None:
    limits = {"max_in_flight": 2, "shares": {"free": 0.5}}
    keys = [{"name": "k", "env": "K", "tier": "free"}, {"name": "e", "env": "E", "tier": "enterprise"}]
    async with (
        upstream(fake.hang) as up,
        serving(backend(up), admission=limits, keys=keys, environ={"K": "k", "E": "e"}) as served,
    ):
        task = asyncio.create_task(served.chat(headers={"authorization": "Bearer e"}))
        await up.asked()
        refused = await served.chat(headers={"authorization": "Bearer k", "x-user-tier": "enterprise"})
        await end([task])
    assert refused.status_code == 429


async def test_a_full_backend_sheds_to_the_next_and_then_refuses_at_once() -> None:
    async with (
        upstream(fake.hang) as busy,
        upstream() as well,
        serving(backend(busy, max_in_flight=2), backend(well, "two"), admission={"shares": {"free": 0.5}}) as served,
    ):
        tasks = await waiting(served, busy, 1, model="one")
        free = await served.chat()
        refused = await served.chat(model="one")
        tasks += await waiting(served, busy, 1, model="one")
        await end(tasks)
    assert (free.headers["x-slipway-backend"], free.headers["x-slipway-attempts"]) == ("two", "1")
    assert (refused.status_code, refused.json()["error"]["code"], refused.headers["retry-after"]) == (503, "backends_busy", "1")
    assert len(busy.posts) == 2
