"""What is known of one replica of a backend: what was sent to it, what it must still have cached, and how fast it computes.

The cache is taken to be as vLLM documents its automatic prefix caching: full blocks under a chained hash, the least recently used
goes first, and of one prompt its end before its beginning.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

ASSUMED_SECONDS_PER_TOKEN = 1e-4
"""Until prompts have been measured: 10,000 tokens a second."""
LEAST_MEASURED_TOKENS = 256
"""Computed tokens from which a prompt is measured: the time of a shorter one is mostly not its computation."""
ALIKE = 1.25
"""Replicas whose measured speed differs by less than this factor from that of all together count as equally fast: what is left is
chance, and would send every prompt of a quiet service to the one that came out ahead."""
MEASURED_SECONDS = 60.0
"""For how long a measurement of one replica counts: one that was slow for a while and so is asked no more, is asked again."""
_LEAST_TOKENS = 10_000.0
_KEPT = 0.98


class Speed:
    """How long prompts take to compute: measured, newer ones counting more, or known."""

    __slots__ = ("_seconds", "known", "tokens")

    def __init__(self, tokens: float = 0.0, seconds: float = 0.0, *, known: bool = False) -> None:
        self.known = known
        """Whether it is not measured."""
        self.tokens = tokens
        """On how many it rests."""
        self._seconds = seconds

    @classmethod
    def of_all(cls, known: float | None) -> "Speed":
        """The speed of all replicas together, known or else assumed until they have been measured."""
        per_token = known or ASSUMED_SECONDS_PER_TOKEN
        return cls(_LEAST_TOKENS, _LEAST_TOKENS * per_token, known=known is not None)

    @property
    def seconds_per_token(self) -> float:
        """Of a prompt."""
        return self._seconds / self.tokens

    def add(self, tokens: float, seconds: float) -> None:
        """Take in a prompt."""
        self.tokens = self.tokens * _KEPT + tokens
        self._seconds = self._seconds * _KEPT + seconds


class Replica:
    """What is known of one replica. A restart replaces it, and what is still under way ends on the old one without effect."""

    __slots__ = (
        "_cached",
        "_common",
        "_own",
        "_pending",
        "_since",
        "_used",
        "assigned",
        "bit",
        "capacity",
        "held",
        "measured",
        "measured_until",
        "name",
        "oldest",
        "waiting",
    )

    def __init__(self, name: str, capacity: int, bit: int, cached: dict[int, int], common: Speed) -> None:
        """
        Args:
            name: Its name.
            capacity: Blocks that it caches.
            bit: Its own among all replicas of the backend.
            cached: For each block the bits of the replicas that have it, shared by all of them.
            common: The speed of all of them together.
        """
        self.name = name
        self.capacity = capacity
        self.bit = bit
        self.held = 0.0
        """Prompt tokens of all requests under way."""
        self.assigned = 0
        """Number of the newest request."""
        self.measured = 0.0
        """Seconds per token of its own, until `measured_until`; 0 while that rests on too few."""
        self.measured_until = 0.0
        self.oldest: float | None = None
        """When the block that goes next was last used; None while there is room."""
        self.waiting: dict[Assignment, None] = {}
        """Prompts not yet computed, in the order in which they were sent."""
        self._common = common
        self._own = Speed()
        self._cached = cached
        self._used: OrderedDict[int, float] = OrderedDict()
        """Cached blocks with when each was last used, the next to go first."""
        self._pending = 0.0
        """Tokens of theirs to compute."""
        self._since = 0.0
        """When the prompt at the head could begin."""

    @property
    def room(self) -> int:
        """Blocks that fit without pushing others out."""
        return self.capacity - len(self._used)

    def wait(self, now: float, per_token: float) -> float:
        """Seconds until a prompt sent now would begin, where a token takes so long."""
        while self.waiting:
            head = next(iter(self.waiting))
            took = head.computed_tokens * per_token
            if head.observed or now - self._since < took:
                break
            # Nobody tells when it is done: it is taken to be by now.
            since = self._since + took
            self.computed(head, now, measure=False)
            self._since = since
        else:
            return 0.0
        # A head that takes longer than estimated has no more than its own time deducted: a stuck replica never looks free.
        return max(0.0, self._pending * per_token - min(now - self._since, took))

    def send(self, assignment: "Assignment", blocks: Sequence[int], now: float) -> None:
        """Put a prompt into the queue and its blocks into the cache, the first of them as the last to go."""
        if not self.waiting:
            self._since = now
        self.waiting[assignment] = None
        self._pending += assignment.computed_tokens
        self.held += assignment.tokens
        used, cached, bit = self._used, self._cached, self.bit
        for block in reversed(blocks[: self.capacity]):
            if block not in used:
                cached[block] = cached.get(block, 0) | bit
            used[block] = now
            used.move_to_end(block)
        while len(used) > self.capacity:
            self._uncached(used.popitem(last=False)[0])
        self.oldest = None if len(used) < self.capacity else next(iter(used.values()))

    def computed(self, assignment: "Assignment", now: float, *, measure: bool) -> bool:
        """Take a prompt out of the queue; False if it is not in it any more."""
        if assignment not in self.waiting:
            return False
        del self.waiting[assignment]
        self._pending = self._pending - assignment.computed_tokens if self.waiting else 0.0
        if measure and not self._common.known and assignment.computed_tokens >= LEAST_MEASURED_TOKENS:
            if now > self.measured_until:
                self._own = Speed()
            self.measured_until = now + MEASURED_SECONDS
            for speed in (self._own, self._common):
                speed.add(assignment.computed_tokens, now - self._since)
            self.measured = self._own.seconds_per_token if self._own.tokens >= _LEAST_TOKENS else 0.0
        self._since = now
        return True

    def drop(self, blocks: Sequence[int]) -> None:
        """Take blocks out of the cache."""
        for block in blocks:
            if self._used.pop(block, None) is not None:
                self._uncached(block)
                self.oldest = None

    def clear(self) -> None:
        """Empty the cache."""
        self.drop(list(self._used))

    def _uncached(self, block: int) -> None:
        have = self._cached[block] & ~self.bit
        if have:
            self._cached[block] = have
        else:
            del self._cached[block]


class Assignment:
    """One request at the replica that was chosen for it. `end` must be called, whatever becomes of it."""

    __slots__ = ("_clock", "_fresh", "_over", "_replica", "computed_tokens", "observed", "tokens", "wait_seconds")

    def __init__(
        self,
        replica: Replica,
        fresh: Sequence[int],
        tokens: float,
        missing: float,
        wait: float,
        clock: Callable[[], float],
        *,
        observed: bool = True,
    ) -> None:
        self.tokens = tokens
        """Tokens of the prompt."""
        self.computed_tokens = missing
        """Those that the replica is believed to have to compute, the rest being cached."""
        self.wait_seconds = wait
        """Estimated time until it begins."""
        self.observed = observed
        """Whether `first_token` will be called; else it is taken to be computed once its time has passed."""
        self._replica = replica
        self._fresh = fresh
        self._clock = clock
        self._over = False

    @property
    def replica(self) -> str:
        """The replica's name."""
        return self._replica.name

    def first_token(self) -> None:
        """The first token of the answer came (not merely its head): the prompt is computed, and the replica's speed measured."""
        self._replica.computed(self, self._clock(), measure=True)

    def end(self, *, failed: bool = False) -> None:
        """The answer is complete, or broke off. A second call does nothing.

        Args:
            failed: It ended in a failure. If no token had come, what it would have computed is taken not to be cached.
        """
        if self._over:
            return
        self._over = True
        # The time of an answer that came whole is mostly that of its tokens: it says nothing of the prompt's.
        unseen = self._replica.computed(self, self._clock(), measure=False)
        if failed and unseen:
            self._replica.drop(self._fresh)
        self._replica.held -= self.tokens
