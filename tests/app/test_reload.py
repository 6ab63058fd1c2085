"""Another configuration while the router serves: what changes, what stays, and what is refused."""

import asyncio
import contextlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import DONE, event
from tests.app.serving import CHAT, Served, backend, serving, upstream

from slipway_router.config import Config, ConfigError
from slipway_router.probe import probe_all
from slipway_router.reload import Reloader
from slipway_router.router import Router


def config(*backends: dict[str, Any], **settings: Any) -> Config:
    return Config.parse({"backends": list(backends), **settings})


async def asked(served: Served, **fields: Any) -> str:
    answer = await served.chat(**fields)
    return answer.headers.get("x-slipway-backend") or str(answer.json()["error"]["code"])


async def test_a_backend_that_stays_keeps_what_is_known_of_it_and_its_connections() -> None:
    async with upstream() as one, upstream() as two, serving(backend(one), backend(two, "two")) as served:
        await served.chat(model="one")
        kept = served.router.targets["one"]
        gone = served.router.targets["two"]
        await served.chat(model="two")
        served.router.reload(config(backend(one), backend(two, "three")), {})
        assert served.router.targets["one"] is kept
        assert kept.status.current_latency_ms > 0
        await asyncio.wait_for(two.gone.wait(), 2)
        assert gone.pool.free == []
        assert [await asked(served, model=m) for m in ("one", "two", "three")] == ["one", "model_not_found", "three"]
        assert one.connections == 1
        metrics = (await served.client.get("/metrics")).text
    assert 'backend_available{backend="three"} 1.0' in metrics
    assert 'backend_available{backend="two"}' not in metrics
    assert 'attempts_total{backend="two"} 1.0' in metrics


async def test_a_backend_that_is_told_otherwise_begins_anew_under_its_name() -> None:
    async with upstream() as one, serving(backend(one, breaker={"failures": 1})) as served:
        served.router.targets["one"].breaker.failed()
        served.router.reload(config(backend(one, quality="high")), {})
        metrics = (await served.client.get("/metrics")).text
        assert served.router.targets["one"].breaker.closed
    assert 'breaker_open{backend="one"} 0.0' in metrics


async def test_a_new_key_of_the_same_name_is_used() -> None:
    async with upstream() as one, serving(backend(one, api_key_env="K"), environ={"K": "old"}) as served:
        served.router.reload(config(backend(one, api_key_env="K")), {"K": "new"})
        await served.chat()
    assert one.posts[0].headers["authorization"] == "Bearer new"


async def test_everything_else_changes_with_the_next_request() -> None:
    async with upstream() as one, serving(backend(one), environ={}) as served:
        served.router.reload(
            config(
                backend(one, max_in_flight=10),
                keys=[{"name": "k", "env": "K"}],
                max_body_mib=1,
                hedging={},
                policies={"p": {"kind": "least_latency"}},
                routes=[{"name": "r", "match": {"headers": {"x-team": "a"}}, "policy": "p"}],
            ),
            {"K": "secret"},
        )
        key = {"authorization": "Bearer secret"}
        assert (await served.chat()).status_code == 401
        assert (await served.chat(headers=key, x="y" * 1024 * 1024)).status_code == 413
        assert (await served.chat(headers={**key, "x-team": "a"})).headers["x-slipway-rule"] == "r"
        assert served.router.targets["one"].first_bytes is not None
        assert served.router.targets["one"].room == {"free": 8, "paid": 9, "enterprise": 10}
        assert 'key_requests_total{key="k"} 2.0' in (await served.client.get("/metrics")).text


async def test_a_stream_under_way_goes_on_at_a_backend_that_is_gone() -> None:
    async with (
        upstream(fake.stream("a", "b", "c", delay=0.1)) as one,
        upstream() as two,
        serving(backend(one)) as served,
        served.client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as answer,
    ):
        parts = answer.aiter_raw()
        got = await anext(parts)
        served.router.reload(config(backend(two, "two")), {})
        async for part in parts:
            got += part
        await asyncio.wait_for(one.gone.wait(), 2)
        assert await asked(served) == "two"
    assert got == event("a") + event("b") + event("c") + event("", "stop") + DONE


