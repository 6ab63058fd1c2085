"""What the router asks of Redis and tells it: many requests in one call.

Whoever comes while a call is under way goes with the next one; so the more come, the less each costs.
"""

import asyncio
import importlib
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import orjson

from slipway_router.config import ConfigError
from slipway_router.tenancy.account import Told
from slipway_router.tenancy.settings import RedisSettings

if TYPE_CHECKING:
    from slipway_router.tenancy.redis_wire import Wire

WINDOW_SECONDS = 60.0
"""Of limits by the minute."""
MOST_TOGETHER = 256
"""Requests that one call admits."""
PATIENCE_SECONDS = 1.0
"""How long a call that no request waits for may take."""

Book = tuple[Any, ...]
"""Of `admit.lua`."""

logger = logging.getLogger("slipway_router")


class Waiting(Protocol):
    """A request that waits for Redis."""

    def ask(self) -> bytes:
        """What `admit.lua` is asked."""
        ...

    def heard(self, told: Told | None) -> None:
        """Go on, with what Redis said. None: it is gone."""
        ...


def connected(settings: RedisSettings, environ: Mapping[str, str]) -> Any:
    """A client of it, which connects when it is first asked.

    Raises:
        ConfigError: redis-py, or its parser, is not installed.
    """
    try:
        module: Any = importlib.import_module("redis.asyncio")
        importlib.import_module("hiredis")
        retry: Any = importlib.import_module("redis.asyncio.retry")
        backoff: Any = importlib.import_module("redis.backoff")
    except ImportError:
        raise ConfigError([("redis", "needs redis-py and hiredis; install slipway[redis], or leave 'redis' out")]) from None
    tls: dict[str, Any] = {}
    if settings.url.startswith("rediss:"):
        tls = {"ssl_ca_certs": settings.ca_file, "ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    return module.Redis.from_url(
        settings.url,
        username=settings.username,
        password=environ[settings.password_env] if settings.password_env else None,
        socket_connect_timeout=PATIENCE_SECONDS,
        # Deadlines are kept here, and what failed is not sent again behind our back.
        socket_timeout=None,
        retry=retry.Retry(backoff.NoBackoff(), 0),
        **tls,
    )


