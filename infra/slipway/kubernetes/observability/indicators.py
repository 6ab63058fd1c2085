"""What of a router's requests is bad, as PromQL: the one source of recorded series, alerts and panels."""

from dataclasses import dataclass

from slipway.kubernetes.observability.objectives import Promise, duration
from slipway.kubernetes.observability.watched import Watched
from slipway_router import metric_table as table


@dataclass(frozen=True)
class Indicator:
    """A share of events that are bad, and how many may be."""

    name: str
    """What its recorded series are named by."""
    bad: str
    """Rate of the bad ones, with `WINDOW` where the window goes."""
    all: str
    """Rate of all."""
    budget: float
    """Share that may be bad."""

    def ratio(self, seconds: float) -> str:
        """The share over a window; nothing where there was no event."""
        window = duration(seconds)
        bad, every = self.bad.replace("WINDOW", window), self.all.replace("WINDOW", window)
        # Of what never was bad there is no series yet.
        return f"(({bad}) or 0 * ({every})) / (({every}) > 0)"

    def record(self, seconds: float) -> str:
        """Name of the series of a window."""
        return f"slipway:{self.name}:ratio_rate{duration(seconds)}"

    @property
    def remaining(self) -> str:
        """Name of the series of what is left of the period's budget: 1 at first, 0 where it is spent."""
        return f"slipway:{self.name}:budget_remaining_ratio"


def indicators(service: Watched, promise: Promise) -> list[Indicator]:
    """Those of a router: requests that failed, and streams that began late."""
    which = service.which()
    failed = service.which('code=~"5.."')
    # Prometheus 3 writes a bound as `5.0`, older ones as it was told.
    bound = f"{promise.first_token_seconds:g}"
    pattern = bound.replace(".", "\\\\.") if "." in bound else f"{bound}(\\\\.0)?"
    fast = service.which(f'le=~"{pattern}"')
    first = table.FIRST_TOKEN.name
    late = f"sum(rate({first}_count{which}[WINDOW])) - sum(rate({first}_bucket{fast}[WINDOW]))"
    return [
        Indicator(
            "request_errors",
            f"sum(rate({table.REQUESTS.name}{failed}[WINDOW]))",
            f"sum(rate({table.REQUESTS.name}{which}[WINDOW]))",
            round(1 - promise.availability_percent / 100, 8),
        ),
        Indicator(
            "late_first_tokens",
            late,
            f"sum(rate({first}_count{which}[WINDOW]))",
            round(1 - promise.first_token_percent / 100, 8),
        ),
    ]
