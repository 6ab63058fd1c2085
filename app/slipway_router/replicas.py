"""The replica of a backend that will be done first with a prompt, given its queue and the prefixes that it still has.

Nothing here waits, calls anyone or reads an engine: it is bookkeeping about what was sent where. For every replica that may take
a request the choice works out, in seconds,

    finish = pending tokens x time per token, less what the prompt at the head has had   (the queue)
           + tokens of the prompt that are not cached there x time per token            (its own computation)
    cost   = finish
           + EVICTION_WEIGHT x time per token x tokens for which there is no room there
             (those that no replica has count times the mean idle time of what goes next / the idle time there, at most 2)
           + STREAM_SHARE x time per token x prompt tokens of its requests under way

and takes the least cost among those whose finish is within the guard: `GUARD` times the computation of the whole prompt after the
earliest finish of all. Of equals it is the one with the fewest tokens under way, then the one that was not asked for longest.

Queue and own computation are the "load cost" of Srivatsa et al., "Preble: Efficient Distributed Prompt Scheduling for LLM
Serving" (ICLR 2025), here for each request alone and without its sliding window. The price of eviction has the same purpose as
theirs, but needs no model of reuse. A copy of what another replica has takes room that need not be taken. What no replica has
takes it somewhere in any case: a block that has been idle for t is used again within the next s with a probability near s/(s+t),
so room is cheapest where the blocks that would go have been idle the longest. So the caches age alike, as one large cache would.
"""

import math
from collections.abc import Callable, Collection, Sequence
from time import monotonic
from typing import NamedTuple

from slipway_router.replica import Assignment, Replica, Speed

EVICTION_WEIGHT = 3.0
"""What a cached token is worth beside the time to compute it once: a prefix that is used again is mostly used more than once."""
STREAM_SHARE = 0.05
"""What a prompt token under way costs others beside computing one: each step of decoding reads all of them, which slows the rest.
So those who share a system prompt spread over replicas once the streams on one have twenty times as many tokens as it saves."""
GUARD = 3.0
"""Computations of the whole prompt by which its estimated finish may come after the earliest there is."""
_MOST_DEAR = 2.0

_Candidate = tuple[tuple[float, float, int], float, float, bool, Replica]
"""Cost and what decides among equals, wait, tokens to compute, whether within the guard, whose."""


class Weighed(NamedTuple):
    """One replica as the choice sees it."""

    name: str
    wait_seconds: float
    """Until the prompt would begin."""
    missing_tokens: float
    """Of the prompt, not cached there."""
    held_tokens: float
    """Prompt tokens of its requests under way."""
    cost_seconds: float | None
    """None where it would be done too late to be chosen."""
    chosen: bool


def prefix_blocks(prompt: bytes, block_bytes: int, salt: str = "") -> list[int]:
    """Name each full block of a prompt by a hash of everything up to its end, so that equal names are equal prefixes.

    The hash is Python's own, which is keyed by process: names mean nothing outside it, and nobody can make two prompts collide
    without the key. (With `PYTHONHASHSEED` set they can; they gain a badly chosen replica.) What is left at the end is no block.

    Args:
        prompt: The prompt in a form that is the same whenever the model would see the same.
        block_bytes: Size of a block. A token is about four bytes of English.
        salt: What keeps equal prompts apart, such as the model or a tenant.

    Raises:
        ValueError: the block size is less than 1.
    """
    if block_bytes < 1:
        raise ValueError(f"block_bytes is {block_bytes}; give 1 or more")
    name = hash(salt)
    names: list[int] = []
    for at in range(0, len(prompt) - block_bytes + 1, block_bytes):
        name = hash((name, prompt[at : at + block_bytes]))
        names.append(name)
    return names


