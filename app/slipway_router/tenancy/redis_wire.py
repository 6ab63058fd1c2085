"""A connection to Redis for the call that requests wait for.

A call of redis-py takes 219,000 instructions (199,000 with hiredis), nearly as many as a whole request without limits; on a
protocol of asyncio, with hiredis alone, 16,000. So what is called for requests goes this way, and all that is called beside them,
keys and beats and the scripts themselves, redis-py's.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import urlsplit

import hiredis
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import ResponseError

from slipway_router.tenancy.settings import RedisSettings

PORT = 6379
_packed: Callable[[tuple[str | bytes | int, ...]], bytes] = hiredis.pack_command  # pyright: ignore[reportAssignmentType, reportUnknownMemberType, reportUnknownVariableType] -- its stub says a tuple of one


class Wire(asyncio.Protocol):
    """One connection. Answers come in the order of the calls."""

    def __init__(self, lost: Callable[[], None]) -> None:
        """
        Args:
            lost: Called when it is closed by anybody but `close`.
        """
        self._lost: Callable[[], None] | None = lost
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Callable[[object], None]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """asyncio's."""
        reader, waiting = self._reader, self._waiting
        reader.feed(data)
        try:
            while (said := reader.gets()) is not False and waiting:
                waiting.popleft()(said)
        except hiredis.ProtocolError:
            self._abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio gives it
        """asyncio's."""
        self._transport = None
        while self._waiting:
            self._waiting.popleft()(LostError("the connection was lost"))
        if self._lost is not None:
            self._lost()

    def call(self, then: Callable[[object], None], *command: str | bytes | int) -> None:
        """Send a command.

        Args:
            then: Gets the answer, or the error in its place.
            command: Its parts.
        """
        if self._transport is None:
            then(LostError("the connection was lost"))
            return
        self._waiting.append(then)
        self._transport.write(_packed(command))

    async def ask(self, *command: str) -> object:
        """Send a command and wait for its answer.

        Raises:
            redis.ResponseError: Redis refuses it.
            redis.ConnectionError: there is none.
        """
        said: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.call(lambda told: None if said.done() else said.set_result(told), *command)
        told = await said
        if isinstance(told, LostError):
            raise told
        if isinstance(told, hiredis.ReplyError):
            raise ResponseError(str(told))
        return told

    def close(self) -> None:
        """Close it; nobody is told."""
        self._lost = None
        self._waiting.clear()
        self._abort()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def wired(settings: RedisSettings, environ: Mapping[str, str], lost: Callable[[], None]) -> Wire:
    """A connection that may be used.

    Raises:
        redis.RedisError, OSError: there is none.
    """
    at = urlsplit(settings.url)
    tls = ssl.create_default_context(cafile=settings.ca_file) if at.scheme == "rediss" else None
    _, wire = await asyncio.get_running_loop().create_connection(lambda: Wire(lost), at.hostname or "", at.port or PORT, ssl=tls)
    try:
        password = environ[settings.password_env] if settings.password_env else None
        if settings.username is not None or password is not None:
            await wire.ask("AUTH", *([settings.username] if settings.username is not None else []), password or "")
        if at.path[1:]:
            await wire.ask("SELECT", at.path[1:])
    except BaseException:
        wire.close()
        raise
    return wire
