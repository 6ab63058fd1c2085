"""A model server that costs next to nothing: fixed answers, streamed or whole, as fast as one core gives them.

    python -m bench.upstream [--chunks 64] [--gap 0] [--seconds 120]

Prints its port, then serves on loopback until its time is over or its standard input closes.
"""

import argparse
import asyncio
import sys
from typing import cast

import uvloop

_TEXT = (
    "The quick brown fox jumps over the lazy dog, and then it sits down by the river to think about the next hop of its route."
)
_WHOLE = (
    '{"id":"chatcmpl-0123456789abcdef","object":"chat.completion","created":1760000000,"model":"mock","choices":[{"index":0,'
    f'"message":{{"role":"assistant","content":"{_TEXT}"}},"logprobs":null,"finish_reason":"stop"}}],'
    '"usage":{"prompt_tokens":32,"completion_tokens":64,"total_tokens":96}}'
).encode()
_EVENT = (
    b'data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1760000000,"model":"mock",'
    b'"choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}]}\n\n'
)
_DONE = b"data: [DONE]\n\n"
_WHOLE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Upstream(asyncio.Protocol):
    """One connection. A stream's chunks go out one in each turn of the loop, so that they arrive one by one."""

    def __init__(self, chunks: int, gap: float = 0.0) -> None:
        self._chunks = chunks
        self._gap = gap
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio gives it
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._got += data
        end = self._got.find(b"\r\n\r\n")
        if end < 0 or self._transport is None:
            return
        head = self._got[:end].lower()
        at = head.find(b"content-length:")
        size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        body = self._got[end + 4 :]
        if len(body) < size:
            return
        self._got = b""
        self.answer(head, b'"stream":true' in body or b'"stream": true' in body)

    def answer(self, head: bytes, stream: bool) -> None:  # noqa: ARG002 -- servers that misbehave look at it
        """Answer one request, whose head is given in lower case."""
        if stream:
            self.write(_STREAM_HEAD)
            self._next(self._chunks)
        else:
            self.write(_WHOLE_HEAD % len(_WHOLE) + _WHOLE)

    @property
    def open(self) -> bool:
        """Whether the connection is."""
        return self._transport is not None and not self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send this."""
        if self._transport is not None:
            self._transport.write(data)

    def end(self) -> None:
        """Close the connection once all is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Reset the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _next(self, left: int) -> None:
        if self._transport is None:
            return
        if left:
            self._transport.write(_chunk(_EVENT))
            if self._gap:
                self._loop.call_later(self._gap, self._next, left - 1)
            else:
                self._loop.call_soon(self._next, left - 1)
        else:
            self._transport.write(_chunk(_DONE) + b"0\r\n\r\n")


async def serve(chunks: int, gap: float, seconds: float) -> None:
    """Serve for so long, or until standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(chunks, gap), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await watch_stdin(seconds)
    server.close()


async def watch_stdin(seconds: float) -> None:
    """Wait for so long, or until standard input closes."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(sys.stdin, over.set)
    try:
        async with asyncio.timeout(seconds):
            await over.wait()
    except TimeoutError:
        pass
    loop.remove_reader(sys.stdin)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.upstream", description=__doc__)
    parser.add_argument("--chunks", type=int, default=64, help="events of a stream (default 64)")
    parser.add_argument("--gap", type=float, default=0, help="seconds between them (default 0)")
    parser.add_argument("--seconds", type=float, default=120, help="how long to serve (default 120)")
    asked = parser.parse_args()
    uvloop.run(serve(asked.chunks, asked.gap, asked.seconds))


if __name__ == "__main__":
    main()
