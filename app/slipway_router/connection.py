"""One connection to a backend: HTTP/1.1 on asyncio, with deadlines and flow control.

Written for a proxy: bytes of a body are handed on as they come, and what costs time per chunk (a task, a timer, a queue) is not
there. A deadline is a number that a connection's one timer compares when it fires; the timer outlives requests.
"""

import asyncio
from typing import Protocol, cast

import httptools

from slipway_router.answer import HIGH_WATER_BYTES, Answer, Listener, UpstreamError
from slipway_router.steadiness import Timeouts

MAX_HEAD_BYTES = 64 * 1024
"""Largest head of an answer, its 1xx heads and trailers included."""
JOINED_BYTES = 64 * 1024
"""Up to here copying a body behind its head is cheaper than handing over two buffers."""


class Keeper(Protocol):
    """Who keeps connections, as far as one of them must tell it what happens."""

    def opened(self, connection: "Connection") -> None: ...
    def idle(self, connection: "Connection") -> None: ...
    def lost(self, connection: "Connection") -> None: ...


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

    def __init__(self, pool: Keeper, timeouts: Timeouts) -> None:
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

    def send(self, head: bytes, body: bytes, total_at: float, listener: Listener | None = None) -> Answer:
        """Send a request; its answer must be over before the next."""
        transport = self._transport
        assert transport is not None
        answer = self._answer = Answer(self, self._loop, listener)
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

    def pause(self) -> None:
        """Read no more until `resume`."""
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

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
        due = self._loop.time() + self._between
        if due > self._total_at:
            due = self._total_at
        # The timer that there is looks again when it fires.
        self._due = due
        if due < self._timer_at or self._timer is None:
            self._expect_by(due)
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
        self._pool.idle(self)

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


def _head_too_large() -> UpstreamError:
    return UpstreamError("protocol", f"answered with a head of more than {MAX_HEAD_BYTES // 1024} KiB")
