"""What is told of the replicas of a backend. A replica's label is its number: no more of them than replicas at one time."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from slipway_router import metric_table as table
from slipway_router.counting import Collected, Registry

if TYPE_CHECKING:
    from slipway_router.fleet import Fleet, Member

_Fleets = Callable[[], "Sequence[Fleet]"]
_Read = Callable[["Fleet", "Member"], float]

_GAUGES: Sequence[tuple[table.Metric, _Read]] = (
    (table.REPLICA_IN_FLIGHT, lambda _, m: m.status.in_flight),
    (table.REPLICA_HELD, lambda f, m: f.held_tokens(m)),
    (table.REPLICA_REACHABLE, lambda _, m: bool(m.status.reachable)),
    (table.REPLICA_ERROR_RATE, lambda _, m: m.status.error_rate),
    (table.REPLICA_BREAKER_OPEN, lambda _, m: not m.breaker.closed),
    (table.REPLICA_EJECTED, lambda f, m: bool(f.ejected_seconds(m))),
)


def tell_replicas(registry: Registry, fleets: _Fleets) -> None:
    """Tell of all replicas. Everything is read when it is asked for: it costs a request nothing.

    Args:
        registry: What tells it to Prometheus.
        fleets: The backends that have replicas now.
    """
    for about, read in _GAUGES:
        Collected(about, registry, partial(_each, fleets, read))
    Collected(table.PREFIX_TOKENS, registry, partial(_prefix_tokens, fleets))


def _each(fleets: _Fleets, read: _Read) -> Mapping[tuple[str, ...], float]:
    return {(f.owner.name, str(m.number)): float(read(f, m)) for f in fleets() for m in f.members.values()}


def _prefix_tokens(fleets: _Fleets) -> Mapping[tuple[str, ...], float]:
    told: dict[tuple[str, ...], float] = {}
    for fleet in fleets():
        told[fleet.owner.name, "cached"] = fleet.cached_tokens
        told[fleet.owner.name, "computed"] = fleet.computed_tokens
    return told
