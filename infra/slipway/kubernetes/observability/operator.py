"""The rules and readings of a stack as custom resources of the Prometheus Operator, for a Prometheus that exists."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import restricted
from slipway.kubernetes.camel import camel
from slipway.kubernetes.observability.objectives import Promise, duration
from slipway.kubernetes.observability.operator_args import OperatorSettings
from slipway.kubernetes.observability.part import Place
from slipway.kubernetes.observability.rules import rule_groups
from slipway.kubernetes.observability.scrape import relabelings, timeout
from slipway.kubernetes.observability.watched import Watched
from slipway.kubernetes.observability.workload import Workload
from slipway.kubernetes.service_monitor import API_VERSION

APP = "prometheus-rules"


def pod_monitor_spec(service: Watched, interval: float) -> dict[str, Any]:
    """Spec of the PodMonitor that reads a service as this library's own Prometheus would.

    Args:
        service: What is read.
        interval: Seconds between two readings.
    """
    endpoint = {
        "path": service.path,
        "interval": duration(interval),
        "scrapeTimeout": timeout(interval),
        **({"honorLabels": True} if service.tells_of_others else {}),
        # Without a port the operator takes all that the containers tell, and these choose.
        "relabelings": camel(relabelings(service)),
    }
    return {
        "namespaceSelector": {"matchNames": [service.namespace]},
        "selector": {"matchLabels": dict(service.pod_labels)},
        "podMetricsEndpoints": [endpoint],
    }


def prometheus_rule_spec(
    services: Sequence[Watched], promise: Promise, interval: float, runbooks: str, workloads: Sequence[Workload] = ()
) -> dict[str, Any]:
    """Spec of the PrometheusRule with every rule of a stack. Each group says how often it is judged, since that of a Prometheus
    that exists is not known.

    Args:
        services: What is watched.
        promise: What is promised of the routers.
        interval: Seconds between two readings.
        runbooks: Address of the folder that has a page for each alert.
        workloads: What is watched by its objects alone.
    """
    return {
        "groups": [{"interval": duration(interval), **group} for group in rule_groups(services, promise, runbooks, workloads)]
    }


def make_custom_resources(
    place: Place,
    settings: OperatorSettings,
    names: Sequence[str],
    watched: pulumi.Output[list[Watched]],
    promise: Promise,
    interval: float,
    runbooks: str,
    others: Mapping[str, dict[str, Any]],
    workloads: pulumi.Output[list[Workload]],
) -> None:
    """Make a PodMonitor for each service, and one PrometheusRule.

    Args:
        place: Where.
        settings: How they are chosen.
        names: Names of the services, in their order.
        watched: The services.
        promise: What is promised of the routers.
        interval: Seconds between two readings.
        runbooks: Address of the folder that has a page for each alert.
        others: Specs of further PodMonitors, by role.
        workloads: What is watched by its objects alone.
    """
    labels = {**restricted.labels(APP, place.name), **settings.labels}

    def make(role: str, kind: str, spec: pulumi.Input[dict[str, Any]]) -> None:
        k8s.apiextensions.CustomResource(
            f"{place.name}-{role}",
            api_version=API_VERSION,
            kind=kind,
            metadata=place.meta(role, labels),
            spec=spec,
            opts=pulumi.ResourceOptions(parent=place.parent),
        )

    for i, name in enumerate(names):
        # Of two namespaces, services may have the same name.
        make(f"reads-{i}-{name}", "PodMonitor", watched.apply(lambda services, i=i: pod_monitor_spec(services[i], interval)))
    for role, spec in others.items():
        make(role, "PodMonitor", spec)
    both: pulumi.Output[list[Any]] = pulumi.Output.all(watched, workloads)
    rules = both.apply(lambda known: prometheus_rule_spec(known[0], promise, interval, runbooks, known[1]))
    make("rules", "PrometheusRule", rules)
