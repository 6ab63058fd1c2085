"""A panel of a dashboard, before it is Grafana's."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """A line of a panel."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One panel."""

    title: str
    description: str
    questions: Sequence[Question]
    unit: str
    """As Grafana names units."""
    target: float | None = None
    """Where a line is drawn."""
