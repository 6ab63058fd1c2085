"""A backend that scales to zero: whether it is there, who wants it, and how traffic comes back to it.

Pure, but for chance: it is told what requests and probes met, and reads a clock.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Literal

IDLE_SECONDS = 30.0
"""One that answered a request so recently was not scaled to zero: where nobody is there then, it has failed."""
HOLD_SECONDS = 120.0
"""How long after the last request that met it a backend counts as wanted: several readings of a Prometheus."""
GIVEN_UP_SECONDS = HOLD_SECONDS + 480.0
"""How long after the last request one that is late was given up: KEDA takes back what nobody wants after 300 seconds
(`cooldownPeriod`). The next request wakes it anew."""
LEAST_SHARE = 0.05
"""Of the requests that meet a backend that has just come back: with none, it would never be measured."""

State = Literal["awake", "asleep", "waking", "late"]


class ColdStart:
    """One backend with `min_replicas: 0`.

    *awake*: it answers, or is taken to. *asleep*: nobody is there, and nobody asked since. *waking*: a request met it asleep, and
    its cold start is not over. *late*: that is over and still nobody is there: from here on its failures count like any other's.
    """

    __slots__ = (
        "_back_at",
        "_clock",
        "_down",
        "_met_at",
        "_ramp_seconds",
        "_seconds",
        "_served_at",
        "_waking_at",
        "back",
        "most_waiting",
        "spilled",
        "waiting",
    )

    def __init__(self, seconds: float, ramp_seconds: float, most_waiting: int, clock: Callable[[], float] = monotonic) -> None:
        """
        Args:
            seconds: How long a start may take.
            ramp_seconds: Over how long traffic comes back.
            most_waiting: Most requests that wait for it where no other backend is left.
            clock: Seconds that only rise.
        """
        self._seconds = seconds
        self._ramp_seconds = ramp_seconds
        self._clock = clock
        self._down = False
        self._met_at = self._waking_at = self._served_at = self._back_at = float("-inf")
        self.most_waiting = most_waiting
        self.spilled = 0
        """Requests under way that are not at it though they should be: others answer them, or they wait."""
        self.waiting = 0
        """Those that wait."""
        self.back = asyncio.Event()
        """Set while it is awake."""
        self.back.set()

    @property
    def state(self) -> State:
        """See above."""
        if not self._down:
            return "awake"
        if self._waking_at == float("-inf"):
            return "asleep"
        return "waking" if self._clock() < self._waking_at + self._seconds else "late"

    @property
    def away(self) -> bool:
        """Whether it is at zero or on its way: no request can be sent there, and that is no failure."""
        return self._down and self.state != "late"

    @property
    def left_seconds(self) -> float:
        """What is left of its cold start, if it begins now at the latest; 0 where it is awake or late."""
        if not self.away:
            return 0.0
        return self._seconds if self.state == "asleep" else self._waking_at + self._seconds - self._clock()

    @property
    def share(self) -> float:
        """How much of the traffic that would go there it gets: 0 while it is away, then rising to 1."""
        if self._down:
            return 0.0
        elapsed = self._clock() - self._back_at
        return 1.0 if elapsed >= self._ramp_seconds else max(LEAST_SHARE, elapsed / self._ramp_seconds)

    def meet(self) -> bool:
        """A request's turn to go there. Says whether it should; if it is asleep, this wakes it."""
        now = self._clock()
        if self._down and (self.state == "asleep" or (self.state == "late" and now - self._met_at > GIVEN_UP_SECONDS)):
            self._waking_at = now
        self._met_at = now
        if self._down:
            return self.state == "late"
        return now - self._back_at >= self._ramp_seconds or random.random() < self.share  # noqa: S311 -- no secret depends on it

    def missed(self) -> bool:
        """Nobody was there. Says whether that is no failure."""
        if not self._down:
            now = self._clock()
            if now - self._served_at < IDLE_SECONDS:
                return False
            self._down = True
            self.back.clear()
            # Those that met it meanwhile, awake as it seemed, have woken it.
            self._waking_at = now if now - self._met_at <= HOLD_SECONDS else float("-inf")
        return self.away

    def answered(self, *, request: bool) -> None:
        """It is there.

        Args:
            request: Whether a request found that out, rather than a probe.
        """
        now = self._clock()
        if request:
            self._served_at = now
        if self._down:
            self._down = False
            self._waking_at = float("-inf")
            self._back_at = now
            self.back.set()

    def wanted(self, in_flight: int) -> int:
        """Requests that it is wanted for: at it, waiting for it, or answered by others because it is not there.

        At least 1 for two minutes after a request met it, and until its cold start is over: whoever scales by this reads it now
        and then, and must not take it back before it is there.
        """
        requests = in_flight + self.spilled
        recent = self._clock() - self._met_at <= HOLD_SECONDS
        return max(requests, int(recent or self.state == "waking"))


async def first_back(pools: Sequence[ColdStart], until: float) -> bool:
    """Wait until one of these is back, or late. Says whether one is, by the loop's time `until`.

    Where one has no room for another that waits, it is not waited for.
    """
    loop = asyncio.get_running_loop()
    waited = [p for p in pools if p.waiting < p.most_waiting]
    if not waited:
        return False
    tasks = [loop.create_task(p.back.wait()) for p in waited]
    for pool in waited:
        pool.waiting += 1
    try:
        until = min(until, loop.time() + max(p.left_seconds for p in waited))
        done, _ = await asyncio.wait(tasks, timeout=max(0.0, until - loop.time()), return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for pool in waited:
            pool.waiting -= 1
        for task in tasks:
            task.cancel()