class Link:
    """What requests ask of Redis and tell it.

    Once it fails, or is late, it is down: nobody waits for it until a call beside the requests was answered.
    """

    def __init__(
        self, client: Any, settings: RedisSettings, environ: Mapping[str, str], me: str, window: float = WINDOW_SECONDS
    ) -> None:
        """
        Args:
            client: See `connected`.
            settings: Of the configuration.
            environ: Where the password is.
            me: What tells this router from others.
            window: Seconds of a limit.
        """
        self._client = client
        self._settings = settings
        self._environ = environ
        self._me = me
        self._window = int(window * 1e6)
        self._patience = settings.timeout_ms / 1000
        self.prefix = f"{{{settings.prefix}}}:"
        """What names of keys begin with; in braces, so that all are in one slot."""
        self.up = False
        self.down_since = 0.0
        """By the loop's clock."""
        self._asks: list[Waiting] = []
        self._since = 0.0
        """When the first of them came."""
        self._books: list[Book] = []
        self._telling: list[Book] = []
        """What is under way with the number `_seq`; told again under that until it is answered."""
        self._seq = 0
        self._told_at = 0.0
        """When it was last told what had been admitted without it."""
        self._wire: Wire | None = None
        self._next: asyncio.Handle | None = None
        """Sends the next call."""
        self._flying: list[Waiting] | None = None
        """Those whose call is under way; None: there is none."""
        self._late: asyncio.TimerHandle | None = None
        self._call_number = 0
        self._scripts = {n: Path(__file__).with_name(f"{n}.lua").read_text() for n in ("admit", "beat")}
        self._hashes: dict[str, str] = {}

    def ask(self, waiting: Waiting) -> None:
        """Have a request admitted. Only while it is up."""
        if not self._asks:
            self._since = asyncio.get_running_loop().time()
        self._asks.append(waiting)
        self._go()

    def book(self, book: Book) -> None:
        """Tell what happened, once, as soon as may be."""
        self._books.append(book)
        if self.up:
            self._go()

    @property
    def owes(self) -> int:
        """Bookings that Redis has not confirmed."""
        return len(self._books) + len(self._telling)

    async def script(self, name: str, argument: bytes) -> Any:
        """Call a script beside the requests.

        Raises:
            redis.RedisError, OSError, TimeoutError: there is no answer.
        """
        async with asyncio.timeout(PATIENCE_SECONDS):
            known = self._hashes.get(name)
            if known is None:
                known = self._hashes[name] = await self._client.script_load(self._scripts[name])
            try:
                said = await self._client.evalsha(known, 1, self.prefix, argument)
            except _missing():
                # Redis started anew.
                said = await self._client.eval(self._scripts[name], 1, self.prefix, argument)
        return orjson.loads(said)

    async def revive(self, unshared: Callable[[float], list[Book]]) -> None:
        """Be up again, once Redis knows what is owed to it.

        Args:
            unshared: What was admitted without it since then, by the loop's clock.

        Raises:
            redis.RedisError, OSError, TimeoutError: it is not there.
        """
        from slipway_router.tenancy.redis_wire import wired

        if not self._telling:
            self._telling = self._taken()
        await self._tell()
        since, self._told_at = max(self.down_since, self._told_at), asyncio.get_running_loop().time()
        self._books += unshared(since)
        self._telling = self._taken()
        async with asyncio.timeout(PATIENCE_SECONDS):
            self._wire = await wired(self._settings, self._environ, self._lost)
        # Asks for the script too, where nothing is owed.
        await self._tell(always=True)
        self.up = True
        # And what came while it was told.
        since, self._told_at = self._told_at, asyncio.get_running_loop().time()
        self._books += unshared(since)
        logger.info("Redis is there: limits are shared")
        self._go()

    async def _tell(self, *, always: bool = False) -> None:
        if self._telling or always:
            await self.script("admit", self._argument([]))
            self._telling = []

    def _taken(self) -> list[Book]:
        taken, self._books = self._books, []
        if taken:
            self._seq += 1
        return taken

    def _argument(self, asks: Sequence[Waiting]) -> bytes:
        telling = self._telling
        return b'{"me":"%b","window":%d,"seq":%d,"books":%b,"asks":[%b]}' % (
            self._me.encode(),
            self._window,
            self._seq if telling else 0,
            orjson.dumps(telling),
            b",".join([waiting.ask() for waiting in asks]),
        )

    def _go(self) -> None:
        """Send, at the end of this turn of the loop, what there is by then."""
        if self._next is None and self._flying is None:
            self._next = asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._next = None
        if not self.up or not (self._asks or self._books) or self._wire is None:
            return
        loop = asyncio.get_running_loop()
        # Whoever came while the call before was under way has waited already.
        until = self._since + self._patience if self._asks else loop.time() + PATIENCE_SECONDS
        self._flying, self._asks = self._asks[:MOST_TOGETHER], self._asks[MOST_TOGETHER:]
        self._telling = self._telling or self._taken()
        self._late = loop.call_at(until, self._waited)
        argument = self._argument(self._flying)
        self._wire.call(self._heard, "EVALSHA", self._hashes["admit"], 1, self.prefix, argument)

    def _heard(self, said: object) -> None:
        """Redis has answered a call."""
        flying = self._flying
        if flying is None:
            return
        if type(said) is not bytes:
            if self._wire is not None and isinstance(said, Exception) and str(said).startswith("NOSCRIPT"):
                # It started anew, behind a connection that stayed.
                self._wire.call(self._heard, "EVAL", self._scripts["admit"], 1, self.prefix, self._argument(flying))
            else:
                self.fail(str(said) or type(said).__name__)
            return
        answers: list[Told] = orjson.loads(said)
        if self._late is not None:
            self._late.cancel()
        self._call_number += 1
        self._telling = []
        self._flying = None
        # The next call is under way while those of this one go on.
        self._send()
        for waiting, told in zip(flying, answers, strict=True):
            waiting.heard(told)

    def _waited(self) -> None:
        # The answer may be there and only not read yet, where this process itself was late: a turn of the loop tells.
        asyncio.get_running_loop().call_later(0.001, self._give_up, self._call_number)

    def _give_up(self, number: int) -> None:
        if self._flying is not None and number == self._call_number:
            self.fail(f"no answer within {self._patience * 1000:g} ms")

    def _lost(self) -> None:
        self.fail("the connection was lost")

    def fail(self, why: str) -> None:
        """It does not answer: whoever waits goes on without it."""
        if self.up:
            self.up = False
            self.down_since = asyncio.get_running_loop().time()
            logger.warning("Redis is gone (%s): limits go by what this router knows", why)
        self._hang_up()
        waiting = [*(self._flying or ()), *self._asks]
        self._flying, self._asks = None, []
        for one in waiting:
            one.heard(None)

    def _hang_up(self) -> None:
        if self._late is not None:
            self._late.cancel()
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    async def close(self) -> None:
        """Close the connections."""
        self.up = False
        self.fail("the router stops")
        await self._client.aclose()


def redis_errors() -> tuple[type[Exception], ...]:
    """What redis-py raises."""
    return (cast("type[Exception]", importlib.import_module("redis.exceptions").RedisError),)


def _missing() -> type[Exception]:
    return cast("type[Exception]", importlib.import_module("redis.exceptions").NoScriptError)
