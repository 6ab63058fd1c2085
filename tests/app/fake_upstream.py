"""A model server on loopback that behaves, or misbehaves, as a test tells it to."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

USAGE = {"prompt_tokens": 32, "completion_tokens": 64, "total_tokens": 96}


@dataclass
class Got:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Exit:
    """What a behaviour writes to, and how it can end."""

    writer: asyncio.StreamWriter
    got: Got
    close: bool = False

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        self.writer.transport.abort()
        self.close = True


Behaviour = Callable[[Exit], Awaitable[None]]


@dataclass
class FakeUpstream:
    """Serves on a free port, and after a stop on that again.

    `behaviour` is what every POST meets, `models` what GET /v1/models does.
    """

    behaviour: Behaviour
    models: Behaviour
    tls: ssl.SSLContext | None = None
    got: list[Got] = field(default_factory=list[Got])
    connections: int = 0
    """Accepted so far."""
    open: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a connection ends."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/v1"

    @property
    def posts(self) -> list[Got]:
        return [g for g in self.got if g.method == "POST"]

    async def asked(self) -> None:
        """Wait for the next POST."""
        await asyncio.wait_for(self.arrived.wait(), 5)
        self.arrived.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self.gone.set()
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        early = b""
        while True:
            head = (early + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip().split("\r\n")
            method, path, _ = first.split(" ", 2)
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            got = Got(method, path, headers, body)
            self.got.append(got)
            if method == "POST":
                self.arrived.set()
            way_out = Exit(writer, got)
            doing = asyncio.ensure_future((self.behaviour if method == "POST" else self.models)(way_out))
            # A client that goes away is noticed at once, also while nothing is being sent to it.
            leaving = asyncio.ensure_future(reader.read(1))
            try:
                await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not doing.done() and not leaving.result():
                    return
                await doing
            finally:
                doing.cancel()
                leaving.cancel()
                _, read = await asyncio.gather(doing, leaving, return_exceptions=True)
            # A client with its whole answer may be faster with its next request than this is with its end.
            early = read if isinstance(read, bytes) else b""
            if way_out.close:
                return


def head(status: str = "200 OK", kind: str = "application/json", *lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"Content-Type: {kind}", *lines, "")).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def completion(text: str = "hello", model: str = "mock") -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "text": text, "finish_reason": "stop"}
    answer = {"id": "c1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": USAGE}
    return json.dumps(answer).encode()


def event(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    part = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "mock", "choices": [choice]}
    return b"data: " + json.dumps(part).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
SSE = "text/event-stream"


def whole(body: bytes | None = None, status: str = "200 OK", *lines: str, kind: str = "application/json") -> Behaviour:
    """An answer with its length."""

    async def behave(out: Exit) -> None:
        data = completion() if body is None else body
        await out.write(head(status, kind, f"Content-Length: {len(data)}", *lines) + data)

    return behave


def chunked(body: bytes | None = None, pieces: int = 3) -> Behaviour:
    """An answer in chunks, each in a segment of its own, with a trailer."""

    async def behave(out: Exit) -> None:
        data = completion() if body is None else body
        size = max(1, len(data) // pieces)
        await out.write(head("200 OK", "application/json", "Transfer-Encoding: chunked"))
        for i in range(0, len(data), size):
            await asyncio.sleep(0.005)
            await out.write(chunk(data[i : i + size]))
        await out.write(b"0\r\nX-Trailer: x\r\n\r\n")

    return behave


def until_close(body: bytes | None = None) -> Behaviour:
    """An answer that ends with its connection."""

    async def behave(out: Exit) -> None:
        await out.write(head("200 OK", "application/json", "Connection: close"))
        await asyncio.sleep(0.01)
        await out.write(completion() if body is None else body)
        out.writer.write_eof()
        out.close = True

    return behave


def stream(*texts: str, delay: float = 0.0, events: list[bytes] | None = None) -> Behaviour:
    """A whole stream, one event a chunk."""

    async def behave(out: Exit) -> None:
        await out.write(head("200 OK", SSE, "Transfer-Encoding: chunked"))
        for e in events if events is not None else [*(event(t) for t in texts), event("", "stop"), DONE]:
            await asyncio.sleep(delay)
            await out.write(chunk(e))
        await out.write(b"0\r\n\r\n")

    return behave


def cut_stream(*parts: bytes, reset: bool = True, framed: bool = True) -> Behaviour:
    """A stream that breaks off after these bytes."""

    async def behave(out: Exit) -> None:
        await out.write(head("200 OK", SSE, *(["Transfer-Encoding: chunked"] if framed else [])))
        for part in parts:
            await out.write(chunk(part) if framed else part)
        await asyncio.sleep(0.02)
        if reset:
            out.reset()
        out.close = True

    return behave


def cut_whole(sent: int = 20) -> Behaviour:
    """An answer that promises more bytes than come."""

    async def behave(out: Exit) -> None:
        data = completion()
        await out.write(head("200 OK", "application/json", f"Content-Length: {len(data)}") + data[:sent])
        out.close = True

    return behave


async def hang(out: Exit) -> None:
    await asyncio.sleep(3600)


async def hang_after_head(out: Exit) -> None:
    await out.write(head("200 OK", SSE, "Transfer-Encoding: chunked"))
    await asyncio.sleep(3600)


async def reset(out: Exit) -> None:
    out.reset()


async def garbage(out: Exit) -> None:
    await out.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    await asyncio.sleep(3600)


async def endless_head(out: Exit) -> None:
    await out.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        await out.write(b"X-More: " + b"a" * 4000 + b"\r\n")


def failing(status: str = "500 Internal Server Error", *lines: str) -> Behaviour:
    return whole(b'{"error":{"message":"it is me","type":"server_error","param":null,"code":null}}', status, *lines)


def models() -> Behaviour:
    return whole(b'{"object":"list","data":[{"id":"mock","object":"model"}]}')
