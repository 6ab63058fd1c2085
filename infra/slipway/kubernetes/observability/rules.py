"""Prometheus' rules for watched services: what is recorded, and what is told."""

from collections.abc import Sequence
from typing import Any

from slipway.kubernetes.observability.gpu_alerts import gpu_alerts, idle_gpus
from slipway.kubernetes.observability.indicators import Indicator, indicators
from slipway.kubernetes.observability.objectives import Promise, duration
from slipway.kubernetes.observability.router_alerts import router_alerts
from slipway.kubernetes.observability.service_alerts import service_alerts
from slipway.kubernetes.observability.watched import Watched, WatchedKind
from slipway.kubernetes.observability.workload import Workload
from slipway.kubernetes.observability.workload_alerts import workload_alerts

RULES_FILE = "rules.yml"


def rule_groups(
    services: Sequence[Watched], promise: Promise, runbooks: str, workloads: Sequence[Workload] = ()
) -> list[dict[str, Any]]:
    """One group of alerts for each service, and for routers one of what their budgets are reckoned from.

    Args:
        services: What is watched.
        promise: What is promised of the routers.
        runbooks: Address of the folder that has a page for each alert.
        workloads: What is watched by its objects alone: a group of alerts for each.
    """
    groups: list[dict[str, Any]] = []
    sees_gpus = any(service.kind is WatchedKind.GPUS for service in services)
    for service in services:
        name = f"{service.namespace}/{service.name}"
        if service.kind is WatchedKind.GPUS:
            alerts = gpu_alerts(service, promise)
        else:
            alerts = [*service_alerts(service, promise), *(idle_gpus(service, promise) if sees_gpus else [])]
        if service.kind is WatchedKind.ROUTER and service.most_replicas:
            bad = indicators(service, promise)
            groups.append({"name": f"{name} shares", "rules": [rule for i in bad for rule in _shares(service, promise, i)]})
            # A whole period is read for it, and it moves slowly.
            rare = duration(min(burn.short for burn in promise.burns))
            groups.append({"name": f"{name} budgets", "interval": rare, "rules": [_remaining(service, promise, i) for i in bad]})
            alerts = [*router_alerts(service, promise, bad), *alerts]
        if alerts:
            groups.append({"name": name, "rules": [alert.rule(service.labels, runbooks) for alert in alerts]})
    for workload in workloads:
        told = [alert.rule(workload.labels, runbooks) for alert in workload_alerts(workload, promise)]
        if told:
            groups.append({"name": f"{workload.namespace}/{workload.name} objects", "rules": told})
    return groups


def _shares(service: Watched, promise: Promise, bad: Indicator) -> list[dict[str, Any]]:
    windows = sorted({seconds for burn in promise.burns for seconds in (burn.short, burn.long)})
    return [{"record": bad.record(s), "expr": bad.ratio(s), "labels": service.labels} for s in windows]


def _remaining(service: Watched, promise: Promise, bad: Indicator) -> dict[str, Any]:
    share = bad.ratio(promise.period)
    return {"record": bad.remaining, "expr": f"1 - ({share}) / {bad.budget:.8g}", "labels": service.labels}
