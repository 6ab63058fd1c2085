"""Connections to one backend: HTTP/1.1 on asyncio, kept open between requests, with deadlines and flow control.

Written for a proxy: bytes of a body are handed on as they come, and what costs time per chunk (a task, a timer, a queue) is not
there. A deadline is a number that a connection's one timer compares when it fires; the timer outlives requests.
"""

import asyncio
import os
import ssl
from typing import Literal, cast
from urllib.parse import urlsplit

import httptools

from slipway_router.asgi import Header
from slipway_router.config import Timeouts

MAX_HEAD_BYTES = 64 * 1024
"""Largest head of an answer, its 1xx heads and trailers included."""
HIGH_WATER_BYTES = 256 * 1024
"""Unread bytes of an answer past which its connection is not read."""
JOINED_BYTES = 64 * 1024
"""Up to here copying a body behind its head is cheaper than handing over two buffers."""
IDLE_SECONDS = 60.0
"""A kept connection idle for longer is not used again: cloud NATs forget one after some minutes, in silence."""

Cause = Literal["connect", "tls", "timeout", "reset", "protocol", "full", "status", "auth", "not_found", "rate_limit"]


class UpstreamError(Exception):
    """An attempt at a backend that came to nothing."""

    def __init__(self, cause: Cause, detail: str, *, retry_after: float | None = None) -> None:
        """
        Args:
            cause: A word for metrics.
            detail: What happened, for the client and the log; nothing secret.
            retry_after: Seconds after which the backend asked to be tried again.
        """
        super().__init__(detail)
        self.cause: Cause = cause
        self.detail = detail
        self.retry_after = retry_after


