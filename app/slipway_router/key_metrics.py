"""What is counted by key, for so many of them that nobody's Prometheus drowns in series."""

from collections.abc import Iterable

from slipway_router import metric_table as table
from slipway_router.counting import Count, Counters, Registry
from slipway_router.telemetry.settings import MOST_KEYS

OTHER = "other"
"""The key that all those beyond are counted under."""


class KeyCounts:
    """One key's counters."""

    __slots__ = ("answer_tokens", "dollars", "prompt_tokens", "requests")

    def __init__(self, requests: Count, prompt_tokens: Count, answer_tokens: Count, dollars: Count) -> None:
        self.requests = requests
        self.prompt_tokens = prompt_tokens
        self.answer_tokens = answer_tokens
        self.dollars = dollars


class KeyMetrics:
    """The counters of all keys."""

    def __init__(self, registry: Registry, most: int = MOST_KEYS) -> None:
        """
        Args:
            registry: What tells them to Prometheus.
            most: How many keys are told apart.
        """
        self.most = most
        self._registry = registry
        self._requests = Counters(table.KEY_REQUESTS, registry)
        self._tokens = Counters(table.KEY_TOKENS, registry)
        self._dollars = Counters(table.KEY_COST, registry)
        self._known: dict[str, KeyCounts] = {}
        self._folded: KeyCounts | None = None

    def use(self, names: Iterable[str]) -> None:
        """Tell of these keys from the start, as far as there is room: a rate is there from the first request on then."""
        for name in ("anonymous", *names):
            self.of(name)

    def of(self, name: str) -> KeyCounts:
        """The counters of the key of this name; those of all others where too many are told apart already."""
        counts = self._known.get(name)
        if counts is not None:
            return counts
        if len(self._known) <= self.most:  # one is 'anonymous'
            counts = self._known[name] = self._made(name)
            return counts
        if self._folded is None:
            self._folded = self._made(OTHER)
        return self._folded

    def forget(self, name: str) -> None:
        """Tell nothing more of a key that is gone for good, so that there is room for another."""
        if self._known.pop(name, None) is not None:
            self._registry.drop("key", name)

    def _made(self, name: str) -> KeyCounts:
        return KeyCounts(
            self._requests.labels(name),
            self._tokens.labels(name, "prompt"),
            self._tokens.labels(name, "completion"),
            self._dollars.labels(name),
        )
