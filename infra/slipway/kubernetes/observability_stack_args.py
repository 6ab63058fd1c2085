"""What can be said about an ObservabilityStack, and what it becomes once checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from slipway.args import Faults, check_shape, known
from slipway.kubernetes.deletion import DeletionPolicy
from slipway.kubernetes.names import check_labels, check_name, check_namespace
from slipway.kubernetes.network import Peer
from slipway.kubernetes.observability.alertmanager_args import AlertmanagerArgs, AlertmanagerSettings
from slipway.kubernetes.observability.collector_args import CollectorArgs, CollectorSettings
from slipway.kubernetes.observability.grafana_args import GrafanaArgs, GrafanaSettings
from slipway.kubernetes.observability.logs_args import LogsArgs, LogsSettings
from slipway.kubernetes.observability.objectives import Objectives, Promise
from slipway.kubernetes.observability.operator_args import READER_LABELS
from slipway.kubernetes.observability.prometheus_args import PrometheusArgs, PrometheusSettings
from slipway.kubernetes.observability.watched import WatchedKind, WatchedService, check_watched, lets_in
from slipway.kubernetes.observability.workload import WatchedWorkload, check_workloads
from slipway.kubernetes.restricted import labels

NAME_LENGTH = 38
"""Kubernetes makes a label, 63 characters at most, of a StatefulSet's name, here with '-alertmanager', and 11 more characters."""
RUNBOOKS = "docs/runbooks"
PROMETHEUS_APP = "prometheus"
"""Value of the label `app.kubernetes.io/name` of the pods that read metrics."""


class ObservabilityStackArgs(TypedDict):
    """What an ObservabilityStack is made of. What only says `pulumi.Input` may come from other resources; all else must be
    plain: the plan is checked with it, and it decides how many objects there are."""

    namespace: pulumi.Input[str]
    """Namespace to run in. It must exist. Services let in a Prometheus of namespace `monitoring` unless they say otherwise."""
    watch: Sequence[WatchedService]
    """What is watched: `watched()` of an AiApiService, a GpuModelServer or GpuPrerequisites, or fields of your own. At least
    one. From their arguments come the readings, the rules, the alerts and the dashboards."""
    workloads: NotRequired[Sequence[WatchedWorkload]]
    """What is watched by what Kubernetes tells of its objects: `watched()` of a WorkerPool, a RedisCache, a PostgresDatabase, a
    VectorStore or a TrainingJob, or fields of your own. The Prometheus must read kube-state-metrics, and for volumes the
    kubelets: that of the operator's chart does; the one made here reads what `watch` has of the kind 'cluster'. Default: none."""
    objectives: NotRequired[Objectives]
    """What is promised of the routers. Default: 99.9 % of requests, and 95 % of first tokens within 2.5 s, over 30 days."""
    prometheus: NotRequired[PrometheusArgs]
    """The Prometheus, or with `operator` the one that exists. Default: one with 50 GiB, reading every 15 s."""
    alertmanager: NotRequired[AlertmanagerArgs]
    """The Alertmanager. Default: one that tells nobody. Refused with `prometheus.operator`, as are, without logs of the stack's
    own, `deletion_policy`, and without that or a collector, `node_selector`."""
    collector: NotRequired[CollectorArgs]
    """An OpenTelemetry collector, whose metrics the Prometheus reads. Default: none."""
    logs: NotRequired[LogsArgs]
    """A Loki, or an Elasticsearch with its Kibana, for what the pods in the namespaces of what is watched write, with agents that
    read it on every node. Default: none."""
    grafana: NotRequired[GrafanaArgs]
    """The Grafana. Default: one that nobody reaches but by `kubectl port-forward`; with
    `prometheus.operator` the dashboards alone."""
    runbooks: NotRequired[str]
    """Address of the folder with a page for each alert, which the annotation `runbook_url` leads to. Default `docs/runbooks`,
    where they are in Slipway's repository; give where you publish them, so that a click leads there."""
    deletion_policy: NotRequired[DeletionPolicy]
    """What becomes of the volumes when the stack is deleted: 'delete', 'retain' or 'protect'. Default 'retain'."""
    node_selector: NotRequired[Mapping[str, str]]
    """Labels that a node must have. Default: none."""


