"""Counters, histograms and gauges that cost an addition each, and Prometheus' text of them.

Those of `prometheus_client` take a lock and several checks for each change, together a tenth of a whole request, and 170 ms for
the text of 50 backends and 1,000 keys, in which no request is answered. Here one thread counts, and what stands before each
number of the text is made once: 8 ms.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from math import isinf, isnan
from typing import Generic, Protocol, TypeVar

from slipway_router.metric_table import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of Prometheus' text format."""


class Registry:
    """All metrics of one router."""

    def __init__(self) -> None:
        self.families: list[Family] = []
        """In the order in which they are told."""

    def text(self) -> bytes:
        """Everything, in Prometheus' text format (0.0.4)."""
        lines: list[str] = []
        for family in self.families:
            about = family.about
            lines += (f"# HELP {about.name} {about.help}", f"# TYPE {about.name} {about.kind}")
            lines += family.samples()
        lines.append("")
        return "\n".join(lines).encode()

    def drop(self, label: str, value: str) -> None:
        """Tell nothing more of what has this value of a label, in whatever is counted by it."""
        for family in self.families:
            if label in family.about.labels:
                family.drop(family.about.labels.index(label), value)


class Family(Protocol):
    """All that has one name."""

    about: Metric

    def samples(self) -> Iterable[str]:
        """Its lines, without those about it."""
        ...

    def drop(self, at: int, value: str) -> None:
        """Forget the children that have this value of the label at this place."""
        ...


Child = TypeVar("Child")


class _Children(Generic[Child]):
    """Children by the values of their labels."""

    def __init__(self, about: Metric, registry: Registry) -> None:
        """
        Args:
            about: What they tell, and the names of their labels.
            registry: What tells it to Prometheus.
        """
        self.about = about
        self._children: dict[tuple[str, ...], Child] = {}
        registry.families.append(self)  # pyright: ignore[reportArgumentType] -- whoever inherits has `samples`

    def drop(self, at: int, value: str) -> None:
        """See `Family`."""
        for labels in [c for c in self._children if c[at] == value]:
            del self._children[labels]


class Count:
    """One counter with its labels."""

    __slots__ = ("_before", "value")

    def __init__(self, before: str = "") -> None:
        """
        Args:
            before: What stands before its number.
        """
        self.value: float = 0
        self._before = before

    def inc(self, amount: float = 1) -> None:
        """Count."""
        self.value += amount

    def line(self) -> str:
        """As Prometheus reads it."""
        return self._before + number(self.value)


class Counters(_Children[Count]):
    """All counters of one name."""

    def labels(self, *values: str) -> Count:
        """The counter with these values of the labels; look it up once."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = Count(before(self.about.name, self.about.labels, values))
        return child

    def samples(self) -> Iterable[str]:
        """See `Family`."""
        return [child.line() for child in self._children.values()]


class Times:
    """One histogram with its labels."""

    __slots__ = ("_before", "_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float], before: Sequence[str] = ()) -> None:
        """
        Args:
            bounds: Upper bounds of the buckets, rising; what is above the last has a bucket of its own.
            before: What stands before the number of each bucket, of all together, and of their sum.
        """
        self._bounds = bounds
        self._before = before
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Take in one time."""
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.sum += seconds

    def lines(self) -> list[str]:
        """As Prometheus reads it."""
        rising = list(accumulate(self.counts))
        return [b + number(n) for b, n in zip(self._before, [*rising, rising[-1], self.sum], strict=True)]


class Histograms(_Children[Times]):
    """All histograms of one name."""

    def __init__(self, about: Metric, bounds: Sequence[float], registry: Registry) -> None:
        """
        Args:
            about: What they tell, and the names of their labels.
            bounds: See `Times`.
            registry: What tells it to Prometheus.
        """
        super().__init__(about, registry)
        self._bounds = tuple(bounds)

    def labels(self, *values: str) -> Times:
        """The histogram with these values of the labels; look it up once."""
        child = self._children.get(values)
        if child is None:
            name, labels = self.about.name, self.about.labels
            told = [*(number(b) for b in self._bounds), "+Inf"]
            buckets = [before(f"{name}_bucket", (*labels, "le"), (*values, bound)) for bound in told]
            ends = [before(f"{name}_{end}", labels, values) for end in ("count", "sum")]
            child = self._children[values] = Times(self._bounds, [*buckets, *ends])
        return child

    def samples(self) -> Iterable[str]:
        """See `Family`."""
        return [line for child in self._children.values() for line in child.lines()]


class Reads(_Children[tuple[str, Callable[[], float]]]):
    """Gauges, or counters, of one name that are read when they are asked for: they cost a request nothing."""

    def read(self, values: Sequence[str], function: Callable[[], float]) -> None:
        """Tell what this function returns, by these values of the labels."""
        self._children[tuple(values)] = before(self.about.name, self.about.labels, values), function

    def remove(self, *values: str) -> None:
        """Tell it no more."""
        self._children.pop(values, None)

    def samples(self) -> Iterable[str]:
        """See `Family`."""
        return [text + number(function()) for text, function in self._children.values()]


class Collected:
    """All of one name, whose labels too are known only when they are asked for."""

    def __init__(self, about: Metric, registry: Registry, collect: Callable[[], Mapping[tuple[str, ...], float]]) -> None:
        """
        Args:
            about: What they tell, and the names of their labels.
            registry: What tells it to Prometheus.
            collect: The numbers, by the values of the labels.
        """
        self.about = about
        self._collect = collect
        registry.families.append(self)

    def samples(self) -> Iterable[str]:
        """See `Family`."""
        name, labels = self.about.name, self.about.labels
        return [before(name, labels, values) + number(value) for values, value in self._collect().items()]

    def drop(self, at: int, value: str) -> None:
        """See `Family`. What is there is told each time."""


def before(name: str, labels: Sequence[str], values: Sequence[str]) -> str:
    """What stands before a number: its name, its labels and a blank."""
    if not labels:
        return f"{name} "
    told = ",".join(f'{label}="{_escaped(value)}"' for label, value in sorted(zip(labels, values, strict=True)))
    return f"{name}{{{told}}} "


def number(value: float) -> str:
    """A number as Go, and so Prometheus, reads it."""
    if isnan(value):
        return "NaN"
    if isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
