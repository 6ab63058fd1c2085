"""What is told of the replicas of a backend. A replica's label is its number: no more of them than replicas at one time."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from slipway_router.fleet import Fleet, Member

_LABELS = ("backend", "replica")


class ReplicaCollector(Collector):
    """Reads everything when it is asked for: it costs a request nothing."""

    def __init__(self, fleets: "Callable[[], Sequence[Fleet]]") -> None:
        """
        Args:
            fleets: The backends that have replicas now.
        """
        self._fleets = fleets

    def collect(self) -> Iterable[Metric]:
        """For Prometheus."""
        gauges: list[tuple[str, str, Callable[[Fleet, Member], float]]] = [
            ("requests_in_flight", "Requests under way at a replica.", lambda _, m: m.status.in_flight),
            ("prompt_tokens_held", "Estimated prompt tokens of the requests under way at it.", lambda f, m: f.held_tokens(m)),
            ("reachable", "1 if the last contact with it succeeded.", lambda _, m: bool(m.status.reachable)),
            ("error_rate", "The policy's error rate of it, 0 to 1.", lambda _, m: m.status.error_rate),
            ("breaker_open", "1 while its breaker is not closed.", lambda _, m: not m.breaker.closed),
            ("ejected", "1 while it is left out for doing worse than the others.", lambda f, m: bool(f.ejected_seconds(m))),
        ]
        fleets = self._fleets()
        for name, text, read in gauges:
            family = GaugeMetricFamily(f"slipway_router_replica_{name}", text, labels=_LABELS)
            for fleet in fleets:
                for member in fleet.members.values():
                    family.add_metric((fleet.owner.name, str(member.number)), float(read(fleet, member)))
            yield family
        tokens = CounterMetricFamily(
            "slipway_router_prefix_tokens",
            "Estimated prompt tokens sent to replicas, by whether they were believed to be cached there.",
            labels=("backend", "kind"),
        )
        for fleet in fleets:
            tokens.add_metric((fleet.owner.name, "cached"), fleet.cached_tokens)
            tokens.add_metric((fleet.owner.name, "computed"), fleet.computed_tokens)
        yield tokens