class Replicas:
    """The replicas of one backend, and what is cached and under way at each.

    A choice costs O(replicas + blocks of the prompt), memory is O(sum of the replicas' capacities). All calls are made on one
    thread: there is no lock.
    """

    __slots__ = ("_block_tokens", "_cached", "_clock", "_count", "_everyone", "_replicas", "_speed")

    def __init__(
        self, block_tokens: float, *, seconds_per_token: float | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        """
        Args:
            block_tokens: Tokens of a block, which need not be whole.
            seconds_per_token: Time to compute a token of a prompt. Default: measured; 1/10,000 s at first.
            clock: Seconds that only go forward.

        Raises:
            ValueError: a number is not more than 0.
        """
        _positive("block_tokens", block_tokens)
        if seconds_per_token is not None:
            _positive("seconds_per_token", seconds_per_token)
        self._block_tokens = block_tokens
        self._speed = Speed.of_all(seconds_per_token)
        self._clock = clock
        self._replicas: dict[str, Replica] = {}
        self._cached: dict[int, int] = {}
        """For each block the replicas that have it, one bit each: one walk along a prompt finds what all of them have."""
        self._everyone = 0
        self._count = 0

    def __len__(self) -> int:
        return len(self._replicas)

    @property
    def blocks(self) -> int:
        """How many different blocks are known to be cached anywhere."""
        return len(self._cached)

    def join(self, name: str, capacity_blocks: int) -> None:
        """A replica is there, its cache empty. One that was there already has restarted: what is known of it is dropped.

        Args:
            name: Its name.
            capacity_blocks: Blocks that its KV cache holds: its size in tokens over `block_tokens`.

        Raises:
            ValueError: the capacity is less than 1.
        """
        _positive("capacity_blocks", capacity_blocks)
        self.leave(name)
        free = ~self._everyone
        bit = free & -free
        self._everyone |= bit
        self._replicas[name] = Replica(name, capacity_blocks, bit, self._cached, self._speed)

    def leave(self, name: str) -> None:
        """A replica is gone, with all that it had cached. An unknown name is none."""
        replica = self._replicas.pop(name, None)
        if replica is not None:
            replica.clear()
            self._everyone &= ~replica.bit

    def held(self, name: str) -> float:
        """Prompt tokens of all requests under way at a replica; 0 for an unknown one."""
        replica = self._replicas.get(name)
        return replica.held if replica is not None else 0.0

    def choose(
        self, blocks: Sequence[int], tokens: float, among: Collection[str] | None = None, *, observed: bool = True
    ) -> Assignment | None:
        """Send a request to the replica of least cost.

        Args:
            blocks: The prompt's, of `prefix_blocks`.
            tokens: The prompt's length, estimated if need be.
            among: Replicas that may be asked, such as those whose breaker is closed. Default: all.
            observed: Whether `first_token` will be told, as it can be of streams only.

        Returns:
            The assignment; None where no replica may be asked.
        """
        now = self._clock()
        matched = self._matched(blocks)
        weighed = self._weigh(matched, tokens, among, now)
        if not weighed:
            return None
        _, wait, missing, _, replica = _best(weighed)
        self._count += 1
        replica.assigned = self._count
        fresh = blocks[matched[replica.bit] :]
        assignment = Assignment(replica, fresh, tokens, missing, wait, self._clock, observed=observed)
        replica.send(assignment, blocks, now)
        return assignment

    def weigh(self, blocks: Sequence[int], tokens: float, among: Collection[str] | None = None) -> list["Weighed"]:
        """What `choose` would go by, the replica that it would choose first. Nothing is sent."""
        weighed = self._weigh(self._matched(blocks), tokens, among, self._clock())
        best = _best(weighed)[-1] if weighed else None
        made = [
            Weighed(r.name, wait, missing, r.held, rank[0] if within else None, r is best)
            for rank, wait, missing, within, r in weighed
        ]
        return sorted(made, key=lambda w: (not w.chosen, math.inf if w.cost_seconds is None else w.cost_seconds))

    def _weigh(self, matched: dict[int, int], tokens: float, among: Collection[str] | None, now: float) -> list[_Candidate]:
        asked = [r for r in self._replicas.values() if among is None or r.name in among]
        if not asked:
            return []
        idle = {r.bit: r.idle(now) for r in asked if not r.room}
        mean = sum(idle.values()) / len(idle) if idle else 0.0
        finishes: list[tuple[Replica, float, float, float, float]] = []
        for r in asked:
            wait, per_token = r.wait(now), r.seconds_per_token(now)
            missing = max(0.0, tokens - matched[r.bit] * self._block_tokens)
            finishes.append((r, wait, missing, per_token, wait + missing * per_token))
        latest = min(finish + GUARD * tokens * per_token for _, _, _, per_token, finish in finishes)
        new = min(missing for _, _, missing, _, _ in finishes)
        weighed: list[_Candidate] = []
        for r, wait, lacks, per_token, finish in finishes:
            age = idle.get(r.bit, mean)
            dear = min(mean / age, _MOST_DEAR) if age > 0 else 1.0
            room = r.room * self._block_tokens
            pushing = max(0.0, new - room)
            copying = max(0.0, lacks - room) - pushing
            extra = EVICTION_WEIGHT * (copying + dear * pushing) + STREAM_SHARE * r.held
            weighed.append(((finish + extra * per_token, r.held, r.assigned), wait, lacks, finish <= latest, r))
        return weighed

    def _matched(self, blocks: Sequence[int]) -> dict[int, int]:
        """How many of the first blocks each replica has, by its bit."""
        matched: dict[int, int] = {}
        left = self._everyone
        for depth, block in enumerate(blocks):
            have = self._cached.get(block, 0) & left
            out = left ^ have
            while out:
                bit = out & -out
                matched[bit] = depth
                out ^= bit
            left = have
            if not left:
                break
        while left:
            bit = left & -left
            matched[bit] = len(blocks)
            left ^= bit
        return matched


def _best(weighed: list[_Candidate]) -> _Candidate:
    best = weighed[0]
    for candidate in weighed[1:]:
        if candidate[3] and (not best[3] or candidate[0] < best[0]):
            best = candidate
    return best


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} is {value:g}; give more than 0")
