"""Connections to a backend, against a real one on loopback that misbehaves."""

import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour, Exit, FakeUpstream
from tests.app.serving import upstream

from slipway_router.answer import HIGH_WATER_BYTES, Answer, UpstreamError
from slipway_router.pool import Pool
from slipway_router.steadiness import Timeouts

QUICK = Timeouts(connect=0.3, first_byte=0.3, between_chunks=0.3, total=5)


@asynccontextmanager
async def pooled(
    behaviour: Behaviour, timeouts: Timeouts = QUICK, most: int = 8
) -> AsyncGenerator[tuple[Pool, FakeUpstream], None]:
    async with upstream(behaviour) as up:
        pool = Pool(up.url, timeouts, most)
        yield pool, up
        pool.close()
        await asyncio.sleep(0)


async def post(pool: Pool, body: bytes = b"{}", total: float = 5) -> Answer:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    return await pool.request(head, body, asyncio.get_running_loop().time() + total)


async def everything(answer: Answer) -> bytes:
    parts: list[bytes] = []
    while part := await answer.read():
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("behaviour", [fake.whole(), fake.chunked(), fake.until_close()], ids=["length", "chunked", "close"])
async def test_every_framing_is_read_to_its_end(behaviour: Behaviour) -> None:
    async with pooled(behaviour) as (pool, _):
        answer = await post(pool)
        assert (answer.status, await everything(answer), answer.complete) == (200, fake.completion(), True)


async def test_a_connection_is_kept_after_a_whole_answer() -> None:
    async with pooled(fake.chunked()) as (pool, up):
        for _ in range(3):
            await everything(await post(pool))
        assert up.connections == 1


async def test_a_connection_is_not_kept_where_the_answer_says_so_or_is_not_whole() -> None:
    async with pooled(fake.whole(None, "200 OK", "Connection: close")) as (pool, up):
        await everything(await post(pool))
        await everything(await post(pool))
        assert (up.connections, pool.free) == (2, [])
    async with pooled(fake.hang_after_head) as (pool, up):
        answer = await post(pool)
        answer.abort()
        await asyncio.wait_for(up.gone.wait(), 2)
        assert pool.free == []


async def test_a_stale_connection_is_replaced_once() -> None:
    async with pooled(fake.whole()) as (pool, up):
        await everything(await post(pool))
        seen = 0

        async def closing_then_well(out: Exit) -> None:
            nonlocal seen
            seen += 1
            await (fake.reset if seen == 1 else fake.whole())(out)

        up.behaviour = closing_then_well
        assert (await post(pool)).status == 200
        assert (up.connections, seen) == (2, 2)


async def test_a_new_connection_that_is_reset_is_not_tried_again() -> None:
    async with pooled(fake.reset) as (pool, up):
        with pytest.raises(UpstreamError, match="closed the connection without an answer") as failed:
            await post(pool)
        assert (failed.value.cause, up.connections) == ("reset", 1)


@pytest.mark.parametrize(
    ("behaviour", "cause", "said"),
    [
        (fake.hang, "timeout", "sent nothing within 0.3 s"),
        (fake.garbage, "protocol", "malformed HTTP"),
        (fake.endless_head, "protocol", "a head of more than 64 KiB"),
    ],
)
async def test_what_is_no_answer_fails_with_its_cause(behaviour: Behaviour, cause: str, said: str) -> None:
    async with pooled(behaviour) as (pool, up):
        with pytest.raises(UpstreamError, match=said) as failed:
            await post(pool)
        assert failed.value.cause == cause
        await asyncio.wait_for(up.gone.wait(), 2)


async def test_a_body_that_stalls_or_breaks_fails_after_what_came() -> None:
    async with pooled(fake.cut_whole(20)) as (pool, _):
        answer = await post(pool)
        assert await answer.read() == fake.completion()[:20]
        with pytest.raises(UpstreamError, match="in the middle"):
            await answer.read()

    async def stalling(out: Exit) -> None:
        await out.write(fake.head("200 OK", "text/plain", "Content-Length: 10") + b"12345")
        await asyncio.sleep(3600)

    async with pooled(stalling) as (pool, _):
        answer = await post(pool)
        assert await answer.read() == b"12345"
        with pytest.raises(UpstreamError, match="stalled"):
            await answer.read()


async def test_a_stall_is_noticed_in_its_own_time_however_long_the_first_byte_may_take() -> None:
    async def stalling(out: Exit) -> None:
        await out.write(fake.head("200 OK", "text/plain", "Content-Length: 10") + b"12345")
        await asyncio.sleep(3600)

    async with pooled(stalling, Timeouts(first_byte=60, between_chunks=0.2)) as (pool, _):
        answer = await post(pool)
        await answer.read()
        async with asyncio.timeout(3):
            with pytest.raises(UpstreamError, match="stalled"):
                await answer.read()


async def test_an_answer_without_length_on_a_kept_connection_is_read_to_its_end() -> None:
    async with pooled(fake.whole()) as (pool, up):
        await everything(await post(pool))
        up.behaviour = fake.until_close()
        assert await everything(await post(pool)) == fake.completion()
        assert up.connections == 1


