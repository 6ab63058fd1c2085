"""Notices that an answer is no longer wanted: its client has gone, its time is over, or the router stops."""

import asyncio
from typing import Literal

from slipway_router.asgi import Receive

AFTER_SECONDS = 0.05
"""An answer that is over by then was never watched: the task that watches costs a tenth of such a request."""

Reason = Literal["client", "total", "draining"]


class Watch:
    """Cancels the task that made it when its request is no longer wanted."""

    __slots__ = ("_receive", "_task", "_timer", "_until", "_watcher", "reason")

    def __init__(self, receive: Receive, until: float, loop: asyncio.AbstractEventLoop) -> None:
        """
        Args:
            receive: Tells of the client's departure; the request's body must have been read from it.
            until: Loop time at which the request ends even if its client does not read what is sent.
            loop: The running loop.
        """
        task = asyncio.current_task(loop)
        assert task is not None
        self.reason: Reason | None = None
        self._receive = receive
        self._until = until
        self._task = task
        self._watcher: asyncio.Task[None] | None = None
        self._timer = loop.call_later(AFTER_SECONDS, self._begin, loop)

    def cancel(self, reason: Reason) -> None:
        """Cancel the request; the first reason stays."""
        if self.reason is None:
            self.reason = reason
            self._task.cancel()

    def close(self) -> None:
        """Watch no longer."""
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watcher = loop.create_task(self._look())

    async def _look(self) -> None:
        try:
            async with asyncio.timeout_at(self._until):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            self.cancel("total")
        else:
            self.cancel("client")
