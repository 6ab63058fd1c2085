"""The health probe: how a backend goes, and how it comes back without a request being sent to it."""

import asyncio
import contextlib

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour
from tests.app.serving import backend, upstream

from slipway_router.config import Config
from slipway_router.probe import probe, probe_all
from slipway_router.router import Router


def router_for(*backends: object) -> Router:
    return Router(Config.parse({"backends": list(backends)}), {"UP_KEY": "up-secret"})


async def test_a_probe_asks_for_the_models_with_the_backends_key() -> None:
    async with upstream() as up:
        router = router_for(backend(up, api_key_env="UP_KEY"))
        await probe(router.targets["one"])
        await probe(router.targets["one"])
        router.close()
    got = up.got[0]
    assert (got.method, got.path, got.headers["authorization"]) == ("GET", "/v1/models", "Bearer up-secret")
    status = router.targets["one"].status
    assert (status.reachable, status.error_rate, status.current_latency_ms) == (True, 0, 0)
    assert up.connections == 1


@pytest.mark.parametrize(
    ("models", "well"),
    [
        (fake.failing("404 Not Found"), True),
        (fake.failing("429 Too Many Requests"), True),
        (fake.failing("503 Service Unavailable"), False),
        (fake.failing("401 Unauthorized"), False),
        (fake.reset, False),
    ],
    ids=["404", "429", "503", "401", "reset"],
)
async def test_what_counts_as_reachable(models: Behaviour, well: bool) -> None:
    async with upstream() as up:
        up.models = models
        router = router_for(backend(up))
        status = router.targets["one"].status
        await probe(router.targets["one"])
        router.close()
    assert status.reachable is well
    assert status.error_rate == (0 if well else pytest.approx(0.1))


async def test_a_server_that_starts_slowly_begins_with_a_clean_sheet() -> None:
    async with upstream() as up:
        up.models = fake.failing("503 Service Unavailable")
        router = router_for(backend(up))
        target = router.targets["one"]
        for _ in range(12):
            await probe(target)
        assert (target.status.available, target.status.error_rate) == (False, pytest.approx(0.5))
        up.models = fake.models()
        await probe(target)
        router.close()
    assert (target.status.available, target.status.error_rate) == (True, 0)


async def test_one_that_failed_in_service_comes_back_slowly() -> None:
    async with upstream() as up:
        router = router_for(backend(up))
        target = router.targets["one"]
        await probe(target)
        up.models = fake.failing()
        for _ in range(12):
            await probe(target)
        assert (target.status.available, target.status.error_rate) == (False, pytest.approx(0.5))
        up.models = fake.models()
        await probe(target)
        router.close()
    assert (target.status.available, target.status.error_rate) == (True, pytest.approx(0.49))


async def test_a_health_check_can_ask_the_model_for_a_token() -> None:
    async with upstream(fake.failing()) as up:
        router = router_for(backend(up, health_check="completion", breaker={"failures": 2}))
        target = router.targets["one"]
        target.reached = True
        for _ in range(3):
            await probe(target)
        assert [(g.method, g.path, g.json["model"], g.json["max_tokens"]) for g in up.got] == [
            ("POST", "/v1/chat/completions", "mock", 1)
        ] * 2
        assert (target.breaker.state, target.status.error_rate) == ("open", pytest.approx(0.2))
        up.behaviour = fake.whole()
        target.breaker.hurry()
        await probe(target)
        assert (target.breaker.state, target.status.current_latency_ms) == ("closed", 0)
        await probe(target)
        assert len(up.got) == 3
        await probe(target)
        router.close()
    assert len(up.got) == 4


async def test_a_models_400_is_a_failed_health_check() -> None:
    async with upstream(fake.failing("400 Bad Request")) as up:
        router = router_for(backend(up, health_check="completion", tasks=["completions"]))
        await probe(router.targets["one"])
        router.close()
    assert up.got[0].path == "/v1/completions"
    assert router.targets["one"].status.reachable is False


async def test_a_backend_that_asked_to_be_left_alone_is_not_probed() -> None:
    async with upstream() as up:
        router = router_for(backend(up))
        router.targets["one"].status.quota.rest(60)
        await probe(router.targets["one"])
        router.close()
    assert up.got == []


async def test_a_backend_that_is_reached_again_is_tried_at_once() -> None:
    async with upstream() as up:
        router = router_for(backend(up, breaker={"failures": 1}))
        target = router.targets["one"]
        await probe(target)
        up.models = fake.reset
        await probe(target)
        assert (target.breaker.state, target.breaker.willing) == ("open", False)
        up.models = fake.models()
        await probe(target)
        assert (target.breaker.state, target.breaker.willing) == ("open", True)
        router.close()


async def test_a_list_of_models_says_nothing_of_a_model_that_fails() -> None:
    async with upstream() as up:
        router = router_for(backend(up, breaker={"failures": 1}))
        target = router.targets["one"]
        await probe(target)
        target.breaker.failed()
        await probe(target)
        assert (target.breaker.state, target.breaker.willing) == ("open", False)
        router.close()


async def test_probes_go_on_by_themselves() -> None:
    async with upstream() as up, upstream() as other:
        router = router_for(backend(up), backend(other, "two"))
        probing = asyncio.create_task(probe_all(router, period=0.02))
        await asyncio.sleep(0.3)
        await up.stop()
        await asyncio.sleep(0.3)
        seen = len(other.got)
        one, two = (router.targets[n].status for n in ("one", "two"))
        probing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await probing
        router.close()
    assert (one.reachable, one.available) == (False, False)
    assert (two.reachable, two.available) == (True, True)
    assert seen > 5
