"""One answer of a backend, while it comes in, and what can become of it."""

import asyncio
from typing import TYPE_CHECKING, Literal, Protocol

from slipway_router.asgi import Header

if TYPE_CHECKING:
    from slipway_router.connection import Connection

HIGH_WATER_BYTES = 256 * 1024
"""Unread bytes of an answer past which its connection is not read."""

Cause = Literal[
    "connect",
    "tls",
    "timeout",
    "reset",
    "protocol",
    "full",
    "status",
    "auth",
    "not_found",
    "rate_limit",
    "unsupported",
    "open",
    "cold",
]


class UpstreamError(Exception):
    """An attempt at a backend that came to nothing."""

    def __init__(self, cause: Cause, detail: str, *, retry_after: float | None = None, absent: bool = False) -> None:
        """
        Args:
            cause: A word for metrics.
            detail: What happened, for the client and the log; nothing secret.
            retry_after: Seconds after which the backend asked to be tried again.
            absent: Whether it looks as if nobody were there: no connection, or a 503.
        """
        super().__init__(detail)
        self.cause: Cause = cause
        self.detail = detail
        self.retry_after = retry_after
        self.absent = absent


class Listener(Protocol):
    """Who is told at once, in place of a task that waits."""

    def heard(self) -> None:
        """There is more of the answer, or it is over."""
        ...


class Answer:
    """One answer, while it comes in. Read by one task, or by one listener."""

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
        "listener",
        "started",
        "status",
        "unsaid",
        "until_close",
    )

    def __init__(
        self, connection: "Connection | None", loop: asyncio.AbstractEventLoop, listener: Listener | None = None
    ) -> None:
        self.listener = listener
        """None where a task reads."""
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
        self.unsaid = b""
        """What its `usage` is, where that is not in the bytes that are passed on: another API's, or one nobody asked for."""
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
        return self.take()

    def take(self) -> bytes:
        """What is there of the body and was not read yet."""
        parts = self._parts
        if not parts:
            return b""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        if self._size > HIGH_WATER_BYTES and self._connection is not None:
            self._connection.resume()
        self._size = 0
        return data

    @property
    def unread(self) -> int:
        """Bytes of the body that are there and were not read yet."""
        return self._size

    def hold(self) -> None:
        """Let no more come: whoever reads is not read from."""
        if self._connection is not None:
            self._connection.pause()

    def go_on(self) -> None:
        """Let it come again."""
        if self._connection is not None:
            self._connection.resume()

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
        """Tell whoever reads that there is more, or that it is over."""
        if self.listener is not None:
            self.listener.heard()
            return
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
