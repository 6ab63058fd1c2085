"""What a router does for those it shares with, beside its requests: tells that it lives, hears of keys, finds Redis again."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import orjson

from slipway_router.tenancy.limits import Limits
from slipway_router.tenancy.redis_link import WINDOW_SECONDS, Link, connected, redis_errors
from slipway_router.tenancy.settings import Key, RedisSettings
from slipway_router.tenancy.store import KeyStore

BEAT_SECONDS = 0.25
"""How often. A revoked key is taken no longer than about this."""
LIVELY_SECONDS = 10
"""A router that was not heard of for so long no longer counts as one that shares."""
DEAD_SECONDS = 30
"""What one had reserved that was not heard of for so long is booked."""

logger = logging.getLogger("slipway_router")

KeysTold = Callable[[Sequence[Key], Collection[str]], None]
Health = tuple[Callable[[], str], Callable[[Sequence[str]], None]]


class Sharing:
    """One router's part in what routers share."""

    def __init__(
        self,
        settings: RedisSettings | None,
        environ: Mapping[str, str],
        keys_told: KeysTold,
        health: Health | None = None,
        window: float = WINDOW_SECONDS,
    ) -> None:
        """
        Args:
            settings: Of the Redis. None: there is none, and every limit is this router's own.
            environ: Where its password is.
            keys_told: Gets the keys of Redis, and the names of configured ones that are revoked, whenever they change.
            health: Tells how this router's backends are, and gets what others tell of theirs. None: nobody is told.
            window: Seconds of limits by the minute.

        Raises:
            ConfigError: redis-py is not installed.
        """
        me = secrets.token_hex(8)
        self.limits = Limits(me, window)
        self.store: KeyStore | None = None
        """The keys in Redis; None where there is none."""
        self._settings = settings
        self._me = me
        self._keys_told = keys_told
        self._health = health if settings is not None and settings.health else None
        self._version = -1
        if settings is None:
            return
        client = connected(settings, environ)
        self.limits.link = Link(client, settings, environ, me, window)
        self.limits.routers = settings.replicas or 1
        if settings.keys:
            self.store = KeyStore(client, settings)

    @property
    def connected(self) -> bool:
        """Whether Redis is there."""
        return self.limits.link is not None and self.limits.link.up

    async def run(self) -> None:
        """Do it, until cancelled."""
        link, settings = self.limits.link, self._settings
        if link is None or settings is None:
            return
        said = False
        try:
            while True:
                try:
                    if not link.up:
                        await link.revive(self.limits.unshared)
                    await self._beat(link, settings)
                    said = False
                except (OSError, TimeoutError, *redis_errors()) as error:
                    link.fail(type(error).__name__)
                    if not said:
                        logger.warning("Redis cannot be asked: %s", _plain(error))
                    said = True
                await asyncio.sleep(BEAT_SECONDS)
        finally:
            await link.close()

    async def _beat(self, link: Link, settings: RedisSettings) -> None:
        beat: dict[str, Any] = {"me": self._me, "lively": LIVELY_SECONDS, "dead": DEAD_SECONDS, "health": ""}
        if self._health is not None:
            beat["health"] = self._health[0]()
        routers, version, others = await link.script("beat", orjson.dumps(beat))
        if settings.replicas is None:
            self.limits.routers = max(1, routers)
        if self._health is not None and others:
            self._health[1](others)
        if self.store is not None and version != self._version:
            async with asyncio.timeout(1):
                keys, revoked = await self.store.list(), await self.store.revoked()
            self._keys_told([k.key for k in keys], revoked)
            self._version = version


def _plain(error: BaseException) -> str:
    """What redis-py says, in one line; it tells host and port, and no password."""
    return " ".join(str(error).split())[:200] or type(error).__name__
