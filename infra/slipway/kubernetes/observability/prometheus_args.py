"""What can be said about the Prometheus of an ObservabilityStack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, known
from slipway.kubernetes import quantity
from slipway.kubernetes.names import check_image, check_object_name
from slipway.kubernetes.network import OURS, Peer, check_peer
from slipway.kubernetes.observability.existing_args import ExistingPrometheusArgs, ExistingSettings
from slipway.kubernetes.observability.operator_args import OperatorSettings, PrometheusOperatorArgs
from slipway.kubernetes.quantity import ComputeResources

IMAGE = "prom/prometheus:v3.5.0"
"""A release with long-term support."""
RESOURCES: ComputeResources = {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}
API_PORTS = (443, 6443)
"""Where Kubernetes' API listens: managed clusters, and those of kubeadm."""


class PrometheusArgs(TypedDict):
    """The Prometheus that reads what is watched and judges it."""

    operator: NotRequired[PrometheusOperatorArgs]
    """Make no Prometheus and no Alertmanager, only the Prometheus Operator's custom resources for one that exists: PodMonitors
    and a PrometheusRule. Excludes everything else here but `interval_seconds`. Default: one is made."""
    existing: NotRequired[ExistingPrometheusArgs]
    """Make no Prometheus and no Alertmanager, only the files that one that exists must be given: the ConfigMap
    `NAME-prometheus-files` with `scrape.yml`, for its `scrape_config_files`, and `rules.yml`, for its `rule_files`. Excludes
    everything else here but `interval_seconds`. Default: one is made."""
    image: NotRequired[pulumi.Input[str]]
    """Its image, with a version as tag or a digest. Default: release 3.5, with long-term support."""
    interval_seconds: NotRequired[float]
    """Seconds between two readings of a pod. Default 15; 0.25 to 60."""
    retention_days: NotRequired[int]
    """How long series are kept, in days, unless the volume fills first. Default: a day more than `objectives.period_days`, at
    least 15. At least that period, or its budget would be reckoned from a part of it."""
    storage_gib: NotRequired[int]
    """Volume for the series, in GiB; four fifths of it are used. Default 50; at least 1. A change replaces the server: Kubernetes
    takes no change of a StatefulSet's volumes."""
    storage_class: NotRequired[pulumi.Input[str]]
    """Storage class of that volume. Default: the cluster's."""
    resources: NotRequired[ComputeResources]
    """CPU and memory. Default: requests of 500m and 2Gi, limits of 2 and 4Gi."""
    allow_from: NotRequired[Sequence[Peer]]
    """Who may connect, beside this stack's own parts; they need the password too. Default: the pods that this library runs in the
    same namespace."""
    api_cidr: NotRequired[str]
    """Where Kubernetes' API is, which tells the pods: an address range, on ports 443 and 6443. Default: every address."""


@dataclass(frozen=True)
class PrometheusSettings:
    """The same, with every default filled in."""

    image: pulumi.Input[str]
    interval_seconds: float
    retention_days: int
    storage_gib: int
    storage_class: pulumi.Input[str] | None
    resources: k8s.core.v1.ResourceRequirementsArgsDict
    allow_from: Sequence[Peer]
    api_cidr: str | None
    operator: OperatorSettings | None
    existing: ExistingSettings | None

    @classmethod
    def of(cls, given: Mapping[str, Any], period_days: float, home: object, faults: Faults) -> "PrometheusSettings":
        """Tells of its faults below the path `prometheus`.

        Args:
            given: The argument.
            period_days: Period of the objectives.
            home: Namespace of the stack.
            faults: Where to tell what is wrong.
        """
        path = "prometheus"
        fit = {key: value for key, value in given.items() if not faults.at(f"{path}.{key}")}
        operator = OperatorSettings.of(given.get("operator"), home, faults)
        existing = ExistingSettings.of(given.get("existing"), home, faults)
        if operator is not None or existing is not None:
            other = "existing" if operator is None else "operator"
            for key in given.keys() - {other, "interval_seconds"}:
                faults.add(f"{path}.{key}", f"does nothing with '{other}', where no Prometheus runs here; leave one out")
        known(fit.get("image"), lambda plain: check_image(f"{path}.image", plain, faults))
        known(fit.get("storage_class"), lambda plain: check_object_name(f"{path}.storage_class", plain, faults))
        interval = fit.get("interval_seconds", 15.0)
        if not 0.25 <= interval <= 60:
            faults.add(f"{path}.interval_seconds", f"is {interval:g}; give 0.25 to 60 seconds")
        least = max(15, int(period_days) + 1)
        retention = fit.get("retention_days", least)
        if retention < 1:
            faults.add(f"{path}.retention_days", f"is {retention}; give 1 day or more")
        elif retention < period_days:
            faults.add(
                f"{path}.retention_days",
                f"is {retention}, less than objectives.period_days = {period_days:g}, whose budget is reckoned from it; give more"
                " or a shorter period",
            )
        storage = fit.get("storage_gib", 50)
        if storage < 1:
            faults.add(f"{path}.storage_gib", f"is {storage}; give 1 GiB or more")
        allow_from = cast("Sequence[Peer]", fit.get("allow_from", [OURS]))
        for i, peer in enumerate(allow_from):
            check_peer(f"{path}.allow_from[{i}]", peer, faults)
        if "api_cidr" in fit:
            where: Peer = {"cidr": fit["api_cidr"]}
            checked = Faults("")
            check_peer("x", where, checked)
            if checked:
                faults.add(f"{path}.api_cidr", f"is {fit['api_cidr']!r}; give an address range such as '10.0.0.1/32'")
        return cls(
            image=fit.get("image", IMAGE),
            interval_seconds=interval,
            retention_days=retention,
            storage_gib=storage,
            storage_class=fit.get("storage_class"),
            resources=quantity.fill(f"{path}.resources", fit.get("resources", {}), RESOURCES, faults),
            allow_from=allow_from,
            api_cidr=fit.get("api_cidr"),
            operator=operator,
            existing=existing,
        )