async def test_a_slow_stream_passes_the_time_between_chunks_but_not_the_total() -> None:
    drip = fake.stream("a", "b", "c", "d", "e", "f", delay=0.15)
    async with pooled(drip) as (pool, _):
        assert (await everything(await post(pool))).endswith(fake.DONE)
    async with pooled(drip) as (pool, _):
        answer = await post(pool, total=0.4)
        with pytest.raises(UpstreamError, match="total time"):
            await everything(answer)


async def test_no_more_connections_than_allowed() -> None:
    async with pooled(fake.hang, most=1) as (pool, up):
        first = asyncio.create_task(post(pool))
        await up.asked()
        with pytest.raises(UpstreamError, match="all its 1 connections") as full:
            await post(pool)
        assert full.value.cause == "full"
        with pytest.raises(UpstreamError):
            await first


async def test_nobody_listening_and_no_such_host() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for url, said in ((f"http://127.0.0.1:{port}/v1", "refused"), ("http://no-such-host.invalid/v1", "gave no connection")):
        with pytest.raises(UpstreamError, match=said) as failed:
            await post(Pool(url, Timeouts(connect=5), 8))
        assert failed.value.cause == "connect"


async def test_a_reader_that_is_slow_stops_the_backend_and_is_no_timeout() -> None:
    size = 16 * 1024 * 1024
    written = 0

    async def large(out: Exit) -> None:
        nonlocal written
        await out.write(fake.head("200 OK", "application/octet-stream", f"Content-Length: {size}"))
        for _ in range(size // 65536):
            await out.write(bytes(65536))
            written += 65536

    async with pooled(large) as (pool, _):
        answer = await post(pool)
        await asyncio.sleep(1)
        assert written < size
        first = len(await answer.read())
        assert first < HIGH_WATER_BYTES + 1024 * 1024
        assert first + len(await everything(answer)) == size
        assert (await post(pool)).status == 200


async def test_an_answer_before_the_request_is_whole_is_passed_on_but_not_the_connection() -> None:
    over = asyncio.Event()

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(fake.head("413 Too Large", "application/json", "Content-Length: 2") + b"{}")
        await writer.drain()
        await asyncio.sleep(0.3)
        writer.transport.abort()
        over.set()

    server = await asyncio.start_server(early, "127.0.0.1", 0)
    pool = Pool(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", QUICK, 8)
    try:
        answer = await post(pool, bytes(64 * 1024 * 1024))
        assert (answer.status, await everything(answer), pool.free) == (413, b"{}", [])
    finally:
        pool.close()
        await over.wait()
        server.close()


async def test_more_than_one_answer_spoils_the_connection() -> None:
    async def twice(out: Exit) -> None:
        await fake.whole()(out)
        await fake.whole(b'{"not":"asked for"}')(out)

    async with pooled(twice) as (pool, up):
        for _ in range(3):
            assert await everything(await post(pool)) == fake.completion()
            await asyncio.sleep(0.02)
        assert up.connections == 3


async def test_informational_answers_are_skipped() -> None:
    async def hinting(out: Exit) -> None:
        await out.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        await fake.whole()(out)

    async with pooled(hinting) as (pool, _):
        answer = await post(pool)
        assert (answer.status, await everything(answer)) == (200, fake.completion())
        assert b"link" not in dict(answer.headers)


async def test_a_cancelled_request_leaves_no_connection() -> None:
    async with pooled(fake.hang) as (pool, up):
        waiting = asyncio.create_task(post(pool))
        await up.asked()
        waiting.cancel()
        await asyncio.wait_for(up.gone.wait(), 2)
        assert waiting.cancelled() or waiting.cancelling()


async def test_idle_connections_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with pooled(fake.whole()) as (pool, up):
        await everything(await post(pool))
        monkeypatch.setattr("slipway_router.pool.IDLE_SECONDS", 0.0)
        await asyncio.sleep(0.01)
        pool.trim()
        await asyncio.wait_for(up.gone.wait(), 2)
        assert pool.free == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=loopback"
    subprocess.run(
        ["openssl", *made.split(), "-addext", "subjectAltName=IP:127.0.0.1"], cwd=folder, check=True, capture_output=True
    )
    return folder


async def test_tls_is_verified(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    async with upstream(fake.stream("a", "b"), tls=context) as up:
        with pytest.raises(UpstreamError, match="TLS handshake") as failed:
            await post(Pool(up.url, Timeouts(), 8))
        assert failed.value.cause == "tls"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
        pool = Pool(up.url, Timeouts(), 8)
        for _ in range(2):
            assert (await everything(await post(pool))).endswith(fake.DONE)
        assert len(pool.free) == 1
        pool.close()
        wrong_name = Pool(up.url.replace("127.0.0.1", "localhost"), Timeouts(), 8)
        with pytest.raises(UpstreamError, match="TLS handshake"):
            await post(wrong_name)
        await asyncio.sleep(0.05)
