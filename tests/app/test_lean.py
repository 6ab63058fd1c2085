"""The data path's own half of uvicorn's protocol, over real connections: what clients see byte by byte."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import DONE, event
from tests.app.serving import CHAT, Served, backend, serving, upstream

from slipway_router.asgi import Scope
from slipway_router.head import Head, read_head

PATH = "/v1/chat/completions"


def request(*lines: str, body: bytes | None = None, **fields: Any) -> bytes:
    data = json.dumps({**CHAT, **fields}).encode() if body is None else body
    head = [f"POST {PATH} HTTP/1.1", "host: x", f"content-length: {len(data)}", *lines]
    return "".join(f"{line}\r\n" for line in head).encode() + b"\r\n" + data


@asynccontextmanager
async def connected(served: Served) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def head_of(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    first, *lines = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode().rstrip().split("\r\n")
    named = [line.partition(": ") for line in lines]
    assert len({n for n, _, _ in named}) == len(named)
    return first, {n: v for n, _, v in named}


async def whole_of(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    first, headers = await head_of(reader)
    return first, headers, await asyncio.wait_for(reader.readexactly(int(headers["content-length"])), 5)


async def test_a_whole_answer_has_its_length_and_keeps_the_connection() -> None:
    async with upstream() as up, serving(backend(up)) as served, connected(served) as (reader, writer):
        for _ in range(3):
            writer.write(request())
            first, headers, body = await whole_of(reader)
            assert (first, body) == ("HTTP/1.1 200 OK", fake.completion())
            assert {"date", "content-type", "x-request-id", "x-slipway-backend"} <= set(headers)
            assert not {"transfer-encoding", "connection"} & set(headers)


async def test_a_stream_is_chunked_and_keeps_the_connection() -> None:
    slow = fake.stream("a", delay=0.05)
    async with upstream(slow) as up, serving(backend(up)) as served, connected(served) as (reader, writer):
        for _ in range(2):
            writer.write(request(stream=True))
            _, headers = await head_of(reader)
            assert headers["transfer-encoding"] == "chunked"
            assert "content-length" not in headers
            got = await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5)
            assert got == b"".join(fake.chunk(e) for e in (event("a"), event("", "stop"), DONE)) + b"0\r\n\r\n"


async def test_the_head_waits_for_the_first_bytes_and_comes_in_one_piece_with_them() -> None:
    async with upstream(fake.stream("a")) as up, serving(backend(up)) as served, connected(served) as (reader, writer):
        writer.write(request(stream=True))
        first = await asyncio.wait_for(reader.read(1 << 16), 5)
    assert b"\r\n\r\n" in first
    assert event("a") in first


@pytest.mark.parametrize("size", [10, 100_000, 3_000_000])
async def test_bodies_that_come_in_pieces_are_taken_whole(size: int) -> None:
    async with upstream() as up, serving(backend(up)) as served, connected(served) as (reader, writer):
        for pause in (0.0, 0.05):
            data = request(pad="x" * size)
            for part in (data[: len(data) // 3], data[len(data) // 3 :]):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
            assert (await whole_of(reader))[0] == "HTTP/1.1 200 OK"
        assert [len(g.json["pad"]) for g in up.posts] == [size, size]


async def test_a_large_answer_follows_its_head() -> None:
    large = json.dumps({"data": "x" * 300_000}).encode()
    async with upstream(fake.whole(large)) as up, serving(backend(up)) as served, connected(served) as (reader, writer):
        writer.write(request())
        assert (await whole_of(reader))[2] == large


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async with upstream() as up, serving(backend(up)) as served, connected(served) as (reader, writer):
        writer.write(request("x-request-id: a") + request("x-request-id: b") + b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        told = [await whole_of(reader) for _ in range(3)]
    assert [t[1].get("x-request-id") for t in told] == ["a", "b", None]
    assert told[2][2] == b'{"status":"ok"}'


@pytest.mark.parametrize("lines", [("connection: close",), ()])
async def test_a_client_that_wants_to_close_is_closed(lines: tuple[str, ...]) -> None:
    data = request(*lines)
    if not lines:
        data = data.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    async with upstream() as up, serving(backend(up)) as served, connected(served) as (reader, writer):
        writer.write(data)
        _, headers, body = await whole_of(reader)
        assert (headers["connection"], body) == ("close", fake.completion())
        assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_who_expects_100_continue_gets_it() -> None:
    async with upstream() as up, serving(backend(up)) as served, connected(served) as (reader, writer):
        head, _, body = request("expect: 100-continue").partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await whole_of(reader))[0] == "HTTP/1.1 200 OK"


async def test_a_body_too_large_is_refused_whether_it_is_there_or_not() -> None:
    async with upstream() as up, serving(backend(up), max_body_mib=1) as served:
        for pause in (0.0, 0.05):
            async with connected(served) as (reader, writer):
                data = request(pad="x" * 1_100_000)
                writer.write(data[:1000])
                await asyncio.sleep(pause)
                writer.write(data[1000:])
                first, headers, _ = await whole_of(reader)
                assert (first.split()[1], headers["connection"]) == ("413", "close")
    assert up.posts == []


async def test_an_answer_cut_short_is_a_closed_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway_router.exchange.HOLD_BYTES", 1000)

    async def cut(out: fake.Exit) -> None:
        await out.write(fake.head("200 OK", "application/json", "Content-Length: 100000") + b"{" * 50_000)
        await asyncio.sleep(0.1)
        out.reset()

    async with upstream(cut) as up, serving(backend(up)) as served, connected(served) as (reader, writer):
        writer.write(request())
        _, headers = await head_of(reader)
        assert headers["content-length"] == "100000"
        assert len(await asyncio.wait_for(reader.read(), 5)) < 100_000


async def test_a_header_with_a_line_break_is_never_sent() -> None:
    async with upstream() as up, serving(backend(up)) as served, connected(served) as (reader, writer):
        served.router.targets["one"].headers.append((b"x-evil", b"a\r\nset-cookie: b"))
        writer.write(request())
        assert b"set-cookie" not in await asyncio.wait_for(reader.read(), 5)


async def test_the_data_path_is_served_by_it_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Head] = []

    def reading(data: bytes, scope: Scope) -> Head | None:
        head = read_head(data, scope)
        made.extend([head] if head is not None else [])
        return head

    monkeypatch.setattr("slipway_router.lean.read_head", reading)
    async with upstream() as up, serving(backend(up)) as served:
        await served.chat()
        await served.client.get("/v1/models")
        await served.client.post("/v1/route", json=CHAT)
    assert [h.scope["path"] for h in made] == [PATH]


async def test_a_head_is_parsed_once_and_recognised_whatever_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def reading(data: bytes, scope: Scope) -> Head | None:
        read.append(data)
        return read_head(data, scope)

    monkeypatch.setattr("slipway_router.lean.read_head", reading)
    async with upstream() as up, serving(backend(up)) as served, connected(served) as (reader, writer):
        for size in (1, 2000, 30):
            writer.write(request("x-request-id: a", pad="x" * size))
            assert (await whole_of(reader))[1]["x-request-id"] == "a"
        assert len(read) == 1
        writer.write(request("x-request-id: b"))
        assert (await whole_of(reader))[1]["x-request-id"] == "b"
        writer.write(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await whole_of(reader))[2] == b'{"status":"ok"}'
        writer.write(request("x-request-id: c"))
        assert (await whole_of(reader))[1]["x-request-id"] == "c"
    assert [len(g.json.get("pad", "")) for g in up.posts] == [1, 2000, 30, 0, 0]
    assert len(read) == 4


@pytest.mark.parametrize(
    "lines",
    [
        b"transfer-encoding: chunked\r\ncontent-length: 5",
        b"content-length: 5\r\ncontent-length: 5",
        b"content-length: -5",
        b"content-length: 5\r\nexpect: 100-continue",
        b"content-length: 5\r\nconnection: upgrade\r\nupgrade: h2c",
        b"content-length: 5\r\nx-a: b\nx-c: d",
        b"content-length: 5\r\nx a: b",
        b"x-a: content-length: 5",
    ],
)
def test_a_head_that_is_not_plain_is_not_remembered(lines: bytes) -> None:
    plain = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n"
    assert read_head(plain % b"content-length: 5", {}) is not None
    assert read_head(plain % lines, {}) is None
    for other in (b"GET ", b"POST /v1/route?", b"POST /v1/chat/completions?a=b "):
        assert read_head(plain.replace(b"POST /v1/chat/completions ", other) % b"content-length: 5", {}) is None
    assert read_head(plain.replace(b"1.1", b"1.0") % b"content-length: 5", {}) is None
    assert read_head((plain % b"content-length: 5")[:-1], {}) is None


def test_a_length_is_digits_and_nothing_else() -> None:
    head = read_head(b"POST /v1/embeddings HTTP/1.1\r\ncontent-length: 5\r\nhost: x\r\n\r\nhello", {})
    assert head is not None
    told = b"POST /v1/embeddings HTTP/1.1\r\ncontent-length: %b\r\nhost: x\r\n\r\n"
    assert head.begins(told % b"1234") == (len(told % b"1234"), 1234)
    for length in (b"", b"-1", b"+1", b"1 ", b"0x1", b"1,2", b"\xd9\xa1", b"1" * 30):
        assert head.begins(told % length) is None, length


async def test_the_end_of_a_refused_body_is_no_request() -> None:
    keys = [{"name": "a", "env": "KEY"}]
    async with (
        upstream() as up,
        serving(backend(up), keys=keys, environ={"KEY": "k"}) as served,
        connected(served) as (reader, writer),
    ):
        data = request()
        writer.write(data[:-5])
        assert (await whole_of(reader))[0].split()[1] == "401"
        writer.write(data[-5:] + request("authorization: Bearer k"))
        assert (await whole_of(reader))[0].split()[1] == "200"
