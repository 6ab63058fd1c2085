"""The way of requests on callbacks: which ones take it, where a task takes over. What clients see else is for test_proxy."""

import asyncio
import json
from typing import Any

import pytest
from tests.app import fake_upstream as fake
from tests.app.serving import CHAT, Served, backend, serving, upstream
from tests.app.test_lean import connected, head_of, request, whole_of

from slipway_router.connection import Connection
from slipway_router.exchange import Exchange
from slipway_router.express import Express


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which way requests went: 'express' where one began on callbacks, 'task' where one was carried on or begun by a task."""
    taken: list[str] = []
    start, run = Express.start, Exchange.run

    def starting(express: Express, *arguments: Any) -> None:
        taken.append("express")
        start(express, *arguments)

    async def running(exchange: Exchange, *arguments: Any) -> None:
        taken.append("task")
        await run(exchange, *arguments)

    monkeypatch.setattr(Express, "start", starting)
    monkeypatch.setattr(Exchange, "run", running)
    return taken


async def ended(served: Served) -> None:
    async with asyncio.timeout(5):
        while served.proxy.watches:  # noqa: ASYNC110 -- it is the router's set, which tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_first_backend_that_answers_needs_no_task(ways: list[str], stream: bool) -> None:
    answer = fake.stream("a", "b") if stream else fake.whole()
    async with upstream(answer) as up, serving(backend(up)) as served:
        for _ in range(2):
            assert (await served.chat(stream=stream)).status_code == 200
        assert ways == ["express", "express"]
        assert up.connections == 1
        assert served.proxy.watches == set()
        assert next(iter(served.router.targets.values())).in_flight == 0


async def test_the_next_backend_is_asked_by_a_task(ways: list[str]) -> None:
    async with (
        upstream(fake.whole(b"{}", "500 Internal Server Error")) as bad,
        upstream() as good,
        serving(backend(bad), backend(good, "two")) as served,
    ):
        answer = await served.chat()
    assert (answer.status_code, answer.headers["x-slipway-backend"], answer.headers["x-slipway-attempts"]) == (200, "two", "2")
    assert ways == ["express", "task"]


@pytest.mark.parametrize(
    "settings",
    [{"hedging": {"percentile": 0.9}}, {"shadows": [{"name": "s", "backend": "two", "share": 1.0}]}],
    ids=["hedging", "shadows"],
)
async def test_what_looks_at_more_than_one_backend_is_a_task(ways: list[str], settings: dict[str, Any]) -> None:
    async with upstream() as up, upstream() as other, serving(backend(up), backend(other, "two"), **settings) as served:
        assert (await served.chat(model="one")).status_code == 200
    assert ways == ["task"]


async def test_an_answer_too_large_to_wait_for_is_passed_on_by_a_task(ways: list[str]) -> None:
    large = json.dumps({"data": "x" * 3_000_000}).encode()
    async with upstream(fake.whole(large)) as up, serving(backend(up)) as served:
        assert (await served.chat()).content == large
        await ended(served)
        assert next(iter(served.router.targets.values())).in_flight == 0
    assert ways == ["express", "task"]


async def test_a_body_right_behind_its_head_needs_no_task_and_one_that_is_late_does(ways: list[str]) -> None:
    async with upstream() as up, serving(backend(up)) as served, connected(served) as (reader, writer):
        for pause in (0.0, 0.15):
            data = request()
            writer.write(data[:-20])
            await writer.drain()
            await asyncio.sleep(pause)
            writer.write(data[-20:])
            assert (await whole_of(reader))[0] == "HTTP/1.1 200 OK"
    assert ways == ["express", "task"]


async def test_a_connection_that_was_closed_while_idle_is_no_failure(ways: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async with upstream() as up, serving(backend(up)) as served:
        assert (await served.chat()).status_code == 200
        (target,) = served.router.targets.values()
        (kept,) = target.pool.free
        send = Connection.send

        def closing(connection: Connection, *arguments: Any) -> Any:
            answer = send(connection, *arguments)
            if connection is kept:
                connection.abort()
            return answer

        monkeypatch.setattr(Connection, "send", closing)
        assert (await served.chat()).status_code == 200
        assert target.status.error_rate == 0
    assert ways == ["express", "express"]


@pytest.mark.parametrize("fault", ["express.check_whole", "exchange.tokens_in"])
async def test_a_fault_of_ours_leaves_nothing_behind(
    ways: list[str], fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault of ours")

    async with upstream() as up, serving(backend(up)) as served:
        monkeypatch.setattr(f"slipway_router.{fault}", broken)
        answer = await served.chat()
        # The answer was over before its tokens were counted.
        assert answer.status_code == (500 if fault == "express.check_whole" else 200)
        await ended(served)
        assert next(iter(served.router.targets.values())).in_flight == 0
        monkeypatch.undo()
        assert (await served.chat()).status_code == 200
    assert "unexpected RuntimeError at broken" in caplog.text


async def stalling(out: fake.Exit) -> None:
    await out.write(fake.head("200 OK", "text/event-stream", "Transfer-Encoding: chunked") + fake.chunk(fake.event("a")))
    await asyncio.sleep(30)


async def test_a_client_that_leaves_takes_the_backends_work_along() -> None:
    async with upstream(stalling) as up, serving(backend(up)) as served:
        async with connected(served) as (reader, writer):
            writer.write(request(stream=True))
            await head_of(reader)
            (target,) = served.router.targets.values()
            assert target.in_flight == 1
        await ended(served)
        assert target.in_flight == 0
        assert 'code="499"' in served.router.metrics.text().decode()


async def test_a_router_that_stops_ends_a_stream_with_an_error_event() -> None:
    async with upstream(stalling) as up, serving(backend(up)) as served, connected(served) as (reader, writer):
        writer.write(request(stream=True))
        await head_of(reader)
        served.proxy.stop()
        rest = await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5)
        assert b"stream_broken" in rest
        assert b"[DONE]" not in rest
        assert served.proxy.watches == set()


async def waiting(out: fake.Exit) -> None:
    await asyncio.sleep(30)


async def test_a_router_that_stops_refuses_what_it_has_not_begun() -> None:
    async with upstream(waiting) as up, serving(backend(up)) as served, connected(served) as (reader, writer):
        writer.write(request())
        await asyncio.wait_for(up.arrived.wait(), 5)
        served.proxy.stop()
        first, _, body = await whole_of(reader)
        assert first.split()[1] == "503"
        assert json.loads(body)["error"]["code"] == "draining"


async def test_a_client_that_reads_slowly_holds_its_backend() -> None:
    sent = 0

    async def pouring(out: fake.Exit) -> None:
        nonlocal sent
        await out.write(fake.head("200 OK", "text/event-stream", "Transfer-Encoding: chunked"))
        event = fake.event("x" * 50_000)
        for _ in range(600):
            await out.write(fake.chunk(event))
            sent += 1
        await out.write(fake.chunk(fake.DONE) + b"0\r\n\r\n")

    async with upstream(pouring) as up, serving(backend(up)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1 << 16)
        writer.write(request(stream=True))
        await head_of(reader)
        while True:
            before = sent
            await asyncio.sleep(0.3)
            if sent == before:
                break
        assert sent < 600
        got = 0
        while got < 600 * 50_000:
            got += len(await asyncio.wait_for(reader.read(1 << 20), 5))
        writer.transport.abort()
        assert sent == 600


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"messages": []}, 400, "invalid_body"),
        ({"model": "nobody"}, 404, "model_not_found"),
        ({"metadata": json.loads("[" * 300 + "]" * 300), "model": "one"}, 400, "invalid_body"),
    ],
)
async def test_a_clients_mistake_is_told_and_counted(ways: list[str], fields: dict[str, Any], status: int, code: str) -> None:
    async with upstream() as up, serving(backend(up)) as served:
        answer = await served.chat(None, **{**CHAT, **fields})
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert f'code="{status}"' in served.router.metrics.text().decode()
        assert served.proxy.watches == set()
        assert next(iter(served.router.targets.values())).in_flight == 0
    assert "task" not in ways
