"""What a ServiceMesh can be asked for; refused here, before anything is registered."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NotRequired, TypedDict

import pulumi

from slipway.args import Faults, check_shape, known
from slipway.backend import Egress
from slipway.kubernetes.mesh_pods import MeshKind
from slipway.kubernetes.mesh_service import MeshService
from slipway.kubernetes.mesh_service_checks import check_services
from slipway.kubernetes.names import check_name, check_namespace
from slipway.kubernetes.network import PROMETHEUS, Peer, check_egress, check_peer

SAMPLING_PERCENT = 1
"""As Istio's own default."""
CONTROL_PLANES = {MeshKind.ISTIO: "istio-system", MeshKind.LINKERD: "linkerd", MeshKind.CONSUL: "consul"}
"""Namespaces that the meshes' own instructions install them in."""
_ADDRESS = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}")
_TRUST_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,253}[a-z0-9])?")


class MutualTls(StrEnum):
    """Whether callers need a certificate of the mesh's."""

    STRICT = "strict"
    """Nobody is let in without, nor with one that is not a caller's."""
    PERMISSIVE = "permissive"
    """Those without are let in too: for the time in which callers join the mesh. Nobody is told from another."""


class MeshTracing(TypedDict):
    """Spans of the sidecars. Istio and Consul; Linkerd's are told where they go when Linkerd is installed (`proxy.tracing`)."""

    provider: NotRequired[str]
    """Istio: name of an extension provider of its mesh configuration. Required there, and Istio's alone."""
    address: NotRequired[str]
    """Consul: HOST:PORT of a collector that takes OTLP over gRPC. Required there, and Consul's alone. Consul has one setting for
    all services of all namespaces (`ProxyDefaults`), so that one ServiceMesh in a cluster may have it."""
    egress: Egress
    """How network policies let the sidecars out to the collector."""
    sampling_percent: NotRequired[float]
    """Requests that are traced where the caller has not decided, in percent. Default 1; 0 to 100."""


class ServiceMeshArgs(TypedDict):
    """What a ServiceMesh is made of. Three arguments are required: `mesh`, `namespace`, `services`. Only `namespace` may come
    from other resources."""

    mesh: MeshKind
    """'istio', 'linkerd' or 'consul'. What is asked for and it cannot do is refused, with the name of one that can."""
    namespace: pulumi.Input[str]
    """Namespace of the services. It must exist."""
    services: Sequence[MeshService]
    """What is in the mesh: `mesh_service()` of components, or fields of your own. At least one; names differ."""
    mtls: NotRequired[MutualTls]
    """'strict' or 'permissive'. Default 'strict'."""
    tracing: NotRequired[MeshTracing]
    """Have the sidecars report spans. Default: as the mesh is installed."""
    control_plane_namespace: NotRequired[str]
    """Where the mesh itself runs, which sidecars must reach. Default 'istio-system', 'linkerd' or 'consul'."""
    trust_domain: NotRequired[str]
    """What Istio's names of callers begin with. Default 'cluster.local'. Istio only."""
    prometheus: NotRequired[Peer]
    """Which Prometheus may read the sidecars' metrics. Default: pods labelled `app.kubernetes.io/name: prometheus` in the
    namespace `monitoring`."""


@dataclass(frozen=True)
class MeshSettings:
    """What was asked for, checked, with every default filled in."""

    kind: MeshKind
    namespace: pulumi.Input[str]
    services: Sequence[MeshService]
    mtls: MutualTls
    tracing: MeshTracing | None
    control_plane: str
    trust_domain: str
    prometheus: Peer

    @classmethod
    def of(cls, name: str, args: ServiceMeshArgs) -> "MeshSettings":
        """Raises `pulumi.InputPropertiesError` that lists every fault."""
        faults = Faults("ServiceMesh")
        given = check_shape(args, ServiceMeshArgs, faults)
        check_name(name, faults)
        fit = {key: value for key, value in given.items() if not faults.at(key)}
        known(fit.get("namespace"), lambda plain: check_namespace("namespace", plain, faults))
        kind: MeshKind | None = fit.get("mesh")
        mtls = fit.get("mtls", MutualTls.STRICT)
        if "services" in fit:
            check_services(fit["services"], kind, faults)
        if "tracing" in fit and kind is not None:
            _check_tracing(fit["tracing"], kind, faults)
        if "control_plane_namespace" in fit:
            check_namespace("control_plane_namespace", fit["control_plane_namespace"], faults)
        if "prometheus" in fit:
            check_peer("prometheus", fit["prometheus"], faults)
        if "trust_domain" in fit:
            if kind is MeshKind.LINKERD or kind is MeshKind.CONSUL:
                faults.add("trust_domain", f"is Istio's alone, and mesh is '{kind.value}'; leave it out")
            elif not _TRUST_DOMAIN.fullmatch(fit["trust_domain"]):
                faults.add("trust_domain", f"is {fit['trust_domain']!r}; give a name in lower case, such as 'cluster.local'")
        faults.refuse(name)
        assert kind is not None
        return cls(
            kind=kind,
            namespace=fit["namespace"],
            services=fit["services"],
            mtls=mtls,
            tracing=fit.get("tracing"),
            control_plane=fit.get("control_plane_namespace", CONTROL_PLANES[kind]),
            trust_domain=fit.get("trust_domain", "cluster.local"),
            prometheus=fit.get("prometheus", PROMETHEUS),
        )

    def after(self, service: MeshService) -> list[pulumi.Resource]:
        """What must be ready before requests are sent by a service's name: all that gets a share of them."""
        getting = {service["service"], *service.get("split", {})}
        return [other["component"] for other in self.services if other["service"] in getting and "component" in other]


def _check_tracing(tracing: Mapping[str, Any], kind: MeshKind, faults: Faults) -> None:
    if kind is MeshKind.LINKERD:
        faults.add(
            "tracing",
            "cannot be said here in Linkerd, which is told at its installation (`proxy.tracing`) for all sidecars; leave it out,"
            " or take Istio or Consul",
        )
        return
    wanted, others = ("provider", "address") if kind is MeshKind.ISTIO else ("address", "provider")
    if wanted not in tracing and not faults.at(f"tracing.{wanted}"):
        faults.add(f"tracing.{wanted}", f"is required with mesh '{kind.value}'")
    if others in tracing:
        faults.add(f"tracing.{others}", f"is not for mesh '{kind.value}'; give '{wanted}' instead")
    if wanted == "address" and "address" in tracing and not _ADDRESS.fullmatch(tracing["address"]):
        faults.add(
            "tracing.address", f"is {tracing['address']!r}; give HOST:PORT, such as 'otel-collector.observability.svc:4317'"
        )
    if tracing.get("provider") == "":
        faults.add("tracing.provider", "is empty; give the provider's name in Istio's mesh configuration")
    if "egress" in tracing:
        check_egress("tracing.egress", tracing["egress"], faults)
    percent = tracing.get("sampling_percent", SAMPLING_PERCENT)
    if not 0 <= percent <= 100:
        faults.add("tracing.sampling_percent", f"is {percent:g}; give 0 to 100 percent")
