"""The connections to one backend, kept open between requests."""

import asyncio
import os
import ssl
from urllib.parse import urlsplit

from slipway_router.answer import Answer, UpstreamError
from slipway_router.connection import Connection
from slipway_router.replica_settings import Address
from slipway_router.steadiness import Timeouts

IDLE_SECONDS = 60.0
"""A kept connection idle for longer is not used again: cloud NATs forget one after some minutes, in silence."""


class Pool:
    """The connections to one backend."""

    def __init__(self, url: str, timeouts: Timeouts, max_connections: int, at: Address | None = None) -> None:
        """
        Args:
            url: Scheme, host and port to connect to; `https` verifies certificate and name against the system's authorities
                (or `SSL_CERT_FILE`).
            timeouts: Its deadlines, but for `total`, which each request brings along.
            max_connections: Most connections at once.
            at: Where to connect to instead, the certificate's name being still that of `url`.
        """
        parts = urlsplit(url)
        self._name = parts.hostname or ""
        self._host, self._port = at or (self._name, parts.port or (443 if parts.scheme == "https" else 80))
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._timeouts = timeouts
        self._most = max_connections
        self._all: set[Connection] = set()
        self._opening = 0
        self._retired = False
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
        kept = self.kept()
        if kept is not None:
            answer = kept.send(head, body, total_at)
            try:
                return await _headed(answer)
            except UpstreamError as error:
                if error.cause != "reset" or answer.heard:
                    raise
        connection = await self.connect(total_at)
        return await _headed(connection.send(head, body, total_at))

    def trim(self) -> None:
        """Close what has been idle for too long."""
        before = asyncio.get_running_loop().time() - IDLE_SECONDS
        for connection in [c for c in self.free if c.idle_since < before]:
            connection.abort()

    def retire(self) -> None:
        """Keep no connection any more; answers under way go on to their end."""
        self._retired = True
        for connection in list(self.free):
            connection.abort()

    def close(self) -> None:
        """Close every connection; answers under way break off."""
        for connection in list(self._all):
            connection.abort()

    def opened(self, connection: Connection) -> None:
        self._all.add(connection)

    def idle(self, connection: Connection) -> None:
        if self._retired:
            connection.abort()
        else:
            self.free.append(connection)

    def lost(self, connection: Connection) -> None:
        self._all.discard(connection)
        if connection in self.free:
            self.free.remove(connection)

    def kept(self) -> Connection | None:
        """A connection that is open and free, if there is one."""
        while self.free:
            connection = self.free.pop()
            if connection.open:
                if asyncio.get_running_loop().time() - connection.idle_since < IDLE_SECONDS:
                    return connection
                connection.abort()
        return None

    async def connect(self, total_at: float) -> Connection:
        """A new connection.

        Raises:
            UpstreamError: 'full', 'connect', 'tls' or 'timeout'.
        """
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
                    server_hostname=self._name if self._tls else None,
                )
        except TimeoutError:
            connection.abort()
            raise UpstreamError("timeout", f"gave no connection within {self._timeouts.connect:g} s", absent=True) from None
        except ssl.SSLError as error:
            raise UpstreamError(
                "tls", f"failed the TLS handshake ({getattr(error, 'verify_message', '') or error.reason})"
            ) from None
        except (OSError, UnicodeError) as error:
            raise UpstreamError("connect", f"gave no connection ({_told(error)})", absent=True) from None
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
