"""What ensembles count, beside what each of their branches counts as a request."""

from prometheus_client import CollectorRegistry

from slipway_router.counting import Counters
from slipway_router.ensemble.outcome import Status


class EnsembleMetrics:
    """The metrics of ensembles."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """
        Args:
            registry: What tells them to Prometheus.
        """
        self._requests = Counters(
            "slipway_router_ensembles",
            "Ensembles, by aggregate and code of the answer.",
            ["aggregate", "code"],
            registry=registry,
        )
        self._branches = Counters(
            "slipway_router_ensemble_branches", "Branches of ensembles, by what became of them.", ["status"], registry=registry
        )
        self._judges = Counters(
            "slipway_router_ensemble_judges",
            "Judges asked, by outcome: 'chose', 'failed', or 'unclear' where the answer named no candidate.",
            ["outcome"],
            registry=registry,
        )

    def answered(self, aggregate: str, code: int) -> None:
        """Count an ensemble that is over."""
        self._requests.labels(aggregate, str(code)).inc()

    def branch(self, status: Status) -> None:
        """Count a branch that is over."""
        self._branches.labels(status).inc()

    def judged(self, outcome: str) -> None:
        """Count a judge that was asked."""
        self._judges.labels(outcome).inc()
