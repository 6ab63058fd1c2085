"""What a backend costs: by the token at a vendor, by the hour where the hardware is one's own.

Pure. What is owned costs nothing more for one more request until it is full; what its tokens really cost is measured.
"""

from collections import deque
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, NamedTuple

ANSWER_SHARE = 0.25
"""Share of the answer in a request's tokens where nobody tells how long it may get: three tokens of prompt for one of answer, the
blend in which Artificial Analysis, for one, compares prices."""
WINDOW_SECONDS = 3600.0
"""Over which the unit cost is measured."""
LEAST_STEP_SECONDS = 1.0
"""What is told sooner after the last is left out: each of many replicas tells."""
LEAST_SECONDS = 60.0
"""With less than that nothing is told of it."""


class Prices(NamedTuple):
    """A vendor's price, in US dollars for 1,000 tokens."""

    prompt: float
    answer: float

    def per_1k(self, answer_share: float = ANSWER_SHARE) -> float:
        """For 1,000 tokens of which so many are the answer's."""
        return self.prompt + (self.answer - self.prompt) * answer_share


def cost_faults(path: str, backend: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Prices that say two things, or half of one."""
    halves = ("input_cost_per_1m_tokens", "output_cost_per_1m_tokens")
    by_token = [f for f in ("cost_per_1k_tokens", *halves) if backend.get(f)]
    faults: list[tuple[str, str]] = []
    for given, other in (halves, halves[::-1]):
        if backend.get(given) is not None and backend.get(other) is None:
            faults.append((f"{path}.{given}", f"goes with '{other}'; give both, or 'cost_per_1k_tokens' for one price"))
    if len(by_token) > 1 and by_token[0] == "cost_per_1k_tokens":
        faults.append((f"{path}.cost_per_1k_tokens", f"is one price, and '{by_token[1]}' is there too; give one or the other"))
    if by_token and backend.get("replica_cost_per_hour") is not None:
        told = f"is what the hour costs, and '{by_token[0]}' what a token does; give what you are charged for"
        faults.append((f"{path}.replica_cost_per_hour", told))
    return faults


class _Sample(NamedTuple):
    at: float
    tokens: int
    dollars: float


class UnitCost:
    """What the tokens of a backend paid by the hour have really cost, over the last hour."""

    __slots__ = ("_clock", "_samples", "per_replica_hour")

    def __init__(self, per_replica_hour: float, clock: Callable[[], float] = monotonic) -> None:
        """
        Args:
            per_replica_hour: What one replica costs in an hour, in US dollars.
            clock: Seconds that only rise.
        """
        self.per_replica_hour = per_replica_hour
        self._clock = clock
        self._samples: deque[_Sample] = deque()

    def sample(self, tokens: int, replicas: int) -> None:
        """Take in how things are, every few seconds.

        Args:
            tokens: Answered so far, of prompts and answers together.
            replicas: How many there are.
        """
        now = self._clock()
        if self._samples and now - self._samples[-1].at < LEAST_STEP_SECONDS:
            return
        last = self._samples[-1] if self._samples else _Sample(now, tokens, 0.0)
        dollars = last.dollars + (now - last.at) / 3600 * self.per_replica_hour * replicas
        self._samples.append(_Sample(now, tokens, dollars))
        while len(self._samples) > 2 and self._samples[1].at <= now - WINDOW_SECONDS:
            self._samples.popleft()

    @property
    def per_1k(self) -> float | None:
        """US dollars for 1,000 tokens. None while it is too early to tell, or nothing was answered."""
        if not self._samples:
            return None
        first, last = self._samples[0], self._samples[-1]
        tokens = last.tokens - first.tokens
        if last.at - first.at < LEAST_SECONDS or tokens <= 0:
            return None
        return (last.dollars - first.dollars) * 1000 / tokens
