"""An alert, before it is a rule: what it asks, how long that must hold, and what it tells."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from slipway.kubernetes.observability.objectives import duration


class Severity(StrEnum):
    """How soon somebody must look."""

    PAGE = "page"
    """Now."""
    TICKET = "ticket"
    """In working hours."""


@dataclass(frozen=True)
class Alert:
    """One alert of one service."""

    name: str
    severity: Severity
    expr: str
    summary: str
    description: str
    seconds: float = 0
    """How long it must hold."""

    def rule(self, labels: dict[str, str], runbooks: str) -> dict[str, Any]:
        """As Prometheus reads it."""
        rule: dict[str, Any] = {
            "alert": self.name,
            "expr": self.expr,
            "labels": {**labels, "severity": self.severity.value},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{runbooks}/{page(self.name)}",
            },
        }
        return {**rule, "for": duration(self.seconds)} if self.seconds else rule


def page(alert: str) -> str:
    """Name of an alert's page among the runbooks."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", alert).lower() + ".md"
