"""The router's one connection to Redis.

redis-py, because it is Redis' own and speaks to what people run (passwords, access lists, TLS); what a call of it costs, a
tenth of a millisecond of Python, is paid once for all requests that come while the one before is under way: they go together
(`Link.ask`).
"""

import asyncio
import importlib
import logging
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import orjson

from slipway_router.config import ConfigError
from slipway_router.tenancy.settings import RedisSettings

WINDOW_SECONDS = 60.0
"""Of limits by the minute."""
MOST_TOGETHER = 256
"""Requests that one call admits."""
PATIENCE_SECONDS = 1.0
"""How long a call that no request waits for may take."""

Ask = tuple[str, int, int, int, int, int, str, str]
"""Of `admit.lua`."""
Told = tuple[Literal[0, 1, 2, 3], int, int, int, int, float]
"""Its answer."""
Book = tuple[Any, ...]
"""Of `admit.lua`."""

logger = logging.getLogger("slipway_router")


def connected(settings: RedisSettings, environ: Mapping[str, str]) -> Any:
    """A client of it, which connects when it is first asked.

    Raises:
        ConfigError: redis-py is not installed.
    """
    try:
        module: Any = importlib.import_module("redis.asyncio")
        retry: Any = importlib.import_module("redis.asyncio.retry")
        backoff: Any = importlib.import_module("redis.backoff")
    except ImportError:
        raise ConfigError([("redis", "needs redis-py; install slipway[redis], or leave 'redis' out")]) from None
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
    """What requests ask of Redis and tell it, many in one call.

    Once it fails, or is late, it is down: nobody waits for it until a call beside the requests was answered.
    """

    def __init__(self, client: Any, settings: RedisSettings, me: str, window: float = WINDOW_SECONDS) -> None:
        """
        Args:
            client: See `connected`.
            settings: Of the configuration.
            me: What tells this router from others.
            window: Seconds of a limit.
        """
        self._client = client
        self._me = me
        self._window = int(window * 1e6)
        self._patience = settings.timeout_ms / 1000
        self.prefix = f"{{{settings.prefix}}}:"
        """What names of keys begin with; in braces, so that all are in one slot."""
        self.up = False
        self.down_since = 0.0
        """By the loop's clock."""
        self._asks: list[tuple[Ask, asyncio.Future[Told | None]]] = []
        self._since = 0.0
        """When the first of them came."""
        self._books: list[Book] = []
        self._telling: list[Book] = []
        """What is under way with the number `_seq`; told again under that until it is answered."""
        self._seq = 0
        self._told_at = 0.0
        """When it was last told what had been admitted without it."""
        self._pump: asyncio.Task[None] | None = None
        self._late: asyncio.TimerHandle | None = None
        self._call_number = 0
        self._scripts = {n: Path(__file__).with_name(f"{n}.lua").read_text() for n in ("admit", "beat")}
        self._hashes: dict[str, str] = {}

    def ask(self, ask: Ask) -> "asyncio.Future[Told | None]":
        """Have a request admitted. Only while it is up. None: it went down meanwhile."""
        future: asyncio.Future[Told | None] = asyncio.get_running_loop().create_future()
        if not self._asks:
            self._since = asyncio.get_running_loop().time()
        self._asks.append((ask, future))
        self._go()
        return future

    def book(self, book: Book) -> None:
        """Tell what happened, once, as soon as may be."""
        self._books.append(book)
        if self.up:
            self._go()

    @property
    def owes(self) -> int:
        """Bookings that Redis has not confirmed."""
        return len(self._books) + len(self._telling)

    async def script(self, name: str, argument: object) -> Any:
        """Call a script beside the requests.

        Raises:
            redis.RedisError, OSError, TimeoutError: there is no answer.
        """
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._call(name, argument)

    async def revive(self, unshared: Callable[[float], list[Book]]) -> None:
        """Be up again, once Redis knows what is owed to it.

        Args:
            unshared: What was admitted without it since then, by the loop's clock.

        Raises:
            redis.RedisError, OSError, TimeoutError: it is not there.
        """
        if not self._telling:
            self._telling = self._taken()
        await self._tell()
        since, self._told_at = max(self.down_since, self._told_at), asyncio.get_running_loop().time()
        self._books += unshared(since)
        self._telling = self._taken()
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

    def _argument(self, asks: list[Ask]) -> dict[str, Any]:
        telling = self._telling
        return {
            "me": self._me,
            "window": self._window,
            "seq": self._seq if telling else 0,
            "books": telling,
            "asks": asks,
        }

    def _go(self) -> None:
        if self._pump is None and (self._asks or self._books):
            self._pump = asyncio.get_running_loop().create_task(self._pumping())

    async def _pumping(self) -> None:
        loop = asyncio.get_running_loop()
        taken: list[tuple[Ask, asyncio.Future[Told | None]]] = []
        try:
            while self.up and (self._asks or self._books):
                # Whoever came while the call before was under way has waited already.
                until = self._since + self._patience if self._asks else loop.time() + PATIENCE_SECONDS
                taken, self._asks = self._asks[:MOST_TOGETHER], self._asks[MOST_TOGETHER:]
                self._telling = self._telling or self._taken()
                self._late = loop.call_at(until, self._waited)
                told = await self._call("admit", self._argument([a for a, _ in taken]))
                self._late.cancel()
                self._call_number += 1
                self._telling = []
                for (_, future), one in zip(taken, told, strict=True):
                    if not future.done():
                        future.set_result(tuple(one))
                taken = []
        except asyncio.CancelledError:
            self.fail("it was given up")
        except Exception as error:  # noqa: BLE001 -- whatever it is, no request waits for it
            self.fail(type(error).__name__)
        finally:
            if self._late is not None:
                self._late.cancel()
            self._pump = None
            for _, future in taken:
                if not future.done():
                    future.set_result(None)

    def _waited(self) -> None:
        # The answer may be there and only not read yet, where this process itself was late: a turn of the loop tells.
        asyncio.get_running_loop().call_later(0.001, self._give_up, self._call_number)

    def _give_up(self, number: int) -> None:
        if self._pump is not None and number == self._call_number:
            self._pump.cancel()
            self.fail(f"no answer within {self._patience * 1000:g} ms")

    def fail(self, why: str) -> None:
        """It does not answer: whoever waits goes on without it."""
        if self.up:
            self.up = False
            self.down_since = asyncio.get_running_loop().time()
            logger.warning("Redis is gone (%s): limits go by what this router knows", why)
        asks, self._asks = self._asks, []
        for _, future in asks:
            if not future.done():
                future.set_result(None)

    async def _call(self, name: str, argument: object) -> Any:
        text = orjson.dumps(argument)
        known = self._hashes.get(name)
        if known is None:
            known = self._hashes[name] = await self._client.script_load(self._scripts[name])
        try:
            said = await self._client.evalsha(known, 1, self.prefix, text)
        except _missing():
            # Redis started anew.
            said = await self._client.eval(self._scripts[name], 1, self.prefix, text)
        return orjson.loads(said)

    async def close(self) -> None:
        """Close the connection."""
        if self._pump is not None:
            self._pump.cancel()
        await self._client.aclose()


def redis_errors() -> tuple[type[Exception], ...]:
    """What redis-py raises."""
    return (cast("type[Exception]", importlib.import_module("redis.exceptions").RedisError),)


def _missing() -> type[Exception]:
    return cast("type[Exception]", importlib.import_module("redis.exceptions").NoScriptError)
