"""One request of the data path on a client's connection, and its answer, with the work of uvicorn's cut to what that needs.

An answer's head is joined of lines that were written and checked before, and goes out together with the first bytes of the body.
"""

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from slipway_router.asgi import CLOSE, App, Header, Scope
from slipway_router.head import Head

if TYPE_CHECKING:
    from slipway_router.lean import LeanProtocol

JOINED_BYTES = 64 * 1024
"""Up to here copying a body behind its head is cheaper than handing over two buffers."""
CYCLE, HEAD = "slipway.cycle", "slipway.head"
"""Where a scope has them."""


_lines: dict[Header, bytes] = {}
"""Headers as they are written. Nearly all of an answer's were another's before: to look one up takes a fifth of what it takes to
write and check it."""
MOST_LINES = 2048
LONGEST_LINE = 256
"""Bytes of a line that is kept."""


def _line(header: Header) -> bytes:
    """A header as it is written.

    Raises:
        RuntimeError: it holds a line break.
    """
    line = b"%b: %b\r\n" % header
    if line.count(b"\n") != 1 or line.count(b"\r") != 1 or b"\0" in line:
        raise RuntimeError("a header holds a line break")
    # What closes the connection must be seen each time, and no two requests have the same id.
    if len(line) <= LONGEST_LINE and header != CLOSE and header[0] != b"x-request-id":
        if len(_lines) >= MOST_LINES:
            _lines.clear()
        _lines[header] = line
    return line


class LeanCycle(RequestResponseCycle):
    """One request of the data path, and its answer."""

    _head = b""
    """What is to go out before the next bytes of the body."""

    def take_body(self) -> bytes | None:
        """The request's body if all of it is there; None if it is still to be received."""
        if self.more_body or self.disconnected or self.waiting_for_100_continue:
            return None
        self.message_event.clear()
        body, self.body = bytes(self.body), bytearray()
        return body

    async def send(self, message: Any) -> None:
        """ASGI's. The start of an answer waits for the first message with its body, which the data path sends at once."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            if message["type"] != "http.response.start":
                raise RuntimeError(f"an answer begins with http.response.start, not with {message['type']}")
            headers: list[Header] = list(message["headers"])
            length = next((int(value) for name, value in headers if name == b"content-length"), None)
            self.start(message["status"], headers, length)
        elif self.response_complete:
            raise RuntimeError("the answer is complete already")
        else:
            self.write(message.get("body", b""), more=message.get("more_body", False))

    def start(self, status: int, headers: list[Header], length: int | None, more: bytes = b"") -> None:
        """Begin the answer; its head goes out with the first `write`.

        Args:
            status: HTTP status.
            headers: With the length, where it is known.
            length: Of the body; None where only its end will tell.
            more: Header lines of the router's own making, whole: they are not looked at.

        Raises:
            RuntimeError: a header holds a line break.
        """
        self.response_started = True
        self.waiting_for_100_continue = False
        close = b"" if self.keep_alive else b"connection: close\r\n"
        if length is None:
            self.chunked_encoding = True
            end = b"transfer-encoding: chunked\r\n%b\r\n" % more
        else:
            self.chunked_encoding = False
            self.expected_content_length = length
            end = b"%b\r\n" % more
        known, default = _lines.get, self.default_headers
        try:
            self._head = b"".join((STATUS_LINE[status], *map(known, default), *map(known, headers), close, end))  # pyright: ignore[reportArgumentType] -- what is not known is no bytes: see below
        except TypeError:
            if CLOSE in headers:
                self.keep_alive = False
                close = b""
            self._head = b"".join((STATUS_LINE[status], *[known(h) or _line(h) for h in (*default, *headers)], close, end))

    def write(self, body: bytes, *, more: bool) -> None:
        """Send some of the answer's body; without `more`, its end."""
        head = self._head
        if head:
            self._head = b""
            if len(body) > JOINED_BYTES:
                self.transport.write(head)
                head = b""
        if self.chunked_encoding:
            data = b"%b%x\r\n%b\r\n" % (head, len(body), body) if body else head
            if not more:
                data += b"0\r\n\r\n"
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("the answer is longer than its content-length")
            data = head + body if head else body
        if data:
            self.transport.write(data)
        if more:
            return
        if self.expected_content_length:
            raise RuntimeError("the answer is shorter than its content-length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


class Passing(Protocol):
    """What passes an answer on without a task, as far as the client's connection must tell it what happens."""

    def gone(self) -> None:
        """The client is."""
        ...

    def hold(self) -> None:
        """The client takes no more for now."""
        ...

    def go_on(self) -> None:
        """It does again."""
        ...


class _Unheard(asyncio.Event):
    """An event that nobody waits for. One that somebody does is made when it is needed."""

    def set(self) -> None:
        """Tell nobody."""

    def clear(self) -> None:
        """Nothing was told."""


_UNHEARD = _Unheard()


class RememberedCycle(LeanCycle):
    """One request whose head was recognised, or read by `read_head`."""

    disconnected = response_started = response_complete = waiting_for_100_continue = False
    chunked_encoding = None
    expected_content_length = 0
    passing: Passing | None = None
    """What answers it, where no task does."""
    message_event: asyncio.Event = _UNHEARD

    def __init__(self, protocol: "LeanProtocol", head: Head, body: bytes, *, more: bool) -> None:  # pyright: ignore[reportMissingSuperCall] -- what it would set is set here, or by the class
        """
        Args:
            protocol: The connection.
            head: The request's head.
            body: Its body, or what is there of it.
            more: Whether there is more to come.
        """
        self.head = head
        self._protocol = protocol
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.default_headers = protocol.server_state.default_headers
        self.keep_alive = head.keep_alive
        self.on_response = protocol.on_response_complete
        self.more_body = more
        self._parts = [body] if body else []
        self._unread = True

    @property
    def scope(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride] -- made for those who need it
        """ASGI's."""
        return {**self.head.scope, CYCLE: self, HEAD: self.head}

    def take_body(self) -> bytes | None:
        """The request's body if all of it is there; None if it is still to be received."""
        if self.more_body or self.disconnected:
            return None
        return self._take()

    def run(self, app: App) -> None:
        """Let a task answer it."""
        self._protocol.run(self, app)

    def feed(self, part: bytes, *, more: bool) -> None:
        """Take in some more of the body."""
        self._parts.append(part)
        self._unread = True
        self.more_body = more
        if sum(map(len, self._parts)) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self.message_event.set()

    async def receive(self) -> Any:
        """ASGI's."""
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            if self.message_event is _UNHEARD:
                self.message_event = asyncio.Event()
                if self._unread and (self._parts or not self.more_body):
                    self.message_event.set()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self._take(), "more_body": self.more_body}

    def _take(self) -> bytes:
        parts, self._parts = self._parts, []
        self._unread = False
        self.message_event.clear()
        return parts[0] if len(parts) == 1 else b"".join(parts)


def body_at_hand(scope: Scope) -> bytes | None:
    """The request's body, if all of it has arrived; else it must be received."""
    cycle = scope.get(CYCLE)
    return cycle.take_body() if isinstance(cycle, LeanCycle) else None


def head_of(scope: Scope) -> Head | None:
    """The head that this request shares with others of its connection, where it is remembered."""
    return scope.get(HEAD)