async def test_a_quota_that_is_used_up_stays_so() -> None:
    async with upstream() as one, serving(backend(one, quota="q")) as served:
        served.router.targets["one"].status.quota.rest(60)
        served.router.reload(config(backend(one, "new", quota="q")), {})
        assert await asked(served) == "rate_limited"


async def test_a_key_that_is_not_set_changes_nothing() -> None:
    async with upstream() as one, serving(backend(one)) as served:
        before = dict(vars(served.router))
        with pytest.raises(ConfigError, match="MISSING"):
            served.router.reload(config(backend(one, "other"), keys=[{"name": "k", "env": "MISSING"}]), {})
        assert [name for name, value in vars(served.router).items() if value is not before[name]] == []
        assert await asked(served, model="one") == "one"


async def test_new_backends_are_probed_and_old_ones_no_longer() -> None:
    async with upstream() as one, upstream() as two:
        router = Router(config(backend(one)), {})
        probing = asyncio.create_task(probe_all(router, period=0.02))
        await asyncio.sleep(0.2)
        router.reload(config(backend(two, "two")), {})
        await asyncio.sleep(0.1)
        before = len(one.got)
        await asyncio.sleep(0.2)
        probing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await probing
        router.close()
    assert before == len(one.got) > 2
    assert len(two.got) > 2


def write(path: Path, *backends: dict[str, Any], **settings: Any) -> None:
    path.write_text(json.dumps({"backends": list(backends), **settings}))


async def test_a_bad_file_is_refused_with_its_faults_and_the_old_one_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "router.json"
    async with upstream() as one, serving(backend(one)) as served:
        reloader = Reloader(served.router, path, {})
        for content in ("{", json.dumps({"backends": [backend(one, "other"), {"name": "A b"}]})):
            path.write_text(content)
            assert not await reloader.reload()
        path.unlink()
        assert not await reloader.reload()
        assert await asked(served, model="one") == "one"
        write(path, backend(one, "other"), listen={"port": 1234})
        with caplog.at_level(logging.INFO, "slipway_router"):
            assert await reloader.reload()
            assert await reloader.reload()
        assert await asked(served, model="other") == "other"
    for said in (
        "backends[1].name: is 'A b'",
        "backends[1].url: is required",
        "neither YAML",
        "cannot be read",
        "needs a restart",
    ):
        assert said in caplog.text
    assert "is unchanged" in caplog.text


async def test_a_changed_file_is_taken_once_it_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway_router.reload.POLL_SECONDS", 0.05)
    path = tmp_path / "router.json"
    async with upstream() as one, serving(backend(one)) as served:
        write(path, backend(one))
        watching = asyncio.create_task(Reloader(served.router, path, {}).watch())
        await asyncio.sleep(0.12)
        path.unlink()
        await asyncio.sleep(0.12)
        new = tmp_path / "new.json"
        write(new, backend(one, "linked"))
        path.symlink_to(new)
        for _ in range(100):
            if "linked" in served.router.targets:
                break
            await asyncio.sleep(0.05)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        assert list(served.router.targets) == ["linked"]


async def test_a_file_that_is_still_being_written_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway_router.reload.POLL_SECONDS", 0.1)
    path = tmp_path / "router.json"
    path.write_text("{}")
    async with upstream() as one:
        router = Router(config(backend(one)), {})
        reloader, seen = Reloader(router, path, {}), 0

        async def count() -> bool:
            nonlocal seen
            seen += 1
            return True

        monkeypatch.setattr(reloader, "reload", count)
        watching = asyncio.create_task(reloader.watch())
        for i in range(50):
            path.write_text("x" * (i + 1))
            await asyncio.sleep(0.01)
        during = seen
        for _ in range(100):
            if seen:
                break
            await asyncio.sleep(0.05)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        router.close()
    assert (during, seen) == (0, 1)
