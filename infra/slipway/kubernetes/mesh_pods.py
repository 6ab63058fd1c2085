"""Pods in a service mesh: how its sidecar gets in, and how it leaves no sooner than the last stream."""

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NotRequired, TypedDict, cast

import pulumi_kubernetes as k8s

from slipway.args import Faults
from slipway.kubernetes.drain import Drain

_REVISION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


class MeshKind(StrEnum):
    """Service meshes that put a proxy beside each pod."""

    ISTIO = "istio"
    LINKERD = "linkerd"
    CONSUL = "consul"


class MeshSidecar(TypedDict):
    """Which mesh pods belong to. Its control plane must be in the cluster, with its CNI plugin: without that its init container
    wants NET_ADMIN, which the pod security level `restricted` refuses."""

    kind: MeshKind
    """'istio', 'linkerd' or 'consul'."""
    revision: NotRequired[str]
    """Revision of Istio's control plane, where several are installed. 'istio' only. Default: the cluster's default one."""


def check_sidecar(path: str, sidecar: object, faults: Faults) -> None:
    """Refuse a revision that is no label's value, or of a mesh that has none."""
    if not isinstance(sidecar, Mapping) or faults.at(path) or "revision" not in sidecar:
        return
    given = cast("Mapping[str, Any]", sidecar)
    if given.get("kind") is not MeshKind.ISTIO:
        faults.add(f"{path}.revision", "is Istio's alone; leave it out, or give kind 'istio'")
    elif not _REVISION.fullmatch(given["revision"]):
        faults.add(f"{path}.revision", f"is {given['revision']!r}; give letters, digits, '-', '_' and '.', at most 63")


def kind_of(sidecar: object) -> MeshKind | None:
    """The mesh that was given, of whatever shape; None where none was, or none that there is."""
    kind: object = cast("Mapping[str, object]", sidecar).get("kind") if isinstance(sidecar, Mapping) else None
    return kind if isinstance(kind, MeshKind) else None


def check_monitor(path: str, sidecar: object, faults: Faults) -> None:
    """Refuse a ServiceMonitor where the sidecar takes nothing but mutual TLS on the port that it would read."""
    kind = kind_of(sidecar)
    if kind is MeshKind.ISTIO or kind is MeshKind.CONSUL:
        faults.add(
            path,
            f"cannot go with mesh '{kind.value}', whose sidecar takes only mutual TLS on the port it reads: leave it out, and"
            " Prometheus reads the sidecar, which adds the pod's own metrics, by the annotations `prometheus.io/...`",
        )


def sidecar_labels(sidecar: MeshSidecar | None) -> dict[str, str]:
    """Labels by which pods ask for the sidecar, each for itself, so that a namespace's other pods stay as they are."""
    if sidecar is None or sidecar["kind"] is not MeshKind.ISTIO:
        return {}
    revision = {"istio.io/rev": sidecar["revision"]} if "revision" in sidecar else {}
    return {"sidecar.istio.io/inject": "true", **revision}


def sidecar_annotations(sidecar: MeshSidecar | None, service: str, port: int, drain: Drain) -> dict[str, str]:
    """Annotations of pods: the sidecar, its drain, and how Prometheus reads pod and sidecar at once.

    It is a sidecar in Kubernetes' own sense (an init container that stays), so that it is there before the server starts and
    goes after that has ended. Where a mesh is too old for this, it drains for as long as the pod does.

    Args:
        sidecar: The mesh; None: no annotation.
        service: Name of the Service before the pods.
        port: Their port.
        drain: How they go away.
    """
    if sidecar is None:
        return {}
    seconds = drain.pre_stop_seconds + drain.stream_seconds
    match sidecar["kind"]:
        case MeshKind.ISTIO:
            config = {"terminationDrainDuration": f"{seconds}s", "holdApplicationUntilProxyStarts": True}
            # Istio reads the pod's `prometheus.io/...` and puts its own in their place.
            return {
                "sidecar.istio.io/nativeSidecar": "true",
                "proxy.istio.io/config": json.dumps(config, sort_keys=True),
            }
        case MeshKind.LINKERD:
            return {
                "linkerd.io/inject": "enabled",
                "config.linkerd.io/proxy-enable-native-sidecar": "true",
                # What it is called before 2.20, where it is not the default. Without it a loader would run before the proxy.
                "config.alpha.linkerd.io/proxy-enable-native-sidecar": "true",
                "config.linkerd.io/shutdown-grace-period": f"{seconds}s",
            }
        case MeshKind.CONSUL:
            ours = {
                "connect-inject": "true",
                # A model server has a headless Service too, and Consul takes one.
                "kubernetes-service": service,
                "transparent-proxy": "true",
                "transparent-proxy-overwrite-probes": "true",
                "enable-consul-dataplane-as-sidecar": "true",
                "enable-sidecar-proxy-lifecycle": "true",
                "enable-sidecar-proxy-lifecycle-shutdown-drain-listeners": "true",
                "sidecar-proxy-lifecycle-shutdown-grace-period-seconds": str(seconds),
                "enable-metrics": "true",
                "enable-metrics-merging": "true",
                "service-metrics-port": str(port),
                "service-metrics-path": "/metrics",
            }
            return {f"consul.hashicorp.com/{key}": value for key, value in ours.items()}


def account_of(name: str, sidecar: MeshSidecar | None) -> str:
    """Name of a component's ServiceAccount: `NAME-account`, and in Consul that of the Service, which its ACLs go by."""
    return name if sidecar is not None and sidecar["kind"] is MeshKind.CONSUL else f"{name}-account"


def in_mesh(spec: k8s.core.v1.PodSpecArgsDict, sidecar: MeshSidecar | None) -> k8s.core.v1.PodSpecArgsDict:
    """The pod's spec as the mesh needs it. Consul's sidecar logs in with the token that the pod itself mounts; the others bring
    one of their own."""
    if sidecar is None or sidecar["kind"] is not MeshKind.CONSUL:
        return spec
    return {**spec, "automount_service_account_token": True}
