"""Counters and histograms that cost an addition each.

Those of `prometheus_client` take a lock and several checks for each change, together a tenth of a whole request. Here one thread
counts, and Prometheus' text is made of it when asked for.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Count:
    """One counter with its labels."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        """Count."""
        self.value += amount


class Counters(Collector):
    """All counters of one name."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        """
        Args:
            name: Without `_total`.
            text: What is counted.
            labels: Names of the labels.
            registry: What tells it to Prometheus.
        """
        self._about = (name, text, tuple(labels))
        self._children: dict[tuple[str, ...], Count] = {}
        registry.register(self)

    def labels(self, *values: str) -> Count:
        """The counter with these values of the labels; look it up once."""
        return self._children.setdefault(values, Count())

    def collect(self) -> Iterable[Metric]:
        """For Prometheus."""
        name, text, labels = self._about
        family = CounterMetricFamily(name, text, labels=labels)
        for values, count in self._children.items():
            family.add_metric(values, count.value)
        return [family]


class Times:
    """One histogram with its labels."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """
        Args:
            bounds: Upper bounds of the buckets, rising; what is above the last has a bucket of its own.
        """
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Take in one time."""
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.sum += seconds


class Histograms(Collector):
    """All histograms of one name."""

    def __init__(self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float], registry: CollectorRegistry) -> None:
        """
        Args:
            name: Its name.
            text: What is timed.
            labels: Names of the labels.
            bounds: See `Times`.
            registry: What tells it to Prometheus.
        """
        self._about = (name, text, tuple(labels))
        self._bounds = tuple(bounds)
        self._children: dict[tuple[str, ...], Times] = {}
        registry.register(self)

    def labels(self, *values: str) -> Times:
        """The histogram with these values of the labels; look it up once."""
        return self._children.setdefault(values, Times(self._bounds))

    def collect(self) -> Iterable[Metric]:
        """For Prometheus."""
        name, text, labels = self._about
        family = HistogramMetricFamily(name, text, labels=labels)
        named = [*(str(float(b)) for b in self._bounds), "+Inf"]
        for values, times in self._children.items():
            family.add_metric(values, list(zip(named, accumulate(times.counts), strict=True)), times.sum)
        return [family]
