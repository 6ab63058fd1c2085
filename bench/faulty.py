"""A model server that misbehaves in one way, for as long as it runs.

    python -m bench.faulty MODE [--seconds 120]

Prints its port, then serves on loopback until its time is over or its standard input closes. It answers well when asked for its
models, so that no health check gives it away.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable

import uvloop
from bench.upstream import Upstream, watch_stdin

_EVENT = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":%b,"finish_reason":null}]}\n\n'
_ROLE, _TOKEN = _EVENT % b'{"role":"assistant","content":""}', _EVENT % b'{"content":" token"}'
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_ERROR = b'{"error":{"message":"out of order","type":"server_error","param":null,"code":null}}'
_DRIP_SECONDS = 0.2


def _answer(status: bytes, body: bytes, *lines: bytes) -> bytes:
    head = b"".join(b"%b\r\n" % line for line in (b"HTTP/1.1 " + status, b"content-type: application/json", *lines))
    return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Faulty(Upstream):
    """One connection."""

    def __init__(self, mode: str) -> None:
        super().__init__(0)
        self._mode = mode

    def answer(self, head: bytes, stream: bool) -> None:
        """Answer lists of models well, and everything else in this server's way."""
        if head.startswith(b"get"):
            self.write(_answer(b"200 OK", b'{"object":"list","data":[]}'))
        else:
            MODES[self._mode](self, stream)

    def drip(self, data: bytes) -> None:
        """Send a byte now and then."""
        if data and self.open:
            self.write(data[:1])
            asyncio.get_running_loop().call_later(_DRIP_SECONDS, self.drip, data[1:])

    def cut(self, *events: bytes) -> None:
        """Send the beginning of a stream and close the connection."""
        self.write(_STREAM + b"".join(map(_chunk, events)))
        self.end()


def _hang(connection: Faulty, stream: bool) -> None:
    """Send nothing."""


def _say(data: bytes) -> Callable[[Faulty, bool], None]:
    return lambda connection, _: connection.write(data)


def _drip(connection: Faulty, stream: bool) -> None:
    if stream:
        connection.write(_STREAM + b"%x\r\n" % len(_TOKEN))
        connection.drip(_TOKEN)
    else:
        connection.drip(_answer(b"200 OK", b"{%b}" % (b" " * 10_000)))


def _cut(*events: bytes) -> Callable[[Faulty, bool], None]:
    def behave(connection: Faulty, stream: bool) -> None:
        if stream:
            connection.cut(*events)
        else:
            connection.write(_answer(b"200 OK", b'{"id":"c","choices":[]}')[:-5])
            connection.end()

    return behave


MODES: dict[str, Callable[[Faulty, bool], None]] = {
    "hang": _hang,
    "reset": lambda connection, _: connection.abort(),
    "500": _say(_answer(b"500 Internal Server Error", _ERROR)),
    "429": _say(_answer(b"429 Too Many Requests", _ERROR, b"retry-after: 1")),
    "garbage": _say(b"\x16\x03\x01 this is no HTTP\r\n\r\n"),
    "html": _say(_answer(b"200 OK", b"<html>Please log in</html>")),
    "empty": _say(_answer(b"200 OK", b"")),
    "drip": _drip,
    "cut at the head": _cut(),
    "cut before a token": _cut(_ROLE),
    "cut after a token": _cut(_ROLE, _TOKEN),
}
"""What can be wrong."""


async def serve(mode: str, seconds: float) -> None:
    """Serve for so long, or until standard input closes."""
    server = await asyncio.get_running_loop().create_server(lambda: Faulty(mode), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await watch_stdin(seconds)
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.faulty", description=__doc__)
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--seconds", type=float, default=120, help="how long to serve (default 120)")
    asked = parser.parse_args()
    sys.exit(uvloop.run(serve(asked.mode, asked.seconds)))


if __name__ == "__main__":
    main()
