"""uvicorn's HTTP protocol with the work of a request cut to what the data path needs.

uvicorn parses, keeps connections, queues pipelined requests and shuts down, as for every path. For the data path two things are
replaced:

- How a request is read. A client repeats its head, but for the length of the body, on every request of a connection. A head is
  parsed once, by the same parser, and from then on recognised by its bytes. What is anything but plain (a chunked body, `Expect`,
  HTTP/1.0, more than one request in a piece) goes uvicorn's way.
- How an answer is written. Its head is joined and checked once instead of header by header, and goes out together with the first
  bytes of the body.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, cast

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from slipway_router.asgi import CLOSE, App, Header, Scope
from slipway_router.target import TASKS

JOINED_BYTES = 64 * 1024
"""Up to here copying a body behind its head is cheaper than handing over two buffers."""
BODY_SECONDS = 0.05
"""How long the rest of a small body is waited for before a task does. Most clients write head and body in two pieces."""
REMEMBERED_BYTES = 16 * 1024
"""Largest head that a connection remembers."""
_CYCLE, _HEAD = "slipway.cycle", "slipway.head"
_LENGTH = b"\r\ncontent-length:"


class Head:
    """A request's head on one connection, to be recognised when it comes again with another length."""

    __slots__ = ("_after", "_before", "keep_alive", "known", "scope")

    def __init__(self, before: bytes, after: bytes, scope: Scope, keep_alive: bool) -> None:
        """
        Args:
            before: What comes before the digits of the length.
            after: What comes after them, to the end of the head.
            scope: ASGI's, of every request with this head.
            keep_alive: Whether the connection stays.
        """
        self._before = before
        self._after = after
        self.scope = scope
        self.keep_alive = keep_alive
        self.known: Any = None
        """What the data path found in it, for the next request. It says itself for how long that is true."""

    def begins(self, data: bytes) -> tuple[int, int] | None:
        """Where the body begins and how long it is, if these bytes begin with this head."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        at = len(before)
        end = data.find(b"\r", at, at + 16)
        digits = data[at:end]
        if end < 0 or not digits.isdigit() or not data.startswith(after, end):
            return None
        return end + len(after), int(digits)


class _Reading:
    """What the parser says of a head."""

    def __init__(self, head: bytes) -> None:
        self.url = b""
        self.headers: list[Header] = []
        self.plain = self.keep_alive = False
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(head)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        self.plain = (parser.get_method(), parser.get_http_version()) == (b"POST", "1.1") and not parser.should_upgrade()
        self.keep_alive = parser.should_keep_alive()


def read_head(data: bytes, scope: Scope) -> Head | None:
    """Understand the head of a plain request of the data path; None for any other, and for one that is not all there.

    Args:
        data: What a connection received.
        scope: What is true of all its requests.
    """
    end = data.find(b"\r\n\r\n") + 4
    if not 4 < end <= REMEMBERED_BYTES or not data.startswith(b"POST "):
        return None
    head = data[:end]
    lower = head.lower()
    at = lower.find(_LENGTH)
    if at < 0 or b"\r\ntransfer-encoding:" in lower or b"\r\nexpect:" in lower:
        return None
    try:
        read = _Reading(head)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    path = read.url.decode("latin-1")
    if not read.plain or path not in TASKS:
        return None
    at += len(_LENGTH)
    at += len(head[at:]) - len(head[at:].lstrip(b" \t"))
    made: Scope = {
        **scope,
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": read.url,
        "query_string": b"",
        "headers": read.headers,
    }
    known = Head(head[:at], head[head.index(b"\r", at) :], made, read.keep_alive)
    return known if known.begins(head) is not None else None


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
        headers = self.default_headers + headers
        parts = [STATUS_LINE[status], *[b"%b: %b\r\n" % header for header in headers]]
        if CLOSE in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            parts.append(b"connection: close\r\n")
        if length is None:
            self.chunked_encoding = True
            parts.append(b"transfer-encoding: chunked\r\n")
        else:
            self.chunked_encoding = False
            self.expected_content_length = length
        lines = len(parts)
        head = b"".join(parts)
        if not head.count(b"\r\n") == head.count(b"\n") == head.count(b"\r") == lines or b"\0" in head:
            raise RuntimeError("a header holds a line break")
        self._head = b"%b%b\r\n" % (head, more)

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
        return {**self.head.scope, _CYCLE: self, _HEAD: self.head}

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


class LeanProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but for requests of the data path."""

    _head: Head | None = None
    """The last request's."""
    _missing = 0
    """What is still to come of the body of a request that was read here."""
    _parsing = False
    """Whether uvicorn's parser is in the middle of a request."""
    _late: asyncio.TimerHandle | None = None
    """Fires when the rest of a small body does not follow its head at once."""
    _idle_since = 0.0

    def data_received(self, data: bytes) -> None:
        """asyncio's."""
        if self._missing:
            data = self._go_on(data)
            if not data:
                return
        cycle = self.cycle
        # None, whatever its type says, until there is one.
        if not self._parsing and (not cycle or cycle.response_complete):
            head = self._head
            found = head.begins(data) if head is not None else None
            if found is None:
                head = self._head = read_head(data, self._common())
                found = head.begins(data) if head is not None else None
            if found is not None and head is not None:
                start, length = found
                missing = length - (len(data) - start)
                if missing >= 0:
                    self._missing = missing
                    self.cycle = cycle = RememberedCycle(self, head, data[start:], more=missing > 0)
                    if not missing:
                        self._begin(cycle)
                    elif missing <= JOINED_BYTES:
                        self._late = self.loop.call_later(BODY_SECONDS, self._begin_late, cycle)
                    else:
                        self.run(cycle, self._application)
                    return
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's."""
        cycle = self.cycle
        super().connection_lost(exc)
        if self._late is not None:
            self._late.cancel()
        if isinstance(cycle, RememberedCycle) and cycle.passing is not None:
            cycle.passing.gone()

    def pause_writing(self) -> None:
        """asyncio's."""
        super().pause_writing()
        if isinstance(self.cycle, RememberedCycle) and self.cycle.passing is not None:
            self.cycle.passing.hold()

    def resume_writing(self) -> None:
        """asyncio's."""
        super().resume_writing()
        if isinstance(self.cycle, RememberedCycle) and self.cycle.passing is not None:
            self.cycle.passing.go_on()

    def run(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Let a task answer a request."""
        self._start_asgi_task(cycle, app)

    def _begin(self, cycle: RememberedCycle) -> None:
        """Answer a request that is all there: without a task, where the app can."""
        begin: Callable[[RememberedCycle], None] | None = getattr(self._application, "begin", None)
        if begin is None:
            self.run(cycle, self._application)
        else:
            begin(cycle)

    def _begin_late(self, cycle: RememberedCycle) -> None:
        """Answer one whose body is slow to come: it may be refused before it is there, and its time is limited."""
        self._late = None
        self.run(cycle, self._application)

    @property
    def _application(self) -> Any:
        return self.app  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] -- uvicorn's

    def _common(self) -> Scope:
        return {
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "state": self.app_state.copy(),
        }

    def _go_on(self, data: bytes) -> bytes:
        """Take in the next part of a body; returns what comes after it."""
        part, rest = data[: self._missing], data[self._missing :]
        self._missing -= len(part)
        cycle = self.cycle
        if isinstance(cycle, RememberedCycle) and not cycle.response_complete:
            cycle.feed(part, more=self._missing > 0)
            if not self._missing and self._late is not None:
                self._late.cancel()
                self._late = None
                self._begin(cycle)
        return rest

    def on_message_begin(self) -> None:
        """The parser's."""
        self._parsing = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """The parser's."""
        self._parsing = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The cycle's. The timer of an idle connection is left running where there is one: it looks again when it fires."""
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None or self.pipeline or self.flow.read_paused:
            super().on_response_complete()
        else:
            self.server_state.total_requests += 1

    def timeout_keep_alive_handler(self) -> None:
        """The timer's."""
        self.timeout_keep_alive_task = None
        if self.cycle and not self.cycle.response_complete:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope = cast("Scope", cycle.scope)
        if scope["method"] == "POST" and scope["path"] in TASKS and not isinstance(cycle, LeanCycle):
            # uvicorn makes its cycles by name; one that has not begun becomes ours, with the same attributes.
            cycle.__class__ = LeanCycle
            scope[_CYCLE] = cycle
        super()._start_asgi_task(cycle, app)


def body_at_hand(scope: Scope) -> bytes | None:
    """The request's body, if all of it has arrived; else it must be received."""
    cycle = scope.get(_CYCLE)
    return cycle.take_body() if isinstance(cycle, LeanCycle) else None


def head_of(scope: Scope) -> Head | None:
    """The head that this request shares with others of its connection, where it is remembered."""
    return scope.get(_HEAD)
