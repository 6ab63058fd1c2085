"""What dashboards show of a service: the same questions and targets as its scaler and its alerts."""

from slipway.kubernetes.observability.gpu_panels import gpu_panels
from slipway.kubernetes.observability.indicators import indicators
from slipway.kubernetes.observability.objectives import Promise
from slipway.kubernetes.observability.panel import Panel, Question
from slipway.kubernetes.observability.replicas import answering, each
from slipway.kubernetes.observability.watched import Watched, WatchedKind
from slipway_router import metric_table as table

RATE = "$__rate_interval"
"""The window of a rate, which Grafana fills in: at least four readings."""


def panels(service: Watched, promise: Promise) -> list[Panel]:
    """Those of one service."""
    if service.kind is WatchedKind.GPUS:
        return gpu_panels(service, promise)
    loads = [
        Panel(
            f"{load.name}, each replica",
            f"{load.target:g} is aimed at." + (" The autoscaler aims at the same." if service.scales else ""),
            [Question(each(service, load), load.name)],
            "percentunit" if load.name == "kv-cache-usage" else "short",
            load.target,
        )
        for load in service.loads
    ]
    replicas = Panel(
        "Replicas",
        f"Those whose metrics can be read; {service.least_replicas} to {service.most_replicas} there may be.",
        [Question(answering(service), "answering")],
        "short",
        service.most_replicas,
    )
    return [*(_router(service, promise) if service.kind is WatchedKind.ROUTER else []), *loads, replicas]


def _router(service: Watched, promise: Promise) -> list[Panel]:
    which = service.which()
    failed, late = indicators(service, promise)
    fastest = promise.burns[0]

    def rate(metric: table.Metric, by: str) -> str:
        return f"sum by ({by}) (rate({metric.name}{which}[{RATE}]))"

    def quantiles(metric: table.Metric) -> list[Question]:
        buckets = f"sum by (le) (rate({metric.name}_bucket{which}[{RATE}]))"
        return [Question(f"histogram_quantile({q}, {buckets})", f"p{round(100 * q)}") for q in (0.5, 0.95, 0.99)]

    labels = ",".join(f'{key}="{value}"' for key, value in service.labels.items())
    burnt = [(failed.record(seconds), name) for seconds, name in ((fastest.long, "long"), (fastest.short, "short"))]
    return [
        Panel("Requests", "By code; 499: the client went away.", [Question(rate(table.REQUESTS, "code"), "{{code}}")], "reqps"),
        Panel(
            "Failed requests",
            f"Share that failed by the service's fault. The line: {fastest.factor:g} times what may, which pages.",
            [Question(f"{series}{{{labels}}}", name) for series, name in burnt],
            "percentunit",
            fastest.factor * failed.budget,
        ),
        Panel(
            "Budgets left",
            f"Of {promise.period_days:g} days: 100 % at first, 0 where it is spent.",
            [Question(f"{i.remaining}{{{labels}}}", i.name.replace("_", " ")) for i in (failed, late)],
            "percentunit",
            0,
        ),
        Panel(
            "Time to first token",
            f"Of streams. The line: {promise.first_token_seconds:g} s, for {promise.first_token_percent:g} % of them.",
            quantiles(table.FIRST_TOKEN),
            "s",
            promise.first_token_seconds,
        ),
        Panel("Time per output token", "Of streams.", quantiles(table.OUTPUT_TOKEN), "s"),
        Panel("Wait before a backend was asked", table.QUEUE.help, quantiles(table.QUEUE), "s"),
        Panel("Tokens", "A second.", [Question(rate(table.TOKENS, "backend, kind"), "{{backend}} {{kind}}")], "short"),
        Panel(
            "Cost a day",
            "Of tokens, by list prices, at the rate of the last hour.",
            [Question(f"86400 * sum by (backend) (rate({table.COST.name}{which}[1h]))", "{{backend}}")],
            "currencyUSD",
            promise.daily_dollars,
        ),
        Panel(
            "Failed attempts",
            "By backend and cause.",
            [Question(rate(table.FAILURES, "backend, cause"), "{{backend}} {{cause}}")],
            "reqps",
        ),
        Panel(
            "Breakers open",
            "1 while a backend is not asked.",
            [Question(f"max by (backend) ({table.BREAKER_OPEN.name}{which})", "{{backend}}")],
            "short",
            1,
        ),
    ]
