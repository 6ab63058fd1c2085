"""The alerts of a router."""

from collections.abc import Sequence

from slipway.kubernetes.observability.alert import Alert, Severity
from slipway.kubernetes.observability.indicators import Indicator
from slipway.kubernetes.observability.objectives import Burn, Promise, duration
from slipway.kubernetes.observability.replicas import answering
from slipway.kubernetes.observability.watched import Watched
from slipway_router import metric_table as table

_TOLD = {
    "request_errors": ("ErrorBudget", "requests fail", "of the requests fail"),
    "late_first_tokens": ("FirstTokenBudget", "streams begin late", "of the streams begin late"),
}


def router_alerts(service: Watched, promise: Promise, bad: Sequence[Indicator]) -> list[Alert]:
    """All of them but those that every service has."""
    name, patience = service.name, promise.patience_seconds
    made = [alert for indicator in bad for alert in _burning(service, promise, indicator)]
    which = service.which()
    made += [
        Alert(
            "RouterDown",
            Severity.PAGE,
            f"{answering(service)} < 1",
            f"No replica of the router {name} answers",
            "Prometheus could read none of its pods: clients get no answer.",
            seconds=60 if patience > 60 else patience,
        ),
        Alert(
            "BreakerOpen",
            Severity.TICKET,
            f"max by (backend) ({table.BREAKER_OPEN.name}{which}) > 0",
            f"{name} has stopped asking the backend {{{{ $labels.backend }}}}",
            "Its circuit breaker has not been closed for so long: the backend failed too often, and others answer in its place.",
            seconds=patience,
        ),
        Alert(
            "ModelNotStarting",
            Severity.PAGE,
            f"max by (backend) ({table.LATE.name}{which}) > 0",
            f"{{{{ $labels.backend }}}} was woken by {name} and is not there",
            "It scales to zero, requests asked for it, and the time that its start may take is over.",
            seconds=60 if patience > 60 else patience,
        ),
        Alert(
            "ConfigRefused",
            Severity.TICKET,
            f"min({table.RELOADED.name}{which}) < 1",
            f"{name} refused the configuration that it read last",
            "It goes on with the one before, so that what was changed is not in force.",
            seconds=patience,
        ),
        Alert(
            "TelemetryLost",
            Severity.TICKET,
            f"sum by (signal) (increase({table.UNSENT.name}{which}[15m])) > 0",
            f"{name} loses {{{{ $labels.signal }}}}",
            "The OpenTelemetry collector did not take messages in the last 15 minutes: what was in them is told nowhere.",
            seconds=patience,
        ),
    ]
    if promise.daily_dollars is not None:
        made.append(
            Alert(
                "SpendingAboveBudget",
                Severity.TICKET,
                f"{spent(service)} > {promise.daily_dollars:g}",
                f"{name} spent more than {promise.daily_dollars:g} US dollars in a day",
                "Tokens of the last 24 hours cost {{ $value | printf `%.2f` }} US dollars by the backends' list prices.",
            )
        )
    return made


def spent(service: Watched) -> str:
    """What the tokens of the last day cost, in US dollars."""
    return f"sum(increase({table.COST.name}{service.which()}[1d]))"


def _burning(service: Watched, promise: Promise, indicator: Indicator) -> list[Alert]:
    prefix, what, share = _TOLD[indicator.name]
    labels = ",".join(f'{key}="{value}"' for key, value in service.labels.items())
    allowed = f"{100 * indicator.budget:g} % may, over {promise.period_days:g} days"
    alerts: list[Alert] = []
    for pages, severity, suffix in ((True, Severity.PAGE, "Burn"), (False, Severity.TICKET, "BurnSlow")):
        burns = [burn for burn in promise.burns if burn.pages is pages]
        alerts.append(
            Alert(
                f"{prefix}{suffix}",
                severity,
                " or ".join(_both(indicator, burn, labels) for burn in burns),
                f"{service.name}: {what} {'so often that the budget is gone in days' if pages else 'more often than may be'}",
                f"{{{{ $value | humanizePercentage }}}} {share}; {allowed}. Windows: "
                + ", ".join(f"{duration(burn.long)} and {duration(burn.short)}" for burn in burns)
                + ".",
            )
        )
    alerts.append(
        Alert(
            f"{prefix}Spent",
            Severity.TICKET,
            f"{indicator.remaining}{{{labels}}} <= 0",
            f"{service.name}: the budget of {promise.period_days:g} days is spent",
            f"Too many {what} in the period; {allowed}.",
        )
    )
    return alerts


def _both(indicator: Indicator, burn: Burn, labels: str) -> str:
    least = f"{burn.factor * indicator.budget:.8g}"
    series = [f"{indicator.record(seconds)}{{{labels}}} > {least}" for seconds in (burn.long, burn.short)]
    return f"({' and '.join(series)})"
