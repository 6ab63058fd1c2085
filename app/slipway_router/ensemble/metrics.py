"""What ensembles count, beside what each of their branches counts as a request."""

from slipway_router import metric_table as table
from slipway_router.counting import Counters, Registry
from slipway_router.ensemble.outcome import Status


class EnsembleMetrics:
    """The metrics of ensembles."""

    def __init__(self, registry: Registry) -> None:
        """
        Args:
            registry: What tells them to Prometheus.
        """
        self._requests = Counters(table.ENSEMBLES, registry)
        self._branches = Counters(table.BRANCHES, registry)
        self._judges = Counters(table.JUDGES, registry)

    def answered(self, aggregate: str, code: int) -> None:
        """Count an ensemble that is over."""
        self._requests.labels(aggregate, str(code)).inc()

    def branch(self, status: Status) -> None:
        """Count a branch that is over."""
        self._branches.labels(status).inc()

    def judged(self, outcome: str) -> None:
        """Count a judge that was asked."""
        self._judges.labels(outcome).inc()
