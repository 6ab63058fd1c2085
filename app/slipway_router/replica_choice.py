"""The replica of a backend that will be done first with a prompt, given its queue and the prefixes that it still has.

For every replica that may take a request the choice works out, in seconds,

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
from collections.abc import Mapping, Sequence
from operator import itemgetter

from slipway_router.replica import ALIKE, Replica

EVICTION_WEIGHT = 3.0
"""What a cached token is worth beside the time to compute it once: a prefix that is used again is mostly used more than once."""
STREAM_SHARE = 0.05
"""What a prompt token under way costs others beside computing one: each step of decoding reads all of them, which slows the rest.
So those who share a system prompt spread over replicas once the streams on one have twenty times as many tokens as it saves."""
GUARD = 3.0
"""Computations of the whole prompt by which its estimated finish may come after the earliest there is."""
_MOST_DEAR = 2.0

Finish = tuple[float, float, float, Replica]
"""When a prompt would be done, in seconds from now, the tokens of it to compute, the time for each, where."""


class Choice:
    """One prompt's choice.

    Replicas with nothing waiting, nothing of the prompt and the usual speed would be done at the same time, and are looked at one
    by one only if no other costs less than that. What room costs is worked out only for whom it may decide about.
    """

    __slots__ = ("_alike", "_asked", "_block_tokens", "_common", "_mean", "_new", "_now", "_others", "_tokens", "latest")

    def __init__(
        self, asked: Sequence[Replica], matched: Mapping[int, int], tokens: float, block_tokens: float, common: float, now: float
    ) -> None:
        """
        Args:
            asked: Who may be chosen; at least one.
            matched: How many of the prompt's first blocks a replica has, by its bit, where it has any.
            tokens: The prompt's length.
            block_tokens: Tokens of a block.
            common: Time to compute a token, of all replicas together.
            now: The clock's time.
        """
        self._asked, self._tokens, self._block_tokens, self._common, self._now = asked, tokens, block_tokens, common, now
        self._mean: float | None = None
        self._alike: list[Replica] = []
        self._others: list[Finish] = []
        alike, others, guard = self._alike, self._others, GUARD * tokens
        # Whoever measured between these counts as fast as all.
        low, high = common / ALIKE, common * ALIKE
        new, latest = math.inf, math.inf
        for r in asked:
            per_token = r.measured
            if not per_token or low < per_token < high or now > r.measured_until:
                if not r.waiting and r.bit not in matched:
                    alike.append(r)
                    continue
                per_token = common
            missing = tokens
            if r.bit in matched:
                missing = max(0.0, tokens - matched[r.bit] * block_tokens)
            new = min(new, missing)
            finish = missing * per_token
            if r.waiting:
                finish += r.wait(now, per_token)
            latest = min(latest, finish + guard * per_token)
            others.append((finish, missing, per_token, r))
        if alike:
            new, latest = min(new, tokens), min(latest, (tokens + guard) * common)
        self._new = new
        self.latest = latest
        """Whose finish comes after this is not chosen."""

    def best(self) -> Finish:
        """Where it costs least."""
        latest = self.latest
        best: Finish | None = None
        rank = (math.inf, 0.0, 0)
        for one in sorted(self._others, key=itemgetter(0)):
            finish, missing, per_token, r = one
            if finish > latest or finish + STREAM_SHARE * r.held * per_token > rank[0]:
                continue
            mine = (self.cost(finish, missing, per_token, r), r.held, r.assigned)
            if best is None or mine < rank:
                best, rank = one, mine
        tokens, common = self._tokens, self._common
        usual = tokens * common
        if usual <= min(latest, rank[0]):
            for r in self._alike:
                if usual + STREAM_SHARE * r.held * common > rank[0]:
                    continue
                mine = (self.cost(usual, tokens, common, r), r.held, r.assigned)
                if best is None or mine < rank:
                    best, rank = (usual, tokens, common, r), mine
        assert best is not None
        return best

    def all(self) -> list[Finish]:
        """What each comes to."""
        usual = self._tokens * self._common
        return [*self._others, *((usual, self._tokens, self._common, r) for r in self._alike)]

    def cost(self, finish: float, missing: float, per_token: float, replica: Replica) -> float:
        """What it costs at a replica, in seconds."""
        extra = STREAM_SHARE * replica.held
        room = replica.room * self._block_tokens
        if missing > room:
            pushing = max(0.0, self._new - room)
            dear = self._dear(replica) if pushing else 0.0
            extra += EVICTION_WEIGHT * (missing - room - pushing + dear * pushing)
        return finish + extra * per_token

    def _dear(self, replica: Replica) -> float:
        """What room costs there, beside the mean."""
        if replica.oldest is None:
            return 1.0
        now = self._now
        if self._mean is None:
            idle = [now - r.oldest for r in self._asked if r.oldest is not None]
            self._mean = sum(idle) / len(idle)
        age = now - replica.oldest
        return min(self._mean / age, _MOST_DEAR) if age > 0 else 1.0
