"""Whole backends of one model beside each other, on a clock that the test moves; then the router over fake upstreams."""

import asyncio
from typing import Any

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Exit
from tests.app.serving import Served, serving, upstream

from slipway_router.config import Config, ConfigError
from slipway_router.peers import Peers, same_model
from slipway_router.policy import ProviderStatus, RoutingContext
from slipway_router.replica_settings import OutlierSettings


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def group(names: str, clock: Clock, **settings: Any) -> Peers:
    return Peers(OutlierSettings(**settings), {n: ProviderStatus(n) for n in names}, clock)


def out(peers: Peers) -> str:
    return "".join(n for n, s in peers.statuses.items() if s.ejected_seconds)


def interval(peers: Peers, clock: Clock, **of: tuple[int, float]) -> str:
    """Ten outcomes of each, so many of them failures, the others with such a time to the first byte; then the comparison."""
    for name, (failures, seconds) in of.items():
        for n in range(10):
            if n < failures:
                peers.failed(name)
            else:
                peers.succeeded(name, seconds)
    clock.now += 10
    peers.succeeded(next(iter(of)), next(iter(of.values()))[1])
    return out(peers)


def test_failures_in_a_row_leave_a_backend_out_for_a_growing_time() -> None:
    clock = Clock()
    peers = group("abc", clock, consecutive_failures=1, ejection_seconds=30, most_ejection_seconds=70)
    for expected in (30, 60, 70):
        peers.failed("a")
        assert out(peers) == "a"
        assert peers.statuses["a"].ejected_seconds == pytest.approx(expected, abs=1)
        assert not peers.statuses["a"].usable(RoutingContext())
        assert not peers.statuses["a"].limited_now
        clock.now += expected
        peers.statuses["a"].eject(0)
        assert peers.statuses["a"].usable(RoutingContext())


def test_one_that_fails_or_dawdles_beside_its_peers_is_left_out_and_all_alike_are_not() -> None:
    clock = Clock()
    peers = group("abc", clock, consecutive_failures=100)
    peers.succeeded("a", 0.1)
    assert interval(peers, clock, a=(5, 0.2), b=(5, 0.2), c=(4, 0.2)) == ""
    assert interval(peers, clock, a=(0, 0.2), b=(0, 2.0), c=(0, 0.2)) == "b"
    peers.statuses["b"].eject(0)
    clock.now += 60
    assert interval(peers, clock, a=(0, 0.2), b=(0, 0.2), c=(0, 0.2)) == ""
    assert interval(peers, clock, a=(6, 0.2), b=(0, 0.2), c=(0, 0.2)) == "a"


@pytest.mark.parametrize(("names", "share", "most"), [("ab", 0.34, 1), ("abcdef", 0.34, 2), ("abcdef", 1.0, 5), ("ab", 0, 0)])
def test_never_more_than_a_share_and_never_all(names: str, share: float, most: int) -> None:
    peers = group(names, Clock(), consecutive_failures=1, most_ejected=share)
    for name in names:
        peers.failed(name)
    assert len(out(peers)) == most


def test_a_rate_limit_lasts_on_when_the_ejection_is_over() -> None:
    status = ProviderStatus("a")
    status.set_aside(50)
    status.eject(10)
    assert (status.limited_now, status.set_aside_now) == (True, True)
    status.eject(0)
    assert (status.ejected_seconds, status.set_aside_now) == (0, True)


def test_backends_are_of_one_model_by_any_name_they_share() -> None:
    backends = [
        {"name": "own", "model": "llama-8b"},
        {"name": "vendor", "model": "meta.llama3", "serves": ["llama-8b"]},
        {"name": "other", "model": "qwen"},
        {"name": "third", "model": "m", "serves": ["meta.llama3", "x"]},
        {"name": "wrong", "model": 3, "serves": 4},
    ]
    assert same_model(backends) == [["own", "vendor", "third"]]
    assert same_model(backends[2:]) == []


def backend(name: str, port: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "url": f"http://127.0.0.1:{port}/v1", "model": "mock", **more}


def test_settings_that_nothing_could_follow_are_refused() -> None:
    alone = [backend("a", 1), backend("b", 2, model="other")]
    with pytest.raises(ConfigError, match="outliers: is for backends of the same model, and no two share a name"):
        Config.parse({"backends": alone, "outliers": {}})
    copied = [{"name": "trial", "backend": "c"}]
    with pytest.raises(ConfigError, match="outliers: is for backends of the same model"):
        Config.parse({"backends": [*alone, backend("c", 3)], "outliers": {}, "shadows": copied})
    with pytest.raises(ConfigError, match=r"outliers\.error_margin: is 2"):
        Config.parse({"backends": [backend("a", 1), backend("b", 2)], "outliers": {"error_margin": 2}})


