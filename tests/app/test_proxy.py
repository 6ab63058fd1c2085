"""The data path over HTTP: what passes through, what is refused, and who may ask. The backend is real, on loopback."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Exit
from tests.app.serving import CHAT, backend, serving, upstream

from slipway_router.request import Asked


async def test_an_answer_passes_through_and_says_where_it_is_from() -> None:
    async with upstream() as up, serving(backend(up, resource="urn:llama")) as served:
        answer = await served.chat({"x-request-id": "abc-1"})
    assert (answer.status_code, answer.content) == (200, fake.completion())
    told = {k: v for k, v in answer.headers.items() if k.startswith("x-")}
    assert told == {
        "x-slipway-backend": "one",
        "x-slipway-resource": "urn:llama",
        "x-slipway-rule": "cost",
        "x-slipway-attempts": "1",
        "x-request-id": "abc-1",
    }
    assert answer.headers["content-type"] == "application/json"
    assert "server" not in answer.headers


async def test_the_backend_gets_its_own_model_its_own_key_and_the_request_id() -> None:
    entry: dict[str, Any] = {"model": "llama-3", "serves": ["gpt-4o"], "api_key_env": "UP_KEY"}
    async with upstream() as up, serving(backend(up, **entry), environ={"UP_KEY": "up-secret"}) as served:
        headers = {"authorization": "Bearer the-clients", "x-request-id": "r1", "traceparent": "00-1-2-01"}
        await served.chat(headers, model="gpt-4o", temperature=0.5, tools=[{"type": "function"}])
    (got,) = up.posts
    assert got.json == {**CHAT, "model": "llama-3", "temperature": 0.5, "tools": [{"type": "function"}]}
    assert got.path == "/v1/chat/completions"
    assert got.headers["authorization"] == "Bearer up-secret"
    assert (got.headers["x-request-id"], got.headers["traceparent"]) == ("r1", "00-1-2-01")
    assert got.headers["host"] == f"127.0.0.1:{up.port}"


async def test_without_a_key_of_its_own_a_backend_gets_none() -> None:
    async with upstream() as up, serving(backend(up)) as served:
        await served.chat({"authorization": "Bearer the-clients"})
    assert "authorization" not in up.posts[0].headers


async def test_the_very_bytes_pass_where_nothing_must_change() -> None:
    raw = b'{ "model":"mock",  "messages":[{"role":"user","content":"h\\u00e9"}]}'
    async with upstream() as up, serving(backend(up)) as served:
        await served.client.post("/v1/chat/completions", content=raw)
    assert up.posts[0].body == raw


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", {"prompt": "once"}),
        ("/v1/embeddings", {"input": ["a", "b"]}),
    ],
)
async def test_every_task_goes_to_its_path_below_the_backends_address(path: str, body: dict[str, Any]) -> None:
    async with upstream() as up:
        prefixed = f"http://127.0.0.1:{up.port}/prefix/v1"
        entry = backend(prefixed, tasks=["chat", "completions", "embeddings"])
        async with serving(entry) as served:
            assert (await served.client.post(path, json=body)).status_code == 200
    assert up.posts[0].path == f"/prefix{path}"


async def test_models_are_chosen_by_name_model_and_alias() -> None:
    async with upstream() as a, upstream() as b:
        entries = [backend(a, "a", model="m1", serves=["x"]), backend(b, "b", model="m2", serves=["x"], tasks=["chat"])]
        async with serving(*entries) as served:
            rules: list[tuple[str, str]] = []
            for model in ("a", "m2", "x"):
                answer = await served.chat(model=model)
                rules.append((answer.headers["x-slipway-backend"], answer.headers["x-slipway-rule"]))
            unknown = await served.chat(model="m3")
            not_here = await served.client.post("/v1/completions", json={"model": "m2", "prompt": "a"})
    assert rules == [("a", "model"), ("b", "model"), ("a", "cost")]
    assert unknown.status_code == 404
    error = unknown.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "model_not_found", "model")
    for choice in ("'auto'", "'a'", "'b'", "'m1'", "'m2'", "'x'"):
        assert choice in error["message"]
    assert not_here.status_code == 404
    assert "'b'" not in not_here.json()["error"]["message"]


async def test_headers_steer_the_policy() -> None:
    async with upstream() as small, upstream() as large:
        entries = [
            backend(small, "small", quality="low"),
            backend(large, "large", quality="high", cost_per_1k_tokens=1, self_hosted=False),
        ]
        async with serving(*entries) as served:
            best = await served.chat({"x-user-tier": "enterprise", "x-quality": "high"})
            quick = await served.chat({"x-latency-budget-ms": "200"})
            wrong = await served.chat({"x-quality": "excellent"})
    assert (best.headers["x-slipway-backend"], best.headers["x-slipway-rule"]) == ("large", "enterprise")
    assert (quick.headers["x-slipway-backend"], quick.headers["x-slipway-rule"]) == ("small", "latency")
    assert wrong.status_code == 400
    assert wrong.json()["error"]["param"] == "x-quality"


async def test_keys_are_wanted_and_their_tier_counts() -> None:
    keys = [
        {"name": "shop", "tier": "enterprise", "env": "SHOP_KEY"},
        {"name": "app", "sha256": hashlib.sha256(b"app-key").hexdigest()},
    ]
    async with upstream() as small, upstream() as large:
        entries = [backend(small, "small"), backend(large, "large", quality="high", cost_per_1k_tokens=1)]
        async with serving(*entries, keys=keys, environ={"SHOP_KEY": "shop-key"}) as served:
            none = await served.chat()
            wrong = await served.chat({"authorization": "Bearer nope"})
            shop = await served.chat({"authorization": "Bearer shop-key", "x-quality": "high"})
            app = await served.chat({"authorization": "Bearer app-key", "x-quality": "high", "x-user-tier": "enterprise"})
            open_paths = [(await served.client.get(p)).status_code for p in ("/health", "/metrics")]
            models = await served.client.get("/v1/models")
            own = await served.client.get("/v1/models", headers={"authorization": "Bearer app-key"})
    for refused in (none, wrong, models):
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "invalid_api_key"
    assert (shop.headers["x-slipway-backend"], app.headers["x-slipway-backend"]) == ("large", "small")
    assert open_paths == [200, 200]
    assert own.status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"messages":[]}', b'{"messages":[{"role":"user","content":1}]}'])
async def test_a_malformed_request_is_one_clear_error_and_the_connection_goes_on(body: bytes) -> None:
    async with upstream() as up, serving(backend(up)) as served:
        refused = await served.client.post("/v1/chat/completions", content=body)
        after = await served.chat()
    assert refused.status_code == 400
    assert set(refused.json()["error"]) == {"message", "type", "param", "code"}
    assert refused.headers["x-request-id"]
    assert (after.status_code, len(up.posts)) == (200, 1)


async def test_a_large_body_is_refused_at_once_and_the_client_can_read_why() -> None:
    async with upstream() as up, serving(backend(up), max_body_mib=1) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
        assert head.startswith(b"HTTP/1.1 413")
        writer.write(b"x" * 1_000_000)
        writer.close()
        whole = await served.client.post("/v1/chat/completions", content=b"x" * 100_000_000)

        async def pieces() -> AsyncGenerator[bytes, None]:
            for _ in range(100):
                yield b"x" * 1_000_000

        chunked = await served.client.post("/v1/chat/completions", content=pieces())
        after = await served.chat()
    for refused in (whole, chunked):
        assert refused.status_code == 413
        assert refused.json()["error"]["code"] == "body_too_large"
        assert refused.headers["connection"] == "close"
    assert (after.status_code, len(up.posts)) == (200, 1)


async def test_a_body_in_many_pieces_arrives_whole() -> None:
    text = "a" * 3_000_000

    async def pieces() -> AsyncGenerator[bytes, None]:
        raw = b'{"messages":[{"role":"user","content":"' + text.encode() + b'"}]}'
        for i in range(0, len(raw), 100_000):
            yield raw[i : i + 100_000]

    async with upstream() as up, serving(backend(up)) as served:
        answer = await served.client.post("/v1/chat/completions", content=pieces())
    assert answer.status_code == 200
    assert up.posts[0].json["messages"][0]["content"] == text


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway_router.body.BODY_SECONDS", 0.2)
    async with upstream() as up, serving(backend(up)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        answer = await asyncio.wait_for(reader.read(), 3)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"body_timeout" in answer


BY_CALLBACKS_AND_IN_A_TASK = ["/v1/chat/completions", "/v1/messages"]


@pytest.mark.parametrize("path", BY_CALLBACKS_AND_IN_A_TASK)
async def test_a_client_that_leaves_takes_its_request_along(path: str) -> None:
    async with upstream(fake.hang) as up, serving(backend(up)) as served:
        waiting = asyncio.create_task(served.client.post(path, json={**CHAT, "max_tokens": 9}))
        await up.asked()
        waiting.cancel()
        await asyncio.wait_for(up.gone.wait(), 2)
        assert served.proxy.watches == set()
        assert served.router.targets["one"].in_flight == 0
        assert served.router.targets["one"].status.error_rate == 0
        assert 'code="499"' in (await served.client.get("/metrics")).text


@pytest.mark.parametrize("path", BY_CALLBACKS_AND_IN_A_TASK)
async def test_a_client_that_leaves_in_mid_stream_takes_its_request_along(path: str) -> None:
    endless = fake.stream(*(["word"] * 1000), delay=0.01)
    async with upstream(endless) as up, serving(backend(up)) as served:
        asked = {**CHAT, "stream": True, "max_tokens": 9}
        async with served.client.stream("POST", path, json=asked) as answer:
            async for _ in answer.aiter_raw():
                break
        await asyncio.wait_for(up.gone.wait(), 2)
        assert served.router.targets["one"].in_flight == 0


async def test_a_clients_own_mistake_is_passed_on_and_no_failure_of_the_backend() -> None:
    said = b'{"error":{"message":"max_tokens is too large","type":"invalid_request_error","param":"max_tokens","code":null}}'
    async with (
        upstream(fake.whole(said, "400 Bad Request")) as up,
        upstream() as other,
        serving(backend(up), backend(other, "two")) as served,
    ):
        answer = await served.chat(model="auto")
        assert (answer.status_code, answer.content) == (400, said)
        assert answer.headers["x-slipway-backend"] == "one"
        assert served.router.targets["one"].status.error_rate == 0
        assert served.router.targets["one"].status.current_latency_ms == 0
    assert other.posts == []


async def test_what_belongs_to_the_backends_connection_is_not_passed_on() -> None:
    lines = (
        "Set-Cookie: a=b",
        "Server: up",
        "Keep-Alive: timeout=5",
        "Access-Control-Allow-Origin: http://up",
        "X-Slipway-Backend: forged",
        "X-Ratelimit-Remaining-Requests: 7",
    )
    async with upstream(fake.whole(None, "200 OK", *lines)) as up, serving(backend(up)) as served:
        answer = await served.chat()
        assert served.router.targets["one"].status.rate_limit_remaining == 7
    assert not {"set-cookie", "server", "keep-alive", "access-control-allow-origin"} & set(answer.headers)
    assert answer.headers["x-slipway-backend"] == "one"
    assert answer.headers["x-ratelimit-remaining-requests"] == "7"


async def test_a_fault_of_ours_is_a_500_without_a_trace_and_one_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Asked, model: str) -> bytes:
        raise RuntimeError("a fault\nof ours")

    monkeypatch.setattr(Asked, "body_for", broken)
    async with upstream() as up, serving(backend(up)) as served:
        answer = await served.chat({"x-request-id": "r-7"})
        assert served.proxy.watches == set()
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "fault" not in answer.text
    (line,) = [r.getMessage() for r in caplog.records if r.name == "slipway_router"]
    assert line.startswith("request r-7: unexpected RuntimeError at broken:")
    # What it says may be what a client wrote.
    assert "fault" not in line
    assert "\n" not in line


async def test_many_at_once_share_kept_connections() -> None:
    async def slow(out: Exit) -> None:
        await asyncio.sleep(0.01)
        await fake.whole()(out)

    async with upstream(slow) as up, serving(backend(up)) as served:
        for _ in range(3):
            answers = await asyncio.gather(*(served.chat() for _ in range(40)))
            assert {a.status_code for a in answers} == {200}
        assert up.connections <= 40
        assert len(up.posts) == 120


async def test_the_probes_tell_what_they_are_for() -> None:
    async with upstream() as up, serving(backend(up)) as served:
        assert (await served.client.get("/health")).json() == {"status": "ok"}
        before = await served.client.get("/ready")
        await served.chat()
        after = await served.client.get("/ready")
        served.router.draining_since = asyncio.get_running_loop().time()
        draining = await served.client.get("/ready")
        last = await served.chat()
        served.router.draining_since -= 60
        refused = await served.chat()
        alive = await served.client.get("/health")
    assert (before.status_code, before.json()["status"]) == (503, "no backend is reachable")
    assert (after.status_code, after.json()["status"]) == (200, "ready")
    (listed,) = after.json()["backends"]
    assert (listed["name"], listed["reachable"], listed["available"]) == ("one", True, True)
    assert listed["latency_ms"] > 0
    assert (draining.status_code, draining.json()["status"]) == (503, "draining")
    assert (last.status_code, last.headers["connection"]) == (200, "close")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
    assert alive.status_code == 200


async def test_head_is_answered_where_get_is() -> None:
    async with upstream() as up, serving(backend(up)) as served:
        answer = await served.client.head("/health")
    assert (answer.status_code, answer.content) == (200, b"")
    assert isinstance(answer, httpx.Response)
