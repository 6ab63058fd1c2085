"""A load generator: so many connections, each sending its next request when the last is answered, for so long. Loopback only."""

import asyncio
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast

import httptools


@dataclass
class Load:
    """What was measured."""

    seconds: float
    requests: int = 0
    failures: int = 0
    """Answers that were no 200, and connections that broke."""
    chunks: int = 0
    """Events of streams."""
    latencies: list[float] = field(default_factory=list[float])
    """Seconds to the end of each answer."""


class _Client(asyncio.Protocol):
    def __init__(self, load: Load, message: bytes, until: float, over: asyncio.Future[None]) -> None:
        self._load = load
        self._message = message
        self._until = until
        self._over = over
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio gives it
        if not self._over.done():
            self._load.failures += 1
            self._over.set_result(None)

    def on_body(self, data: bytes) -> None:
        self._load.chunks += data.count(b"data: ")

    def on_message_complete(self) -> None:
        now = perf_counter()
        if self._parser.get_status_code() == 200:
            self._load.requests += 1
            self._load.latencies.append(now - self._sent)
        else:
            self._load.failures += 1
        if now < self._until:
            self._ask()
        else:
            self._over.set_result(None)
            assert self._transport is not None
            self._transport.close()

    def _ask(self) -> None:
        assert self._transport is not None
        self._sent = perf_counter()
        self._transport.write(self._message)


async def generate(port: int, path: str, body: bytes, connections: int, seconds: float, key: str | None = None) -> Load:
    """Load a server on this machine.

    Args:
        port: Where it listens, on 127.0.0.1.
        path: What to POST to.
        body: What to send, JSON.
        connections: How many at once.
        seconds: How long new requests are sent; those under way are waited for, ten seconds at most.
        key: Sent as a bearer token.

    Raises:
        TimeoutError: the last answers do not come.
    """
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        + (f"authorization: Bearer {key}\r\n" if key is not None else "")
    )
    message = head.encode() + b"\r\n" + body
    loop = asyncio.get_running_loop()
    load = Load(seconds)
    begun = perf_counter()
    ends: list[asyncio.Future[None]] = []
    for _ in range(connections):
        over: asyncio.Future[None] = loop.create_future()
        ends.append(over)
        await loop.create_connection(lambda over=over: _Client(load, message, begun + seconds, over), "127.0.0.1", port)
    async with asyncio.timeout(seconds + 10):
        await asyncio.gather(*ends)
    load.seconds = perf_counter() - begun
    return load
