"""Ways that sidecars need beside those of their pods: to the mesh itself, to each other, to Prometheus."""

from collections.abc import Mapping, Sequence

import pulumi_kubernetes as k8s

from slipway.backend import Egress
from slipway.kubernetes.mesh_pods import MeshKind
from slipway.kubernetes.mesh_service import MeshService, callers_of
from slipway.kubernetes.network import SAME_NAMESPACE, Peer, anywhere, opened
from slipway.kubernetes.service_mesh_args import MeshSettings

CONTROL_PLANE: Mapping[MeshKind, Sequence[int]] = {
    MeshKind.ISTIO: (15012,),
    MeshKind.LINKERD: (8080, 8086, 8090),
    MeshKind.CONSUL: (8500, 8501, 8502, 8503),
}
"""Ports of istiod (xDS and certificates); of Linkerd's identity, destination and policy; of Consul's servers (HTTP and gRPC,
without and with TLS)."""
INBOUND: Mapping[MeshKind, int] = {MeshKind.LINKERD: 4143, MeshKind.CONSUL: 20000}
"""Port on which a sidecar is reached by others. Istio's are reached on the pod's own."""
METRICS: Mapping[MeshKind, int] = {MeshKind.ISTIO: 15020, MeshKind.LINKERD: 4191, MeshKind.CONSUL: 20200}
"""Port on which a sidecar tells its metrics, and with Istio and Consul the pod's too."""


def sidecar_policy(service: MeshService, mesh: MeshSettings) -> k8s.networking.v1.NetworkPolicySpecArgsDict:
    """What is open for a service's sidecars. Policies add up: the pods' own stays what it is."""
    ways: list[Egress] = []
    for port in CONTROL_PLANE[mesh.kind]:
        ways.append({"port": port, "namespace": mesh.control_plane, "pod_labels": {}})  # noqa: PERF401 -- pyright takes no other
    inbound = INBOUND.get(mesh.kind)
    for other in _reached(service, mesh.services):
        for port in (other.get("pod_port", other["port"]), *([inbound] if inbound else [])):
            ways.append({"port": port, "pod_labels": other["pod_labels"]})  # noqa: PERF401 -- as above
    if mesh.tracing is not None:
        ways.append(mesh.tracing["egress"])
    if mesh.kind is MeshKind.CONSUL and "jwt" in service:
        # Consul's sidecars fetch the issuer's keys themselves; of Istio it is the control plane.
        ways += anywhere(443)
    ingress: dict[int, Sequence[Peer]] = {METRICS[mesh.kind]: [mesh.prometheus]}
    if inbound:
        ingress[inbound] = _callers(service, mesh)
    return opened(service["pod_labels"], ingress, ways)


def _reached(service: MeshService, services: Sequence[MeshService]) -> list[MeshService]:
    """What it calls, and what gets a share of that."""
    called = [other for other in services if other["service"] in service.get("calls", ())]
    split = {to for other in called for to in other.get("split", {})}
    return [*called, *(other for other in services if other["service"] in split and other not in called)]


def _callers(service: MeshService, mesh: MeshSettings) -> list[Peer]:
    """Where callers are; which of them are let in is the sidecar's to say, by their certificates."""
    named = [caller["namespace"] for caller in callers_of(service, mesh.services) if "namespace" in caller]
    peers: list[Peer] = [SAME_NAMESPACE, *({"namespace": namespace} for namespace in named)]
    return [peer for i, peer in enumerate(peers) if peer not in peers[:i]]