@dataclass(frozen=True)
class StackSettings:
    """An ObservabilityStack's arguments, checked, with every default filled in."""

    namespace: pulumi.Input[str]
    watch: Sequence[WatchedService]
    workloads: Sequence[WatchedWorkload]
    promise: Promise
    prometheus: PrometheusSettings
    alertmanager: AlertmanagerSettings
    collector: CollectorSettings | None
    logs: LogsSettings | None
    grafana: GrafanaSettings
    runbooks: str
    deletion_policy: DeletionPolicy
    node_selector: Mapping[str, str]

    @property
    def dashboards_only(self) -> bool:
        """Whether no Grafana is made."""
        return self.grafana.dashboards_only or self.prometheus.operator is not None

    @classmethod
    def of(cls, name: str, args: ObservabilityStackArgs) -> "StackSettings":
        """Check and decide.

        Raises:
            pulumi.InputPropertiesError: with every fault there is.
        """
        faults = Faults("ObservabilityStack")
        given = check_shape(args, ObservabilityStackArgs, faults)
        _check_texts(name, given, faults)
        watch = _listed(given, "watch")
        if not faults.at("watch"):
            check_watched("watch", watch, faults)
            _check_readers(name, given, watch, faults)
        asked = _mapping(given, "prometheus")
        interval = asked.get("interval_seconds")
        readable = interval if isinstance(interval, float | int) and not isinstance(interval, bool) else 15.0
        promise = Promise.of(_mapping(given, "objectives"), readable, faults)
        prometheus = PrometheusSettings.of(asked, promise.period_days, given.get("namespace"), faults)
        if prometheus.operator is not None:
            _check_left_to_others(given, faults)
        elif prometheus.existing is not None and "alertmanager" in given:
            faults.add("alertmanager", "does nothing with 'prometheus.existing', which says itself whom it tells; leave one out")
        if not faults.at("workloads"):
            check_workloads("workloads", _listed(given, "workloads"), faults)
            kinds = [cast("Mapping[str, object]", one).get("kind") for one in watch if isinstance(one, Mapping)]
            own = prometheus.operator is None and prometheus.existing is None
            if _listed(given, "workloads") and own and WatchedKind.CLUSTER not in kinds:
                faults.add(
                    "workloads",
                    "are told of by kube-state-metrics, which this Prometheus does not read; give 'watch' one more of the kind"
                    " 'cluster' with where its pods are, or a Prometheus that exists by 'prometheus.operator' or"
                    " 'prometheus.existing'",
                )
        alertmanager = AlertmanagerSettings.of(_mapping(given, "alertmanager"), faults)
        collector = CollectorSettings.of(given.get("collector"), faults)
        watched = [cast("Mapping[str, object]", one) for one in watch if isinstance(one, Mapping)]
        taken = [given.get("namespace"), *(one.get("namespace") for one in watched)]
        logs = LogsSettings.of(name, given.get("logs"), taken, faults)
        grafana = GrafanaSettings.of(_mapping(given, "grafana"), faults)
        faults.refuse(name)
        return cls(
            namespace=given["namespace"],
            watch=cast("Sequence[WatchedService]", watch),
            workloads=given.get("workloads", ()),
            promise=promise,
            prometheus=prometheus,
            alertmanager=alertmanager,
            collector=collector,
            logs=logs,
            grafana=grafana,
            runbooks=given.get("runbooks", RUNBOOKS).rstrip("/"),
            deletion_policy=given.get("deletion_policy", DeletionPolicy.RETAIN),
            node_selector=given.get("node_selector", {}),
        )


def _check_texts(name: str, given: Mapping[str, Any], faults: Faults) -> None:
    if len(name) > NAME_LENGTH:
        faults.add(
            "name", f"is {name!r} ({len(name)} characters); give at most {NAME_LENGTH}, since Kubernetes labels pods with more"
        )
    else:
        check_name(name, faults)
    if not faults.at("namespace"):
        known(given.get("namespace"), lambda plain: check_namespace("namespace", plain, faults))
    runbooks = given.get("runbooks", RUNBOOKS)
    if not faults.at("runbooks") and not re.fullmatch(r"[^\s?#]+", runbooks):
        faults.add("runbooks", f"is {runbooks!r}; give the address of a folder, such as 'https://wiki.example.com/runbooks'")
    check_labels("node_selector", given.get("node_selector"), faults)


def _check_left_to_others(given: Mapping[str, Any], faults: Faults) -> None:
    """Refuse what belongs to servers that are not made where the Prometheus Operator has its own."""
    own_logs = "logs" in given and "external" not in _mapping(given, "logs")
    served = {"deletion_policy": own_logs, "node_selector": own_logs or "collector" in given}
    for key in ("alertmanager", "deletion_policy", "node_selector"):
        if key in given and not served.get(key):
            faults.add(key, "does nothing with 'prometheus.operator', where no server runs here; leave one out")
    if _mapping(given, "grafana").keys() - {"dashboards_only"} or not _mapping(given, "grafana").get("dashboards_only", True):
        faults.add(
            "grafana",
            "makes a Grafana, which has no password for the Prometheus of 'prometheus.operator'; leave it out, and the dashboards"
            " are made for a Grafana that exists",
        )


def _check_readers(name: str, given: Mapping[str, Any], watch: Sequence[object], faults: Faults) -> None:
    """Refuse services whose own policies would keep this Prometheus out."""
    asked = _mapping(given, "prometheus")
    key = next((key for key in ("operator", "existing") if _mapping(asked, key)), None)
    elsewhere: Mapping[str, Any] = _mapping(asked, key) if key else {}
    namespace: object = elsewhere.get("namespace", given.get("namespace"))
    other = f"say where that one is by 'prometheus.{key}.namespace'" if key else "run this stack in 'monitoring'"
    reading = (_mapping(elsewhere, "pod_labels") or READER_LABELS) if key else labels(PROMETHEUS_APP, name)
    for i, one in enumerate(watch):
        if not isinstance(one, Mapping) or faults.at(f"watch[{i}]") or "readers" not in one:
            continue
        service = cast("WatchedService", one)
        if not lets_in(service.get("readers", ()), service["namespace"], namespace, reading):
            shown = reading if key else {"app.kubernetes.io/name": PROMETHEUS_APP}
            peer: Peer = {"namespace": str(namespace), "pod_labels": shown}
            faults.add(
                f"watch[{i}]",
                f"lets no Prometheus of namespace {namespace!r} in, so nothing could be read; give {service['name']!r} the"
                f" argument 'prometheus': {peer}, or {other}",
            )


def _mapping(given: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value: object = given.get(key)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _listed(given: Mapping[str, Any], key: str) -> Sequence[object]:
    value: object = given.get(key)
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()
