"""Several replicas behind one backend: the router itself in front of fake upstreams on loopback. DNS is that of this machine."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour, Exit, FakeUpstream
from tests.app.serving import Served, serving, upstream

from slipway_router.discovery import discover_all, look_up
from slipway_router.fleet import Fleet
from slipway_router.probe import probe
from slipway_router.replica_settings import Address

SYSTEM = "You are a helpful assistant. " * 60
"""About 430 tokens: several blocks of the 16 that these tests use."""


@asynccontextmanager
async def fleet_of(*behaviours: Behaviour, **settings: Any) -> AsyncGenerator[tuple[Served, Sequence[FakeUpstream]]]:
    """A router over one backend, with a replica for each behaviour."""
    more = {k: settings.pop(k) for k in ("backends", "timeouts", "hedging", "retries", "keys", "environ") if k in settings}
    replicas: dict[str, Any] = {"kv_tokens": 16_000, "block_tokens": 16, "tokens_per_second": 1000, **settings}
    async with AsyncExitStack() as stack:
        ups = [await stack.enter_async_context(upstream(b)) for b in behaviours]
        replicas["addresses"] = [f"127.0.0.1:{up.port}" for up in ups]
        backend: dict[str, Any] = {"name": "llama", "url": "http://llama.test:8000/v1", "model": "mock"}
        backend |= {"replicas": replicas, "timeouts": more.pop("timeouts", {})}
        served = await stack.enter_async_context(serving(backend, *more.pop("backends", ()), **more))
        yield served, ups


def fleet(served: Served, name: str = "llama") -> Fleet:
    found = served.router.targets[name].fleet
    assert found is not None
    return found


def counts(ups: Sequence[FakeUpstream]) -> list[int]:
    return [len(up.posts) for up in ups]


def talk(*said: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": "system", "content": SYSTEM}, *({"role": roles[n % 2], "content": s} for n, s in enumerate(said))]


def own(n: int) -> list[dict[str, str]]:
    """A prompt that shares nothing with others."""
    return [{"role": "user", "content": f"{n} " * 300}]


def nothing_held(served: Served) -> None:
    """No request under way leaves a trace."""
    one = fleet(served)
    for member in one.members.values():
        assert member.status.in_flight == 0
        assert one.held_tokens(member) == 0
    assert served.router.targets["llama"].in_flight == 0


async def settled(served: Served) -> None:
    async with asyncio.timeout(5):
        while served.proxy.watches:  # noqa: ASYNC110 -- no event tells that a request is over
            await asyncio.sleep(0.01)
    nothing_held(served)


async def test_a_conversation_stays_with_its_replica() -> None:
    async with fleet_of(*[fake.stream("hi")] * 4) as (served, ups):
        for user in range(8):
            said = [f"user {user} asks something of some length, again and again " * 8]
            homes: set[str] = set()
            for _ in range(3):
                answer = await served.chat(messages=talk(*said), stream=True)
                homes.add(answer.headers["x-slipway-replica"])
                said += ["hi", "and then? " * 10]
            assert len(homes) == 1
        assert sum(counts(ups)) == 24
        await settled(served)


async def test_what_replicas_are_asked_is_what_a_single_one_would_be() -> None:
    async with fleet_of(fake.whole(), fake.whole()) as (served, ups):
        answer = await served.chat()
        assert answer.status_code == 200
        assert answer.headers["x-slipway-backend"] == "llama"
        (got,) = [g for up in ups for g in up.posts]
        assert got.headers["host"] == "llama.test:8000"
        assert got.path == "/v1/chat/completions"


async def test_a_hot_system_prompt_spreads_under_load() -> None:
    async with fleet_of(*[fake.stream("hi", delay=0.3)] * 4) as (served, ups):
        await served.chat(messages=talk("warm up"), stream=True)
        asked = [served.chat(messages=talk(f"question {n}, told at some length. " * 10), stream=True) for n in range(32)]
        answers = await asyncio.gather(*asked)
        assert all(a.status_code == 200 for a in answers)
        assert min(counts(ups)) >= 3
        await settled(served)


@pytest.mark.parametrize(
    "bad",
    [
        fake.reset,
        fake.failing(),
        fake.failing("503 Busy", "Retry-After: 7"),
        fake.failing("429 Busy"),
        fake.garbage,
        fake.cut_whole(),
    ],
    ids=["resets", "500", "503", "429", "garbage", "cut"],
)
async def test_a_replica_that_fails_costs_no_request(bad: Behaviour) -> None:
    async with fleet_of(fake.whole(), bad, fake.whole()) as (served, ups):
        answers = [await served.chat(messages=own(n)) for n in range(24)]
        assert [a.status_code for a in answers] == [200] * 24
        assert max(int(a.headers["x-slipway-attempts"]) for a in answers) == 2
        assert 0 < len(ups[1].posts) < 8
        assert served.router.targets["llama"].status.available
        nothing_held(served)


async def test_a_replica_that_is_gone_costs_no_request_and_no_retry() -> None:
    retries = {"rounds": 0, "ratio": 0, "per_second": 0}
    async with fleet_of(*[fake.whole()] * 3, retries=retries) as (served, ups):
        await ups[1].stop()
        answers = [await served.chat(messages=own(n)) for n in range(24)]
        assert [a.status_code for a in answers] == [200] * 24
        nothing_held(served)


async def test_a_replica_that_hangs_is_left_for_another() -> None:
    async with fleet_of(fake.hang, fake.hang, fake.whole(), timeouts={"first_byte": 0.2}) as (served, _):
        answers = [await served.chat(messages=own(n)) for n in range(4)]
        assert [a.status_code for a in answers] == [200] * 4
        nothing_held(served)


async def test_after_two_that_fail_another_backend_is_asked_and_then_the_others() -> None:
    asked: list[str] = []

    def failing(name: str) -> Behaviour:
        async def behave(out: Exit) -> None:
            asked.append(name)
            await fake.failing()(out)

        return behave

    async with upstream(failing("other")) as other:
        backends = [{"name": "other", "url": other.url, "model": "mock"}]
        async with fleet_of(*[failing("llama")] * 4, backends=backends, retries={"rounds": 0}) as (served, ups):
            answer = await served.chat(model="mock")
            assert answer.status_code == 502
            assert asked == ["llama", "llama", "other", "llama", "llama"]
            assert counts(ups) == [1] * 4
            nothing_held(served)


async def test_what_holds_for_all_replicas_is_not_asked_of_each() -> None:
    async with upstream() as other:
        backends = [{"name": "other", "url": other.url, "model": "mock"}]
        async with fleet_of(*[fake.failing("404 Not Found")] * 3, backends=backends) as (served, ups):
            answer = await served.chat(model="mock")
            assert answer.status_code == 200
            assert sum(counts(ups)) <= 1


async def test_a_late_replica_is_hedged_with_another_of_the_same_backend() -> None:
    slow = asyncio.Event()

    async def behave(out: Exit) -> None:
        if slow.is_set():
            await asyncio.sleep(2)
        await fake.whole()(out)

    hedging = {"percentile": 0.9, "least_seconds": 0.05}
    async with fleet_of(behave, fake.whole(), hedging=hedging) as (served, _):
        for n in range(40):
            await served.chat(messages=own(n))
        slow.set()
        answers = [await served.chat(messages=own(n + 100)) for n in range(4)]
        assert [a.status_code for a in answers] == [200] * 4
        assert max(a.elapsed.total_seconds() for a in answers) < 1
        assert served.router.metrics.hedge_won.value >= 1
        await settled(served)


async def test_nothing_is_held_after_a_client_has_gone_or_a_stream_has_broken_off() -> None:
    endless = fake.stream(*["word "] * 500, delay=0.02)
    async with fleet_of(endless, endless) as (served, _):
        body = {"messages": talk("on and on"), "stream": True}
        async with served.client.stream("POST", "/v1/chat/completions", json=body) as answer:
            await anext(answer.aiter_bytes())
            held = [fleet(served).held_tokens(m) for m in fleet(served).members.values()]
            assert max(held) > 400
        await settled(served)
        held_before_a_token = asyncio.create_task(served.chat(messages=talk("?"), stream=True))
        await asyncio.sleep(0.01)
        held_before_a_token.cancel()
        await settled(served)
    async with fleet_of(*[fake.cut_stream(fake.event("half"))] * 2) as (served, _):
        answer = await served.chat(messages=talk("cut"), stream=True)
        assert "stream_broken" in answer.text
        await settled(served)


async def test_a_replica_that_joins_is_used_and_one_that_leaves_is_not() -> None:
    async with fleet_of(fake.whole(), fake.whole()) as (served, ups), upstream() as new:
        one = fleet(served)
        assert one.use([Address("127.0.0.1", up.port) for up in (ups[0], new)])
        assert not one.use([Address("127.0.0.1", up.port) for up in (new, ups[0])])
        assert sorted(m.number for m in one.members.values()) == [0, 1]
        assert served.router.targets["llama"].status.replicas == 2
        for n in range(6):
            await served.chat(messages=own(n))
        assert counts([*ups, new]) == [3, 0, 3]


async def test_what_a_replica_had_cached_is_forgotten_once_nobody_listens_there() -> None:
    async with fleet_of(fake.whole(), fake.whole()) as (served, ups):
        await served.chat(messages=talk("one"))
        home = next(n for n, up in enumerate(ups) if up.posts)
        known = fleet(served)._known  # pyright: ignore[reportPrivateUsage]
        blocks = known.blocks
        assert blocks > 20
        await ups[home].stop()
        assert (await served.chat(messages=talk("one"))).status_code == 200
        assert known.blocks == blocks  # the other's alone: the same prompt


async def test_without_a_replica_known_the_backends_own_address_is_asked() -> None:
    async with upstream() as up:
        replicas = {"service": "nobody.invalid", "refresh_seconds": 1}
        async with serving({"name": "llama", "url": up.url, "model": "mock", "replicas": replicas}) as served:
            assert not await look_up(fleet(served))
            answer = await served.chat()
            assert answer.status_code == 200
            assert "x-slipway-replica" not in answer.headers


async def test_replicas_are_found_by_a_name_and_come_and_go() -> None:
    async with upstream() as up:
        found: list[str] = []
        looked = asyncio.Event()

        async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
            assert host == "llama-headless.test"
            looked.set()
            if not found:
                raise socket.gaierror(socket.EAI_NONAME, "nobody")
            if found == ["?"]:
                raise socket.gaierror(socket.EAI_AGAIN, "try again")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (at, port)) for at in found]

        replicas = {"service": f"llama-headless.test:{up.port}", "refresh_seconds": 0.5}
        async with serving({"name": "llama", "url": "http://127.0.0.1:9/v1", "model": "mock", "replicas": replicas}) as served:
            loop: Any = asyncio.get_running_loop()
            loop.getaddrinfo = getaddrinfo
            one = fleet(served)
            found[:] = ["127.0.0.1", "127.0.0.2"]
            discovering = asyncio.create_task(discover_all(served.router))
            await asyncio.wait_for(served.router.changed.wait(), 5)
            assert {m.address.host for m in one.members.values()} == {"127.0.0.1", "127.0.0.2"}
            found[:] = ["127.0.0.1"]
            await asyncio.wait_for(served.router.changed.wait(), 5)
            assert {m.address.host for m in one.members.values()} == {"127.0.0.1"}
            assert (await served.chat()).status_code == 200
            found[:] = ["?"]
            assert not await look_up(one)
            assert len(one.members) == 1
            found.clear()
            assert await look_up(one)
            assert not one.members
            discovering.cancel()
            await asyncio.gather(discovering, return_exceptions=True)
            del loop.getaddrinfo


async def test_a_name_of_this_machine_is_really_looked_up() -> None:
    async with upstream() as up:
        url = f"http://localhost:{up.port}/v1"
        async with serving({"name": "llama", "url": url, "model": "mock", "replicas": {}}) as served:
            assert await look_up(fleet(served))
            assert "127.0.0.1" in {m.address.host for m in fleet(served).members.values()}
            assert (await served.chat()).status_code == 200


async def test_each_replica_is_probed() -> None:
    async with fleet_of(fake.whole(), fake.whole()) as (served, ups):
        target = served.router.targets["llama"]
        assert len(target.endpoints) == 2
        await ups[0].stop()
        for endpoint in target.endpoints:
            await probe(endpoint)
        assert sorted(bool(e.status.reachable) for e in target.endpoints) == [False, True]
        assert target.status.reachable


async def test_route_explains_the_choice_of_a_replica() -> None:
    async with fleet_of(*[fake.whole()] * 3) as (served, ups):
        await served.chat(messages=talk("one"))
        home = next(n for n, up in enumerate(ups) if up.posts)
        await ups[2 if home != 2 else 1].stop()
        told = (await served.client.post("/v1/route", json={"messages": talk("one", "hi", "two")})).json()["order"][0]
        chosen, *others = told["replicas"]
        numbers = {m.address.port: m.number for m in fleet(served).members.values()}
        assert chosen["chosen"]
        assert chosen["replica"] == numbers[ups[home].port]
        assert chosen["cached_share"] > 0.8
        assert [o["cached_share"] for o in others] == [0, 0]
        assert chosen["cost_seconds"] < min(o["cost_seconds"] for o in others)
        assert "127.0.0.1" not in str(told)
        nothing_held(served)


async def test_holders_of_several_keys_are_not_told_what_is_cached() -> None:
    keys = [{"name": n, "env": n.upper()} for n in ("a", "b")]
    async with fleet_of(fake.whole(), fake.whole(), keys=keys, environ={"A": "a" * 32, "B": "b" * 32}) as (served, _):
        headers = {"authorization": "Bearer " + "a" * 32}
        told = (await served.client.post("/v1/route", json={"messages": talk("one")}, headers=headers)).json()["order"][0]
        assert all("cached_share" not in r and "cost_seconds" not in r for r in told["replicas"])


async def test_an_outlier_is_left_out_and_said_to_be() -> None:
    outliers = {"consecutive_failures": 2, "ejection_seconds": 60}
    async with fleet_of(fake.whole(), fake.failing(), fake.whole(), outliers=outliers) as (served, ups):
        for n in range(12):
            assert (await served.chat(messages=own(n))).status_code == 200
        assert len(ups[1].posts) == 2
        told = (await served.client.post("/v1/route", json={"messages": talk("one")})).json()["order"][0]["replicas"]
        assert [("left out" in str(r["against"])) for r in told] == [False, False, True]
        metrics = (await served.client.get("/metrics")).text
        ejected = [line for line in metrics.splitlines() if line.startswith("slipway_router_replica_ejected{")]
        assert sorted(line.split()[-1] for line in ejected) == ["0.0", "0.0", "1.0"]


async def test_a_backend_whose_replicas_are_all_gone_may_have_scaled_to_zero() -> None:
    async with upstream() as up, upstream() as spare:
        replicas = {"addresses": [f"127.0.0.1:{up.port}"]}
        cold = {"min_replicas": 0, "cold_start_seconds": 60, "ramp_seconds": 0}
        backends = [
            {"name": "llama", "url": up.url, "model": "mock", "replicas": replicas, **cold},
            {"name": "spare", "url": spare.url, "model": "mock"},
        ]
        policy = {"preferences": ["llama", "spare"], "cheap": "llama"}
        async with serving(*backends, policy=policy) as served:
            await up.stop()
            answer = await served.chat()
            assert answer.headers["x-slipway-backend"] == "spare"
            target = served.router.targets["llama"]
            assert target.away
            assert (await served.chat()).headers["x-slipway-attempts"] == "1"
            async with upstream() as back:
                fleet(served).use([Address("127.0.0.1", back.port)])
                for endpoint in target.endpoints:
                    await probe(endpoint)
                assert not target.away
                assert (await served.chat()).headers["x-slipway-backend"] == "llama"
