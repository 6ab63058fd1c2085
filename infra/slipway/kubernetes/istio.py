"""What a ServiceMesh is in Istio: its custom resources, service by service."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pulumi

from slipway.kubernetes.mesh_object import MeshObject, joined
from slipway.kubernetes.mesh_service import MeshCaller, MeshService, callers_of, outliers_of, seconds, shares, timeout_of
from slipway.kubernetes.service_mesh_args import SAMPLING_PERCENT, MeshSettings, MutualTls

_SECURITY, _NETWORKING, _TELEMETRY = "security.istio.io/v1", "networking.istio.io/v1", "telemetry.istio.io/v1"
_RETRY_ON = "connect-failure,refused-stream,reset-before-request,503"
"""Failures after which nothing was answered yet (Envoy, `x-envoy-retry-on`)."""


def objects(name: str, mesh: MeshSettings) -> Iterator[MeshObject]:
    """All of them. Each is named after the component and the service, so that two meshes do not meet."""
    for service in mesh.services:
        own = f"{name}-{service['service']}"
        selected = {"selector": {"matchLabels": dict(service["pod_labels"])}}
        strict = mesh.mtls is MutualTls.STRICT
        mtls = {"mtls": {"mode": "STRICT" if strict else "PERMISSIVE"}}
        yield MeshObject(f"{own}-mtls", _SECURITY, "PeerAuthentication", f"{own}-mtls", {**selected, **mtls})
        jwt = service.get("jwt")
        if jwt is not None:
            yield MeshObject(
                f"{own}-jwt", _SECURITY, "RequestAuthentication", f"{own}-jwt", {**selected, "jwtRules": [_jwt_rule(service)]}
            )
        if strict or jwt is not None:
            rules = {"action": "ALLOW", "rules": [{"from": _sources(service, mesh)}]}
            yield MeshObject(f"{own}-callers", _SECURITY, "AuthorizationPolicy", f"{own}-callers", {**selected, **rules})
        yield MeshObject(f"{own}-traffic", _NETWORKING, "DestinationRule", f"{own}-traffic", _destination_rule(service, mesh))
        after = mesh.after(service)
        route = _virtual_service(service, mesh)
        yield MeshObject(f"{own}-routes", _NETWORKING, "VirtualService", f"{own}-routes", route, after=after)
        if mesh.tracing is not None:
            tracing = {
                "providers": [{"name": mesh.tracing.get("provider")}],
                "randomSamplingPercentage": mesh.tracing.get("sampling_percent", SAMPLING_PERCENT),
            }
            yield MeshObject(f"{own}-tracing", _TELEMETRY, "Telemetry", f"{own}-tracing", {**selected, "tracing": [tracing]})


def _host(service: str, mesh: MeshSettings) -> pulumi.Input[str]:
    return joined(service, ".", mesh.namespace, ".svc.cluster.local")


def _jwt_rule(service: MeshService) -> dict[str, Any]:
    jwt = service.get("jwt")
    assert jwt is not None
    rule: dict[str, Any] = {"issuer": jwt["issuer"], "jwksUri": jwt["jwks_uri"], "audiences": list(jwt["audiences"])}
    if "header" in jwt:
        rule["fromHeaders"] = [{"name": jwt["header"], "prefix": "Bearer "}]
    # A router that passes it on to a vendor would give it away.
    return {**rule, "forwardOriginalToken": False}


def _sources(service: MeshService, mesh: MeshSettings) -> list[Mapping[str, Any]]:
    """Who may call. Empty sources would match everybody, so there is always one."""
    callers: Sequence[MeshCaller] = callers_of(service, mesh.services) or [{"namespace": mesh.namespace}]
    jwt = service.get("jwt")
    token = {"requestPrincipals": [f"{jwt['issuer']}/*"]} if jwt is not None else {}
    if mesh.mtls is not MutualTls.STRICT:
        # Who has no certificate has no name to go by; the token alone is asked for.
        return [{"source": token}]
    return [{"source": {**_caller(caller, mesh), **token}} for caller in callers]


def _caller(caller: MeshCaller, mesh: MeshSettings) -> Mapping[str, Any]:
    namespace = caller.get("namespace", mesh.namespace)
    if "account" not in caller:
        return {"namespaces": [namespace]}
    return {"principals": [joined(mesh.trust_domain, "/ns/", namespace, "/sa/", caller["account"])]}


def _destination_rule(service: MeshService, mesh: MeshSettings) -> Mapping[str, Any]:
    traffic: dict[str, Any] = {}
    if mesh.mtls is MutualTls.STRICT:
        traffic["tls"] = {"mode": "ISTIO_MUTUAL"}
    breaker = service.get("circuit_breaker")
    if breaker is not None:
        http = {"http1MaxPendingRequests": breaker.get("max_pending_requests"), "http2MaxRequests": breaker.get("max_requests")}
        pool = {
            "tcp": {"maxConnections": breaker["max_connections"]} if "max_connections" in breaker else {},
            "http": {key: value for key, value in http.items() if value is not None},
        }
        traffic["connectionPool"] = {key: value for key, value in pool.items() if value}
    asked = outliers_of(service)
    if asked is not None:
        traffic["outlierDetection"] = {
            "consecutive5xxErrors": asked["consecutive_errors"],
            "interval": seconds(asked["interval_seconds"]),
            "baseEjectionTime": seconds(asked["ejection_seconds"]),
            "maxEjectionPercent": asked["max_ejection_percent"],
        }
    rule = {"host": _host(service["service"], mesh)}
    return {**rule, "trafficPolicy": traffic} if traffic else rule


def _virtual_service(service: MeshService, mesh: MeshSettings) -> Mapping[str, Any]:
    ports = {other["service"]: other["port"] for other in mesh.services}
    route = [
        {"destination": {"host": _host(to, mesh), "port": {"number": ports[to]}}, "weight": weight}
        for to, weight in shares(service).items()
    ]
    retries = service.get("retries")
    # Said even where there are none: Istio's own default is 2.
    tries: dict[str, Any] = {"attempts": 0}
    if retries is not None:
        tries = {"attempts": retries["attempts"], "retryOn": _RETRY_ON}
        if "per_try_seconds" in retries:
            tries["perTryTimeout"] = seconds(retries["per_try_seconds"])
    rule = {"route": route, "timeout": seconds(timeout_of(service)), "retries": tries}
    return {"hosts": [_host(service["service"], mesh)], "http": [rule]}
