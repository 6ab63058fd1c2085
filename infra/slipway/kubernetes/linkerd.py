"""What a ServiceMesh is in Linkerd: its policies, routes with their annotations, and annotations of the Services."""

from collections.abc import Iterator, Mapping
from typing import Any

from slipway.kubernetes.http_route import API_VERSION as GATEWAY_API
from slipway.kubernetes.mesh_object import MeshObject
from slipway.kubernetes.mesh_service import OPEN_PATHS, MeshService, callers_of, outliers_of, seconds, shares, timeout_of
from slipway.kubernetes.service_mesh_args import MeshSettings, MutualTls

_POLICY = "policy.linkerd.io"
_LONGEST_PENALTY = 10
"""How many times as long a pod may be left alone in the end as at first."""


def objects(name: str, mesh: MeshSettings) -> Iterator[MeshObject]:
    """All of them. Each is named after the component and the service, so that two meshes do not meet."""
    for service in mesh.services:
        own = f"{name}-{service['service']}"
        strict = mesh.mtls is MutualTls.STRICT
        server = {
            "podSelector": {"matchLabels": dict(service["pod_labels"])},
            "port": service.get("pod_port", service["port"]),
            "accessPolicy": "deny" if strict else "all-unauthenticated",
        }
        yield MeshObject(f"{own}-server", f"{_POLICY}/v1beta3", "Server", f"{own}-server", server)
        if strict:
            yield from _authorization(own, service, mesh)
        yield MeshObject(
            f"{own}-routes",
            GATEWAY_API,
            "HTTPRoute",
            f"{own}-routes",
            _route(service, mesh),
            annotations=_route_annotations(service),
            after=mesh.after(service),
        )


def service_annotations(service: MeshService) -> dict[str, str]:
    """Annotations of the Service itself, by which its callers leave failing pods alone."""
    asked = outliers_of(service)
    if asked is None:
        return {}
    accrual = "balancer.linkerd.io/failure-accrual"
    return {
        accrual: "consecutive",
        f"{accrual}-consecutive-max-failures": str(asked["consecutive_errors"]),
        f"{accrual}-consecutive-min-penalty": seconds(asked["ejection_seconds"]),
        f"{accrual}-consecutive-max-penalty": seconds(asked["ejection_seconds"] * _LONGEST_PENALTY),
    }


def _authorization(own: str, service: MeshService, mesh: MeshSettings) -> Iterator[MeshObject]:
    """Callers with a certificate for the API, everybody for what probes and Prometheus read: network policies say who that is."""
    parent = [{"group": _POLICY, "kind": "Server", "name": f"{own}-server"}]
    paths = {
        "probes": [{"path": {"type": "Exact", "value": path}, "method": "GET"} for path in service.get("open_paths", OPEN_PATHS)],
        "api": [{"path": {"type": "PathPrefix", "value": "/"}}],
    }
    for role, matches in paths.items():
        route = {"parentRefs": parent, "rules": [{"matches": matches}]}
        yield MeshObject(f"{own}-{role}", GATEWAY_API, "HTTPRoute", f"{own}-{role}", route)
    everywhere = {"networks": [{"cidr": "0.0.0.0/0"}, {"cidr": "::/0"}]}
    yield MeshObject(f"{own}-anybody", f"{_POLICY}/v1alpha1", "NetworkAuthentication", f"{own}-anybody", everywhere)
    refs: list[Mapping[str, Any]] = []
    for caller in callers_of(service, mesh.services) or [{"namespace": mesh.namespace}]:
        namespace = caller.get("namespace", mesh.namespace)
        if "account" in caller:
            refs.append({"kind": "ServiceAccount", "name": caller["account"], "namespace": namespace})
        else:
            refs.append({"kind": "Namespace", "name": namespace})
    yield MeshObject(f"{own}-callers", f"{_POLICY}/v1alpha1", "MeshTLSAuthentication", f"{own}-callers", {"identityRefs": refs})
    for role, kind, needed in (
        ("probes", "NetworkAuthentication", "anybody"),
        ("api", "MeshTLSAuthentication", "callers"),
    ):
        spec = {
            "targetRef": {"group": GATEWAY_API.partition("/")[0], "kind": "HTTPRoute", "name": f"{own}-{role}"},
            "requiredAuthenticationRefs": [{"group": _POLICY, "kind": kind, "name": f"{own}-{needed}"}],
        }
        yield MeshObject(f"{own}-{role}-policy", f"{_POLICY}/v1alpha1", "AuthorizationPolicy", f"{own}-{role}", spec)


def _route(service: MeshService, mesh: MeshSettings) -> Mapping[str, Any]:
    ports = {other["service"]: other["port"] for other in mesh.services}
    parent = {"group": "", "kind": "Service", "name": service["service"], "port": service["port"]}
    backends = [
        {"group": "", "kind": "Service", "name": to, "port": ports[to], "weight": weight}
        for to, weight in shares(service).items()
    ]
    matches = [{"path": {"type": "PathPrefix", "value": "/"}}]
    return {"parentRefs": [parent], "rules": [{"matches": matches, "backendRefs": backends}]}


def _route_annotations(service: MeshService) -> dict[str, str]:
    """Without `retry.linkerd.io/http` Linkerd tries nothing again."""
    annotations = {"timeout.linkerd.io/request": seconds(timeout_of(service))}
    retries = service.get("retries")
    if retries is not None:
        annotations["retry.linkerd.io/http"] = "gateway-error"
        annotations["retry.linkerd.io/limit"] = str(retries["attempts"])
        if "per_try_seconds" in retries:
            annotations["retry.linkerd.io/timeout"] = seconds(retries["per_try_seconds"])
    return annotations