class Answer:
    """One answer, while it comes in. Read by one task."""

    __slots__ = (
        "_connection",
        "_loop",
        "_parts",
        "_size",
        "_waiter",
        "complete",
        "error",
        "headers",
        "heard",
        "started",
        "status",
        "until_close",
    )

    def __init__(self, connection: "Connection", loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: list[Header] = []
        """Names in lower case."""
        self.heard = False
        """Whether any byte came, so that the backend must have seen the request."""
        self.started = False
        """Whether the head is whole."""
        self.complete = False
        self.until_close = False
        """Whether only the connection's end ended it: nothing tells a whole answer from a cut one."""
        self.error: UpstreamError | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._connection: Connection | None = connection
        self._loop = loop

    async def head(self) -> None:
        """Wait for status and headers.

        Raises:
            UpstreamError: when they do not come.
        """
        while not self.started:
            if self.error is not None:
                raise self.error
            await self._wait()

    async def read(self) -> bytes:
        """The next bytes of the body, as many as are there; none at its end.

        Raises:
            UpstreamError: when it breaks off. What came before is handed out first.
        """
        while not self._parts:
            if self.complete:
                return b""
            if self.error is not None:
                raise self.error
            await self._wait()
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        if self._size > HIGH_WATER_BYTES and self._connection is not None:
            self._connection.resume()
        self._size = 0
        return data

    async def read_up_to(self, most: int) -> bytes:
        """The body to its end, or to a little over `most` bytes; `complete` and `pending` tell which."""
        parts: list[bytes] = []
        size = 0
        while size <= most:
            part = await self.read()
            if not part:
                break
            parts.append(part)
            size += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def pending(self) -> bool:
        """Whether there is more to read."""
        return bool(self._parts) or not self.complete

    def abort(self) -> None:
        """Give up what is still to come, and the connection with it. Nothing happens to a complete answer."""
        if self._connection is not None:
            self._connection.abort()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def add(self, data: bytes) -> int:
        """Take in a part of the body; says how much is unread."""
        self._parts.append(data)
        self._size += len(data)
        return self._size

    def detach(self) -> None:
        self._connection = None


class Connection(asyncio.Protocol):
    """One connection, and the one answer that is under way on it."""

    __slots__ = (
        "_answer",
        "_between",
        "_due",
        "_first",
        "_framed",
        "_head_size",
        "_keep",
        "_loop",
        "_parser",
        "_paused",
        "_pool",
        "_timer",
        "_timer_at",
        "_total_at",
        "_transport",
        "idle_since",
    )

    def __init__(self, pool: "Pool", timeouts: Timeouts) -> None:
        self._pool = pool
        self._first = timeouts.first_byte
        self._between = timeouts.between_chunks
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._answer: Answer | None = None
        self._framed = self._keep = self._paused = False
        self._head_size = 0
        self._due = self._total_at = self._timer_at = self.idle_since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def send(self, head: bytes, body: bytes, total_at: float) -> Answer:
        """Send a request; its answer must be over before the next."""
        transport = self._transport
        assert transport is not None
        answer = self._answer = Answer(self, self._loop)
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._head_size = 0
        self._total_at = total_at
        self._expect_by(min(self._loop.time() + self._first, total_at))
        if len(body) < JOINED_BYTES:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        return answer

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def resume(self) -> None:
        """Read on: what was unread has been read."""
        if self._paused and self._transport is not None:
            self._paused = False
            self._due = min(self._loop.time() + self._between, self._total_at)
            self._transport.resume_reading()

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        answer, parser = self._answer, self._parser
        if answer is None or parser is None:
            # An answer that nobody asked for: whatever comes next could not be told from it.
            self.abort()
            return
        answer.heard = True
        if not answer.started:
            self._head_size += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(UpstreamError("protocol", "answered with a protocol upgrade"))
            return
        except httptools.HttpParserError as error:
            if not answer.complete:
                said = error.__context__ if isinstance(error.__context__, UpstreamError) else None
                self._fail(
                    said
                    or UpstreamError(
                        "protocol", f"answered with malformed HTTP ({' '.join(str(error).split()) or 'bad callback'})"
                    )
                )
                return
            self._keep = False
        if not answer.started and self._head_size > MAX_HEAD_BYTES:
            self._fail(_head_too_large())
        elif answer.complete:
            self._over(answer)
        elif answer.started:
            answer.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._parser = None  # it holds bound methods of this object: a cycle
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pool.lost(self)
        answer = self._answer
        if answer is None:
            return
        if exc is None and answer.started and not self._framed:
            answer.complete = answer.until_close = True
            self._leave(answer)
        else:
            where = "in the middle of its answer" if answer.started else "without an answer"
            self._leave(answer, UpstreamError("reset", f"closed the connection {where}"))

    # the parser's side

    def on_message_begin(self) -> None:
        answer = self._answer
        if answer is None or answer.complete:
            raise UpstreamError("protocol", "sent more than its answer")
        answer.headers = []
        self._framed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        answer = self._answer
        assert answer is not None
        if answer.started:  # trailers
            self._head_size += len(name) + len(value)
            if self._head_size > MAX_HEAD_BYTES:
                raise _head_too_large()
            return
        name = name.lower()
        if name == b"content-length" or (name == b"transfer-encoding" and value.lower().endswith(b"chunked")):
            self._framed = True
        answer.headers.append((name, value))

    def on_headers_complete(self) -> None:
        answer, parser = self._answer, self._parser
        assert answer is not None
        assert parser is not None
        status = parser.get_status_code()
        if status >= 200:
            answer.status = status
            answer.started = True
            if sum(len(n) + len(v) for n, v in answer.headers) > MAX_HEAD_BYTES:
                raise _head_too_large()

    def on_body(self, data: bytes) -> None:
        answer, transport = self._answer, self._transport
        assert answer is not None
        self._expect_by(min(self._loop.time() + self._between, self._total_at))
        if answer.add(data) > HIGH_WATER_BYTES and not self._paused and transport is not None:
            self._paused = True
            transport.pause_reading()

    def on_message_complete(self) -> None:
        answer, parser = self._answer, self._parser
        assert answer is not None
        assert parser is not None
        if answer.started:
            answer.complete = True
            # The parser forgets this once the callback is over.
            self._keep = parser.should_keep_alive()

    # endings

    def _over(self, answer: Answer) -> None:
        """A complete message: the connection goes back to the pool, if both sides are where a next request can begin."""
        transport = self._transport
        self._leave(answer)
        if transport is None:
            return
        if not self._keep or transport.is_closing() or transport.get_write_buffer_size():
            transport.abort()
            return
        if self._paused:
            self._paused = False
            transport.resume_reading()
        self.idle_since = self._loop.time()
        self._pool.free.append(self)

    def _fail(self, error: UpstreamError) -> None:
        if self._answer is not None:
            self._leave(self._answer, error)
        self.abort()

    def _leave(self, answer: Answer, error: UpstreamError | None = None) -> None:
        self._answer = None
        answer.error = error
        answer.detach()
        answer.wake()

    # deadlines

    def _expect_by(self, due: float) -> None:
        self._due = due
        if self._timer is None:
            self._timer_at = due
            self._timer = self._loop.call_at(due, self._tick)
        elif due < self._timer_at:
            self._timer.cancel()
            self._timer_at = due
            self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        answer = self._answer
        if answer is None:
            return
        now = self._loop.time()
        if self._paused:
            # It is the client that is slow, not the backend.
            self._due = min(now + self._between, self._total_at)
        if now < self._due:
            self._expect_by(self._due)
        elif now >= self._total_at:
            self._fail(UpstreamError("timeout", "was not done within the total time"))
        elif answer.heard:
            self._fail(UpstreamError("timeout", "stalled in its answer"))
        else:
            self._fail(UpstreamError("timeout", f"sent nothing within {self._first:g} s"))


class Pool:
    """The connections to one backend."""

    def __init__(self, url: str, timeouts: Timeouts, max_connections: int) -> None:
        """
        Args:
            url: Scheme, host and port to connect to; `https` verifies certificate and name against the system's authorities
                (or `SSL_CERT_FILE`).
            timeouts: Its deadlines, but for `total`, which each request brings along.
            max_connections: Most connections at once.
        """
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._timeouts = timeouts
        self._most = max_connections
        self._all: set[Connection] = set()
        self._opening = 0
        self.free: list[Connection] = []

    async def request(self, head: bytes, body: bytes, total_at: float) -> Answer:
        """Send a request and wait for the head of its answer.

        A kept connection that turns out to have been closed meanwhile, before it gave any byte of an answer, is replaced by a
        new one, once.

        Args:
            head: The request's head with its empty line.
            body: Its body.
            total_at: Loop time by which the answer must be complete.

        Raises:
            UpstreamError: 'full', 'connect', 'tls', 'timeout', 'reset' or 'protocol'.
        """
        kept = self._kept()
        if kept is not None:
            answer = kept.send(head, body, total_at)
            try:
                return await _headed(answer)
            except UpstreamError as error:
                if error.cause != "reset" or answer.heard:
                    raise
        connection = await self._connect(total_at)
        return await _headed(connection.send(head, body, total_at))

    def trim(self) -> None:
        """Close what has been idle for too long."""
        before = asyncio.get_running_loop().time() - IDLE_SECONDS
        for connection in [c for c in self.free if c.idle_since < before]:
            connection.abort()

    def close(self) -> None:
        """Close every connection; answers under way break off."""
        for connection in list(self._all):
            connection.abort()

    def opened(self, connection: Connection) -> None:
        self._all.add(connection)

    def lost(self, connection: Connection) -> None:
        self._all.discard(connection)
        if connection in self.free:
            self.free.remove(connection)

    def _kept(self) -> Connection | None:
        while self.free:
            connection = self.free.pop()
            if connection.open:
                if asyncio.get_running_loop().time() - connection.idle_since < IDLE_SECONDS:
                    return connection
                connection.abort()
        return None

    async def _connect(self, total_at: float) -> Connection:
        if len(self._all) + self._opening >= self._most:
            raise UpstreamError("full", f"has all its {self._most} connections in use")
        loop = asyncio.get_running_loop()
        connection = Connection(self, self._timeouts)
        limit = min(loop.time() + self._timeouts.connect, total_at)
        self._opening += 1
        try:
            async with asyncio.timeout_at(limit):
                await loop.create_connection(
                    lambda: connection,
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls else None,
                )
        except TimeoutError:
            connection.abort()
            raise UpstreamError("timeout", f"gave no connection within {self._timeouts.connect:g} s") from None
        except ssl.SSLError as error:
            raise UpstreamError(
                "tls", f"failed the TLS handshake ({getattr(error, 'verify_message', '') or error.reason})"
            ) from None
        except (OSError, UnicodeError) as error:
            raise UpstreamError("connect", f"gave no connection ({_told(error)})") from None
        except BaseException:
            connection.abort()
            raise
        finally:
            self._opening -= 1
        return connection


async def _headed(answer: Answer) -> Answer:
    try:
        await answer.head()
    except BaseException:
        answer.abort()
        raise
    return answer


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and (error.errno or 0) > 0:
        return os.strerror(error.errno or 0).lower()
    return " ".join(str(getattr(error, "strerror", None) or error).split()).lower() or type(error).__name__


def _head_too_large() -> UpstreamError:
    return UpstreamError("protocol", f"answered with a head of more than {MAX_HEAD_BYTES // 1024} KiB")