async def late(out: Exit) -> None:
    await asyncio.sleep(0.25)
    await fake.whole()(out)


async def told(served: Served) -> dict[str, Any]:
    order = (
        await served.client.post("/v1/route", json={"model": "mock", "messages": [{"role": "user", "content": "hello"}]})
    ).json()["order"]
    return {o["backend"]: o for o in order}


async def test_a_backend_slower_than_its_peers_is_asked_last_and_said_to_be_left_out() -> None:
    """Its breaker and its error rate see nothing wrong with it. It is asked all the same where no other one is left."""
    async with upstream(late) as slow, upstream(fake.whole()) as fast, upstream(fake.whole()) as third:
        outliers = {"interval_seconds": 0.5, "least_outcomes": 2, "latency_factor": 2, "ejection_seconds": 60}
        weighted = {"kind": "weighted", "weights": {"slow": 1, "fast": 1, "third": 1}}
        more: dict[str, Any] = {"policies": {"even": weighted}, "routes": [{"name": "all", "policy": "even"}]}
        three = [backend(n, up.port) for n, up in (("slow", slow), ("fast", fast), ("third", third))]
        async with serving(*three, outliers=outliers, **more) as served:
            for n in range(200):
                assert (await served.chat(model="mock", user=str(n))).status_code == 200
                if served.router.targets["slow"].status.ejected_seconds:
                    break
            before = len(slow.posts)
            for n in range(20):
                assert (await served.chat(model="mock", user=str(n))).headers["x-slipway-backend"] != "slow"
            assert len(slow.posts) == before > 0
            order = await told(served)
            assert list(order)[-1] == "slow"
            assert "it does worse than others of its model, and is left out for" in order["slow"]["against"][0]
            assert order["slow"]["error_rate"] == 0
            metrics = (await served.client.get("/metrics")).text
            assert 'slipway_router_backend_ejected{backend="slow"} 1.0' in metrics
            assert 'slipway_router_backend_ejected{backend="fast"} 0.0' in metrics
            fast.behaviour = fake.failing()
            third.behaviour = fake.failing()
            assert (await served.chat(model="mock", user="1")).headers["x-slipway-backend"] == "slow"


async def test_a_reload_keeps_what_is_known_and_without_the_setting_nobody_is_left_out() -> None:
    async with upstream() as one, upstream() as other:
        told: dict[str, Any] = {"backends": [backend("a", one.port), backend("b", other.port)], "outliers": {}}
        async with serving(*told["backends"], outliers={}) as served:
            targets = served.router.targets
            group = targets["a"].peers
            assert group is not None
            assert targets["b"].peers is group
            targets["a"].status.eject(60)
            served.router.reload(Config.parse({**told, "drain_seconds": 1}), {})
            assert served.router.targets["a"].peers is group
            assert served.router.targets["a"].status.ejected_seconds > 50
            served.router.reload(Config.parse({"backends": told["backends"]}), {})
            assert served.router.targets["a"].peers is None
            assert served.router.targets["a"].status.ejected_seconds == 0


async def test_a_backend_of_several_replicas_is_one_peer() -> None:
    async with upstream(fake.failing()) as bad, upstream(fake.failing()) as worse, upstream() as good:
        replicas = {"addresses": [f"127.0.0.1:{up.port}" for up in (bad, worse)], "outliers": {"most_ejected": 0}}
        outliers = {"consecutive_failures": 3, "ejection_seconds": 60}
        more: dict[str, Any] = {"outliers": outliers, "policy": {"preferences": ["fleet", "good"], "cheap": "fleet"}}
        async with serving(backend("fleet", bad.port, replicas=replicas), backend("good", good.port), **more) as served:
            for _ in range(2):
                assert (await served.chat(model="mock")).headers["x-slipway-backend"] == "good"
            assert served.router.targets["fleet"].status.ejected_seconds > 50
            before = len(bad.posts) + len(worse.posts)
            assert before == 4
            assert (await served.chat(model="mock")).status_code == 200
            assert len(bad.posts) + len(worse.posts) == before
