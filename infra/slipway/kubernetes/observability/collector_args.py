"""What can be said about the OpenTelemetry collector of an ObservabilityStack."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, known
from slipway.backend import Egress, SecretKeyRef
from slipway.kubernetes import quantity
from slipway.kubernetes.names import check_image
from slipway.kubernetes.network import Peer, check_egress, check_peer
from slipway.kubernetes.quantity import ComputeResources
from slipway.kubernetes.router_telemetry import telemetry_egress
from slipway.kubernetes.secret_env import check_reference

IMAGE = "otel/opentelemetry-collector-contrib:0.165.1"
RESOURCES: ComputeResources = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}


class Signal(StrEnum):
    """A kind of telemetry."""

    TRACES = "traces"
    """Spans."""
    METRICS = "metrics"
    """Figures."""
    LOGS = "logs"
    """Records of logs."""


class CollectorArgs(TypedDict):
    """An OpenTelemetry collector, which takes OTLP on ports 4317 (gRPC) and 4318 (HTTP) and hands it on."""

    endpoint: str
    """Base address of what takes OTLP over HTTP and keeps it, such as `http://tempo.tracing.svc:4318`. The paths `/v1/traces`,
    `/v1/metrics` and `/v1/logs` are added."""
    signals: NotRequired[Sequence[Signal]]
    """What goes there: 'traces', 'metrics', 'logs'. Default: all. Traces and logs that go nowhere are not taken; metrics are,
    for Prometheus reads them."""
    egress: NotRequired[Egress]
    """How the network policy lets it out to the endpoint. Policies see the pods' port, which may not be the Service's. Default:
    the endpoint's port, at all pods of the namespace that it names (`NAME.NAMESPACE.svc`), or else at any address."""
    token: NotRequired[SecretKeyRef]
    """The Secret in the stack's namespace that holds what is sent as `Authorization: Bearer`. Default: nothing is sent."""
    allow_from: NotRequired[Sequence[Peer]]
    """Who may send. Default: the pods of what is watched."""
    image: NotRequired[pulumi.Input[str]]
    """Its image, with a version as tag or a digest. It must have what the distribution `contrib` has. Default: release 0.165."""
    resources: NotRequired[ComputeResources]
    """CPU and memory; near the limit of memory it refuses what comes, and senders try again. Default: requests of 100m and
    256Mi, limits of 1 and 512Mi."""


@dataclass(frozen=True)
class CollectorSettings:
    """The same, with every default filled in."""

    endpoint: str
    signals: Sequence[Signal]
    egress: Sequence[Egress]
    token: SecretKeyRef | None
    allow_from: Sequence[Peer] | None
    """None: the pods of what is watched."""
    image: pulumi.Input[str]
    resources: k8s.core.v1.ResourceRequirementsArgsDict

    @classmethod
    def of(cls, given: object, faults: Faults) -> "CollectorSettings | None":
        """Tells of its faults below the path `collector`. None where there is no such argument."""
        if not isinstance(given, Mapping):
            return None
        path = "collector"
        fit: dict[str, Any] = {k: v for k, v in cast("Mapping[str, Any]", given).items() if not faults.at(f"{path}.{k}")}
        endpoint: str = fit.get("endpoint", "")
        if "endpoint" in fit and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", endpoint):
            faults.add(f"{path}.endpoint", f"is {endpoint!r}; give an address such as 'http://tempo.tracing.svc:4318'")
        signals = cast("Sequence[Signal]", fit.get("signals", tuple(Signal)))
        if not signals:
            faults.add(f"{path}.signals", "is empty, so nothing would go to the endpoint; give 'traces', 'metrics', 'logs'")
        if "egress" in fit:
            check_egress(f"{path}.egress", fit["egress"], faults)
        if "token" in fit:
            check_reference(f"{path}.token", fit["token"], faults)
        allow_from = cast("Sequence[Peer] | None", fit.get("allow_from"))
        for i, peer in enumerate(allow_from or ()):
            check_peer(f"{path}.allow_from[{i}]", peer, faults)
        known(fit.get("image"), lambda plain: check_image(f"{path}.image", plain, faults))
        egress: Sequence[Egress] = [fit["egress"]] if "egress" in fit else telemetry_egress({"otel": {"endpoint": endpoint}})
        return cls(
            endpoint=endpoint.rstrip("/"),
            signals=[signal for signal in Signal if signal in signals],
            egress=egress,
            token=fit.get("token"),
            allow_from=allow_from,
            image=fit.get("image", IMAGE),
            resources=quantity.fill(f"{path}.resources", fit.get("resources", {}), RESOURCES, faults),
        )
