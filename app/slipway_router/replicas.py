"""The replicas of a backend that has several: what was sent where, and so which of them will be done first with a prompt.

Nothing here waits, calls anyone or reads an engine: it is bookkeeping. How the choice is made is in `replica_choice`.
"""

import math
from collections.abc import Callable, Collection, Sequence
from time import monotonic
from typing import NamedTuple

from slipway_router.replica import Assignment, Replica, Speed
from slipway_router.replica_choice import Choice


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

    A choice costs O(replicas + blocks of the prompt), little for a replica that has neither work nor a part of the prompt; memory
    is O(sum of the replicas' capacities). All calls are made on one thread: there is no lock.
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
        asked = self._asked(among)
        if not asked:
            return None
        now = self._clock()
        matched = self._matched(blocks)
        choice = Choice(asked, matched, tokens, self._block_tokens, self._speed.seconds_per_token, now)
        finish, missing, per_token, replica = choice.best()
        self._count += 1
        replica.assigned = self._count
        fresh = blocks[matched.get(replica.bit, 0) :]
        wait = max(0.0, finish - missing * per_token)
        assignment = Assignment(replica, fresh, tokens, missing, wait, self._clock, observed=observed)
        replica.send(assignment, blocks, now)
        return assignment

    def weigh(self, blocks: Sequence[int], tokens: float, among: Collection[str] | None = None) -> list["Weighed"]:
        """What `choose` would go by, the replica that it would choose first. Nothing is sent."""
        asked = self._asked(among)
        if not asked:
            return []
        matched, common = self._matched(blocks), self._speed.seconds_per_token
        choice = Choice(asked, matched, tokens, self._block_tokens, common, self._clock())
        best = choice.best()[-1]
        made = [
            Weighed(
                r.name,
                max(0.0, finish - missing * per_token),
                missing,
                r.held,
                choice.cost(finish, missing, per_token, r) if finish <= choice.latest else None,
                r is best,
            )
            for finish, missing, per_token, r in choice.all()
        ]
        return sorted(made, key=lambda w: (not w.chosen, math.inf if w.cost_seconds is None else w.cost_seconds))

    def _asked(self, among: Collection[str] | None) -> list[Replica]:
        replicas = self._replicas
        return list(replicas.values()) if among is None else [r for n, r in replicas.items() if n in among]

    def _matched(self, blocks: Sequence[int]) -> dict[int, int]:
        """How many of the first blocks each replica has, by its bit; who has none is left out."""
        matched: dict[int, int] = {}
        cached, left, depth = self._cached, self._cached.get(blocks[0], 0) if blocks else 0, 0
        while left:
            depth += 1
            have = cached.get(blocks[depth], 0) & left if depth < len(blocks) else 0
            out = left ^ have
            while out:
                bit = out & -out
                matched[bit] = depth
                out ^= bit
            left = have
        return matched


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} is {value:g}; give more than 0")
