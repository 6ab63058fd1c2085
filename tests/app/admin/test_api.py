"""The admin API over HTTP, beside the port that clients use."""

import asyncio
import hashlib
import hmac
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.app import fake_upstream as fake
from tests.app.documented import documented
from tests.app.fake_upstream import FakeUpstream
from tests.app.process import running
from tests.app.serving import CHAT, Served, backend, serving, upstream
from tests.app.tenancy.real_redis import needs_redis, redis_at, until
from tests.clients.stage import in_thread

from slipway_router.admin.api import allowed
from slipway_router.server import http_server, listen
from slipway_router.web import LazyWeb

KEY = "admin-" + "0123456789abcdef" * 2
ADMIN = {"admin": {"key_env": "ADMIN"}}
BEARER = {"authorization": f"Bearer {KEY}"}


@asynccontextmanager
async def operating(*backends: dict[str, Any], **settings: Any) -> AsyncGenerator[tuple[Served, httpx.AsyncClient]]:
    """A router, and its admin API as the process serves it, with the key."""
    async with serving(*backends, environ={"ADMIN": KEY, "TEAM": "t" * 32}, **ADMIN, **settings) as served:
        listener = listen("127.0.0.1", 0)
        server = http_server(LazyWeb(served.router, "slipway_router.admin.api"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            at = f"http://127.0.0.1:{listener.getsockname()[1]}"
            hooks: Any = {"response": [partial(documented, admin=True)]}
            async with httpx.AsyncClient(base_url=at, headers=BEARER, timeout=20, event_hooks=hooks) as client:
                yield served, client
        finally:
            server.should_exit = True
            await task


PATHS = [
    ("GET", "/admin/state"),
    ("GET", "/admin/backends"),
    ("GET", "/admin/backends/one"),
    ("POST", "/admin/backends/one/drain"),
    ("POST", "/admin/backends/one/undrain"),
    ("PUT", "/admin/backends/one/weight"),
    ("GET", "/admin/keys"),
    ("POST", "/admin/keys"),
    ("DELETE", "/admin/keys/team"),
    ("GET", "/admin/openapi.json"),
]


async def test_without_the_key_everything_is_refused_and_nothing_is_done() -> None:
    tokens = (f"Bearer {KEY}x", f"Basic {KEY}", KEY, "Bearer", f"Bearer {'t' * 32}")
    wrong = [{}, {"x-api-key": KEY}, *({"authorization": token} for token in tokens)]
    async with upstream() as up, operating(backend(up), keys=[{"name": "team", "env": "TEAM"}]) as (served, operator):
        del operator.headers["authorization"]
        for method, path in [*PATHS, ("GET", "/"), ("GET", "/docs"), ("GET", "/admin/nothing"), ("GET", "/health")]:
            for headers in wrong:
                answer = await operator.request(method, path, headers=headers, json={"weight": 0})
                assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_admin_key"), path
        assert served.router.weights.shares == {}
    assert not allowed(None, [(b"authorization", b"Bearer " + KEY.encode())])


async def test_a_fault_of_ours_is_told_in_openais_shape(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("what an operator wrote")

    async with upstream() as up, operating(backend(up)) as (served, operator):
        monkeypatch.setattr(served.router.weights, "of", broken)
        answer = await operator.get("/admin/state")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    logged = [r.getMessage() for r in caplog.records if "RuntimeError" in r.getMessage()]
    assert len(logged) == 1
    assert answer.headers["x-request-id"] in logged[0]
    assert "wrote" not in caplog.text + answer.text


async def test_none_of_it_is_on_the_port_that_clients_use() -> None:
    async with upstream() as up, operating(backend(up)) as (served, _):
        for method, path in PATHS:
            answer = await served.client.request(method, path, headers=BEARER, json={"weight": 0})
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        assert (await served.chat(BEARER)).status_code == 200
        document = (await served.client.get("/openapi.json")).text
    assert "/admin" not in document


def test_the_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hmac.compare_digest alone, on digests of one length, whatever was sent."""
    digest = hashlib.sha256(KEY.encode()).digest()
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def counting(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return real(a, b)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    wrong = (f"X{KEY[1:]}", f"{KEY[:-1]}X", KEY[:9], f"{KEY}X", "")
    assert not any(allowed(digest, [(b"authorization", f"Bearer {token}".encode())]) for token in wrong)
    assert not allowed(digest, [])
    assert compared == [(32, 32)] * (len(wrong) + 1)
    assert allowed(digest, [(b"authorization", f"Bearer {KEY}".encode())])


async def test_state_tells_the_configuration_the_requests_and_every_backend() -> None:
    async with (
        upstream() as up,
        operating(backend(up), backend("http://127.0.0.1:1/v1", "down", resource="llama-b"), breaker_off()) as (served, operator),
    ):
        await served.chat()
        state = (await operator.get("/admin/state")).json()
        one = (await operator.get("/admin/backends/one")).json()
        listed = (await operator.get("/admin/backends")).json()["backends"]
        digest = served.router.metrics.config_digest
    assert state["configuration"]["sha256"] == digest
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", state["configuration"]["read_at"])
    assert (state["ready"], state["status"], state["requests_under_way"]) == (True, "ready", 0)
    assert state["backends"] == listed
    assert [b["name"] for b in listed] == ["one", "down", "third"]
    assert (one["state"], one["weight"], one["breaker"], one["in_flight"], one["replicas"]) == ("serving", 1.0, "closed", 0, [])
    assert (listed[1]["resource"], KEY in json.dumps(state)) == ("llama-b", False)


def breaker_off() -> dict[str, Any]:
    return backend("http://127.0.0.1:1/v1", "third", replicas={"addresses": ["127.0.0.1:1", "127.0.0.1:2"]})


async def test_a_drained_backend_finishes_its_streams_and_gets_nothing_new() -> None:
    async with (
        upstream(fake.stream(*"abcdefghij", delay=0.05)) as one,
        upstream() as two,
        operating(backend(one), backend(two, "two")) as (served, operator),
    ):
        async with served.client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as answer:
            parts = answer.aiter_bytes()
            seen = await anext(parts)
            assert answer.headers["x-slipway-backend"] == "one"
            drained = (await operator.post("/admin/backends/one/drain")).json()
            assert (drained["state"], drained["weight"], drained["in_flight"]) == ("draining", 0.0, 1)
            others = [await served.chat() for _ in range(5)]
            assert {a.headers["x-slipway-backend"] for a in others} == {"two"}
            assert (await served.chat(model="one")).json()["error"]["code"] == "backends_drained"
            async for part in parts:
                seen += part
        assert seen.endswith(b"data: [DONE]\n\n")
        assert re.findall(rb'"content": "(\w)"', seen) == [c.encode() for c in "abcdefghij"]
        assert (await operator.get("/admin/backends/one")).json()["state"] == "drained"
        assert 'backend_weight{backend="one"} 0.0' in (await served.client.get("/metrics")).text
        assert len(one.posts) == 1
        assert (await operator.post("/admin/backends/one/undrain")).json()["state"] == "serving"
        assert (await served.chat()).headers["x-slipway-backend"] == "one"


async def test_a_weight_holds_over_a_reload_and_a_drained_backend_is_no_fail_over() -> None:
    async with upstream() as one, upstream() as two, operating(backend(one), backend(two, "two")) as (served, operator):
        await operator.put("/admin/backends/one/weight", json={"weight": 0.25})
        for _ in range(120):
            await served.chat()
        assert 10 <= len(one.posts) <= 55
        await operator.post("/admin/backends/one/drain")
        await operator.put("/admin/backends/two/weight", json={"weight": 0.0})
        config = served.router.config.model_copy(update={"max_body_mib": 3})
        served.router.reload(config, {"ADMIN": KEY, "TEAM": "t" * 32})
        before = len(one.posts), len(two.posts)
        assert (await served.chat()).status_code == 503
        assert (len(one.posts), len(two.posts)) == before


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"weight": -0.1}, "'weight' is -0.1; input should be greater than or equal to 0"),
        ({"weight": 2}, "'weight' is 2; input should be less than or equal to 1"),
        ({"weight": "much"}, "'weight' is 'much'"),
        ({}, "'weight' is required"),
        ({"weight": 1, "for": "ever"}, "'for' is not a setting here"),
        ([], "should be"),
    ],
)
async def test_wrong_weights_are_refused(body: Any, says: str) -> None:
    async with operating(backend("http://127.0.0.1:1/v1")) as (served, operator):
        answer = await operator.put("/admin/backends/one/weight", json=body)
        assert served.router.weights.shares == {}
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_body")
    assert says.lower() in answer.json()["error"]["message"].lower()


async def test_what_is_not_there_is_told_with_the_choice() -> None:
    async with operating(backend("http://127.0.0.1:1/v1")) as (_, operator):
        unknown = await operator.post("/admin/backends/two/drain")
        nothing = await operator.get("/admin/nothing")
        method = await operator.post("/admin/state")
        other = await operator.put("/admin/keys")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "backend_not_found")
    assert "there are 'one'" in unknown.json()["error"]["message"]
    assert [a.json()["error"]["code"] for a in (nothing, method)] == ["not_found", "method_not_allowed"]
    assert (method.headers["allow"], other.headers["allow"]) == ("GET", "GET, POST")


async def test_keys_of_the_configuration_are_listed_by_name_and_changed_there() -> None:
    keys = [{"name": "team", "env": "TEAM", "tier": "paid"}]
    async with operating(backend("http://127.0.0.1:1/v1"), keys=keys) as (_, operator):
        answer = await operator.get("/admin/keys")
        refused = [await operator.post("/admin/keys", json={"name": "new"}), await operator.delete("/admin/keys/team")]
    assert answer.json()["keys"] == [{"name": "team", "tier": "paid", "env": "TEAM", "kept": "configuration", "revoked": False}]
    assert "tttt" not in answer.text
    assert [(a.status_code, a.json()["error"]["code"]) for a in refused] == [(409, "keys_not_shared")] * 2


@needs_redis
async def test_keys_in_redis_are_made_listed_and_revoked_and_every_router_goes_by_it(tmp_path: Path) -> None:
    keys = [{"name": "team", "env": "TEAM"}]
    with redis_at(tmp_path) as redis:
        shared = {"redis": {**redis.settings, "keys": True}, "keys": keys}
        async with (
            upstream() as up,
            operating(backend(up), **shared) as (one, operator),
            operating(backend(up), **shared) as (two, _),
        ):
            await until(lambda: one.router.sharing.connected and two.router.sharing.connected)
            made = await operator.post("/admin/keys", json={"name": "new", "tier": "paid", "requests_per_minute": 2})
            key = made.json()["key"]
            assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
            bearer = {"authorization": f"Bearer {key}"}
            await until(lambda: "new" in two.router.keys.names)
            assert [(await s.chat(bearer)).status_code for s in (one, two, one)] == [200, 200, 429]
            listed = await operator.get("/admin/keys")
            assert [(k["name"], k["kept"], k["revoked"]) for k in listed.json()["keys"]] == [
                ("team", "configuration", False),
                ("new", "redis", False),
            ]
            assert "hash" not in listed.text
            assert key not in listed.text
            again = await operator.post("/admin/keys", json={"name": "new"})
            configured = await operator.post("/admin/keys", json={"name": "team"})
            model = await operator.post("/admin/keys", json={"name": "other", "models": ["nobodys"]})
            wrong = await operator.post("/admin/keys", json={"name": "Not A Name", "tier": "gold"})
            assert [a.json()["error"]["code"] for a in (again, configured, model, wrong)] == [
                "key_exists",
                "key_exists",
                "invalid_body",
                "invalid_body",
            ]
            assert "'tier' is 'gold'; give 'free', 'paid' or 'enterprise'" in wrong.json()["error"]["message"]
            assert (await operator.delete("/admin/keys/new")).json() == {"name": "new", "revoked": True}
            await operator.delete("/admin/keys/team")
            assert (await operator.delete("/admin/keys/nobody")).json()["error"]["code"] == "key_not_found"
            began = time.monotonic()
            await until(lambda: "new" not in two.router.keys.names)
            assert time.monotonic() - began < 1
            assert (await two.chat(bearer)).status_code == 401
            await until(lambda: "team" not in two.router.keys.names)
            assert (await operator.get("/admin/keys")).json()["keys"][0]["revoked"]
            redis.kill()
            gone = await operator.get("/admin/keys")
            assert (gone.status_code, gone.json()["error"]["code"]) == (503, "redis_unreachable")


@pytest.mark.timeout(300)
def test_a_process_serves_it_on_a_port_of_its_own_as_its_document_says(tmp_path: Path) -> None:
    up = FakeUpstream(fake.whole(), fake.models())
    with in_thread(up):
        config = tmp_path / "router.json"
        config.write_text(json.dumps({"backends": [backend(up)], **ADMIN}))
        with running(config, {"ADMIN": KEY}, ["--admin-port", "0"]) as (process, url, log):
            found = re.search(r"admin API on (http://\S+)", "".join(log))
            assert found is not None
            at = found[1]
            assert httpx.get(f"{url}/admin/state", headers=BEARER).status_code == 404
            assert httpx.get(f"{at}/admin/state").status_code == 401
            assert httpx.get(f"{at}/admin/state", headers=BEARER).json()["backends"][0]["name"] == "one"
            command = [str(Path(sys.executable).with_name("schemathesis")), "--no-color", "run", f"{at}/admin/openapi.json"]
            command += ["--url", at, "-H", f"Authorization: Bearer {KEY}", "--phases", "fuzzing", "--seed", "1"]
            command += [
                "--max-examples",
                "2",
                "--exclude-checks",
                "positive_data_acceptance",
                "--continue-on-failure",
                "--suppress-health-check",
                "all",
            ]
            done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path)
            arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes() if sys.platform == "linux" else b""
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: " in done.stdout
    assert KEY.encode() not in arguments
    assert KEY not in "".join(log)
