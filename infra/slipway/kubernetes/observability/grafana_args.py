"""What can be said about the Grafana of an ObservabilityStack."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, known
from slipway.backend import Egress
from slipway.kubernetes import quantity
from slipway.kubernetes.names import check_image, check_object_name
from slipway.kubernetes.network import Peer, check_egress, check_peer
from slipway.kubernetes.quantity import ComputeResources
from slipway.kubernetes.router_telemetry import telemetry_egress

IMAGE = "grafana/grafana:11.6.0"
RESOURCES: ComputeResources = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}


class TempoArgs(TypedDict):
    """A Tempo that exists."""

    url: str
    """Address of its API, such as `http://tempo.tracing.svc:3200`. It is asked without a password."""
    egress: NotRequired[Egress]
    """How the network policy lets Grafana out to it. Policies see the pods' port, which may not be the Service's. Default: the
    address' port, at all pods of the namespace that it names (`NAME.NAMESPACE.svc`), or else at any address."""


class GrafanaArgs(TypedDict):
    """The Grafana that shows it, or the dashboards alone."""

    dashboards_only: NotRequired[bool]
    """Make no Grafana, only ConfigMaps with a dashboard each, labelled `grafana_dashboard: "1"`, as a Grafana that exists takes
    them up by its sidecar; its data source must have the uid `prometheus`. Excludes everything else here. Default false."""
    image: NotRequired[pulumi.Input[str]]
    """Its image, with a version as tag or a digest. Default: release 11.6."""
    storage_gib: NotRequired[int]
    """Volume for what people make there, in GiB; at least 1. Default 2. A change replaces the server: Kubernetes takes no change
    of a StatefulSet's volumes. The dashboards of this stack are not on it."""
    storage_class: NotRequired[pulumi.Input[str]]
    """Storage class of that volume. Default: the cluster's."""
    resources: NotRequired[ComputeResources]
    """CPU and memory. Default: requests of 100m and 256Mi, limits of 1 and 1Gi."""
    allow_from: NotRequired[Sequence[Peer]]
    """Who may connect to its port 3000, such as an Ingress controller's pods. Default: nobody; `kubectl port-forward` works."""
    tempo: NotRequired[TempoArgs]
    """A Tempo that exists, as a data source: a line of the logs leads to its trace, and a span to its lines. Default: none."""
    root_url: NotRequired[str]
    """Its address for browsers, such as `https://grafana.example.com/`, for links in what it sends. Default: none."""


@dataclass(frozen=True)
class GrafanaSettings:
    """The same, with every default filled in."""

    dashboards_only: bool
    image: pulumi.Input[str]
    storage_gib: int
    storage_class: pulumi.Input[str] | None
    resources: k8s.core.v1.ResourceRequirementsArgsDict
    allow_from: Sequence[Peer]
    root_url: str | None
    tempo_url: str | None
    tempo_egress: Sequence[Egress]

    @classmethod
    def of(cls, given: Mapping[str, Any], faults: Faults) -> "GrafanaSettings":
        """Tells of its faults below the path `grafana`."""
        path = "grafana"
        fit = {key: value for key, value in given.items() if not faults.at(f"{path}.{key}")}
        if fit.get("dashboards_only"):
            for key in given.keys() - {"dashboards_only"}:
                faults.add(f"{path}.{key}", "does nothing with 'dashboards_only', where no Grafana runs here; leave one out")
        known(fit.get("image"), lambda plain: check_image(f"{path}.image", plain, faults))
        known(fit.get("storage_class"), lambda plain: check_object_name(f"{path}.storage_class", plain, faults))
        storage = fit.get("storage_gib", 2)
        if storage < 1:
            faults.add(f"{path}.storage_gib", f"is {storage}; give 1 GiB or more")
        allow_from = cast("Sequence[Peer]", fit.get("allow_from", ()))
        for i, peer in enumerate(allow_from):
            check_peer(f"{path}.allow_from[{i}]", peer, faults)
        root = fit.get("root_url")
        if root is not None and not root.startswith(("http://", "https://")):
            faults.add(f"{path}.root_url", f"is {root!r}; give an address such as 'https://grafana.example.com/'")
        tempo = cast("Mapping[str, Any]", fit.get("tempo", {}))
        tempo_url: str | None = tempo.get("url")
        if tempo_url is not None and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", tempo_url):
            faults.add(f"{path}.tempo.url", f"is {tempo_url!r}; give an address such as 'http://tempo.tracing.svc:3200'")
        if "egress" in tempo:
            check_egress(f"{path}.tempo.egress", tempo["egress"], faults)
        return cls(
            dashboards_only=fit.get("dashboards_only", False),
            image=fit.get("image", IMAGE),
            storage_gib=storage,
            storage_class=fit.get("storage_class"),
            resources=quantity.fill(f"{path}.resources", fit.get("resources", {}), RESOURCES, faults),
            allow_from=allow_from,
            root_url=root,
            tempo_url=None if tempo_url is None else tempo_url.rstrip("/"),
            tempo_egress=[tempo["egress"]] if "egress" in tempo else telemetry_egress({"otel": {"endpoint": tempo_url or ""}}),
        )
