"""What expires and must be got anew: kept fresh ahead of time, so that no request waits for it."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from slipway_router.answer import UpstreamError

AHEAD_SECONDS = 240.0
"""How long before it expires a new one is got. Google's metadata server hands out the old one until 5 minutes before."""
LAST_SECONDS = 10.0
"""With less than that left it is not used any more."""
AGAIN_SECONDS = 10.0
"""Between two attempts, while the old one still does."""
LIMIT_SECONDS = 10.0
"""How long a request waits for the first one."""

T = TypeVar("T")

logger = logging.getLogger("slipway_router")


class Fresh(Generic[T]):
    """A value with an end. Belongs to one event loop; getting a new one, which may block, is done in a thread."""

    def __init__(self, load: Callable[[], tuple[T, float]], what: str) -> None:
        """
        Args:
            load: Gets a new one, and tells when it expires, in seconds since 1970.
            what: How it is called in errors: 'token of Google'.
        """
        self._load = load
        self._what = what
        self._value: T | None = None
        self._expires = 0.0
        self._next = 0.0
        self._loading: asyncio.Task[None] | None = None

    @property
    def value(self) -> T:
        """The current one; `ensure` must have been awaited."""
        assert self._value is not None
        return self._value

    async def ensure(self) -> None:
        """Have one that can be used now, and see to the next.

        Raises:
            UpstreamError: 'auth' when there is none to be had.
        """
        left = self._expires - time.time()
        if left > AHEAD_SECONDS:
            return
        if self._loading is None and time.time() >= self._next:
            self._loading = asyncio.create_task(self._renew())
        if left > LAST_SECONDS:
            return
        if self._loading is not None:
            # The first request that gives up must not take the others' token along.
            await asyncio.wait({self._loading}, timeout=LIMIT_SECONDS)
        if self._expires - time.time() <= LAST_SECONDS:
            raise UpstreamError("auth", f"was not asked: no {self._what} could be had; the log has the reason")

    def expire(self) -> None:
        """It was refused: the next request gets a new one."""
        self._expires = 0.0

    async def _renew(self) -> None:
        try:
            self._value, self._expires = await asyncio.to_thread(self._load)
            self._next = 0.0
        except Exception as error:  # noqa: BLE001 -- whatever the vendor's library raises, the router goes on
            self._next = time.time() + AGAIN_SECONDS
            said = " ".join(str(error).split())[:500]
            logger.warning("no new %s: %s: %s", self._what, type(error).__name__, said)
        finally:
            self._loading = None
