"""What a ServiceMesh is in Consul: its configuration entries, service by service."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from slipway.kubernetes.mesh_object import MeshObject
from slipway.kubernetes.mesh_service import MeshService, callers_of, outliers_of, seconds, shares, timeout_of
from slipway.kubernetes.service_mesh_args import SAMPLING_PERCENT, MeshSettings, MutualTls

API_VERSION = "consul.hashicorp.com/v1alpha1"


def objects(name: str, mesh: MeshSettings) -> Iterator[MeshObject]:
    """All of them. Consul finds an entry by the service's name, so that is what most are called."""
    for service in mesh.services:
        own, called = f"{name}-{service['service']}", service["service"]
        yield MeshObject(f"{own}-defaults", API_VERSION, "ServiceDefaults", called, _defaults(service, mesh))
        if mesh.mtls is MutualTls.STRICT or "jwt" in service:
            yield MeshObject(f"{own}-callers", API_VERSION, "ServiceIntentions", called, _intentions(own, service, mesh))
        if "jwt" in service:
            yield MeshObject(f"{own}-jwt", API_VERSION, "JWTProvider", own, _jwt_provider(service))
        after = mesh.after(service)
        yield MeshObject(f"{own}-routes", API_VERSION, "ServiceRouter", called, _router(service), after=after)
        if service.get("split"):
            splits = [{"service": to, "weight": weight} for to, weight in shares(service).items()]
            yield MeshObject(f"{own}-split", API_VERSION, "ServiceSplitter", called, {"splits": splits}, after=after)
    if mesh.tracing is not None:
        # One entry for all of Consul: its name is fixed.
        yield MeshObject(f"{name}-tracing", API_VERSION, "ProxyDefaults", "global", _tracing(mesh))


def _defaults(service: MeshService, mesh: MeshSettings) -> Mapping[str, Any]:
    spec: dict[str, Any] = {
        "protocol": "http",
        "mutualTLSMode": "strict" if mesh.mtls is MutualTls.STRICT else "permissive",
        # Consul's own are 15 seconds, at the proxy beside the server too.
        "localRequestTimeoutMs": round(timeout_of(service) * 1000),
    }
    called = set(service.get("calls", ()))
    upstreams = [_upstream(other) for other in mesh.services if other["service"] in called]
    overrides = [upstream for upstream in upstreams if len(upstream) > 1]
    return {**spec, "upstreamConfig": {"overrides": overrides}} if overrides else spec


def _upstream(service: MeshService) -> Mapping[str, Any]:
    """What a caller heeds of a service. Nothing but the name: nothing was asked for."""
    upstream: dict[str, Any] = {"name": service["service"]}
    names = {
        "max_connections": "maxConnections",
        "max_requests": "maxConcurrentRequests",
        "max_pending_requests": "maxPendingRequests",
    }
    breaker: Mapping[str, Any] = service.get("circuit_breaker", {})
    if breaker:
        upstream["limits"] = {names[key]: value for key, value in breaker.items()}
    asked = outliers_of(service)
    if asked is not None:
        upstream["passiveHealthCheck"] = {
            "interval": seconds(asked["interval_seconds"]),
            "maxFailures": asked["consecutive_errors"],
            "enforcingConsecutive5xx": 100,
            "maxEjectionPercent": asked["max_ejection_percent"],
            "baseEjectionTime": seconds(asked["ejection_seconds"]),
        }
    return upstream


def _intentions(own: str, service: MeshService, mesh: MeshSettings) -> Mapping[str, Any]:
    """Callers by name, and nobody else; without callers, every service of the mesh."""
    callers = callers_of(service, mesh.services) if mesh.mtls is MutualTls.STRICT else []
    sources = [{"name": caller.get("account"), "action": "allow"} for caller in callers]
    sources.append({"name": "*", "action": "deny" if callers else "allow"})
    spec: dict[str, Any] = {"destination": {"name": service["service"]}, "sources": sources}
    return {**spec, "jwt": {"providers": [{"name": own}]}} if "jwt" in service else spec


def _jwt_provider(service: MeshService) -> Mapping[str, Any]:
    jwt = service.get("jwt")
    assert jwt is not None
    return {
        "issuer": jwt["issuer"],
        "audiences": list(jwt["audiences"]),
        "jsonWebKeySet": {"remote": {"uri": jwt["jwks_uri"], "fetchAsynchronously": True}},
        # Not passed on: a router that sends it to a vendor would give it away.
        "locations": [{"header": {"name": jwt.get("header", "Authorization"), "valuePrefix": "Bearer ", "forward": False}}],
    }


def _router(service: MeshService) -> Mapping[str, Any]:
    timeout = seconds(timeout_of(service))
    # Consul's own bound for the whole is 15 seconds, and Envoy's for silence in a stream 5 minutes.
    destination: dict[str, Any] = {"requestTimeout": timeout, "idleTimeout": timeout}
    retries = service.get("retries")
    if retries is not None:
        destination |= {"numRetries": retries["attempts"], "retryOnConnectFailure": True, "retryOnStatusCodes": [503]}
    return {"routes": [{"match": {"http": {"pathPrefix": "/"}}, "destination": destination}]}


def _tracing(mesh: MeshSettings) -> Mapping[str, Any]:
    assert mesh.tracing is not None
    host, _, port = mesh.tracing.get("address", "").rpartition(":")
    endpoint = {"address": {"socket_address": {"address": host, "port_value": int(port)}}}
    cluster: Mapping[str, Any] = {
        "name": "slipway_otlp",
        "type": "STRICT_DNS",
        "connect_timeout": "3s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {"cluster_name": "slipway_otlp", "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
    }
    provider = {
        "name": "envoy.tracers.opentelemetry",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
            "grpc_service": {"envoy_grpc": {"cluster_name": "slipway_otlp"}},
        },
    }
    tracing = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing",
        "provider": provider,
        "random_sampling": {"value": mesh.tracing.get("sampling_percent", SAMPLING_PERCENT)},
    }
    return {
        "config": {
            "envoy_extra_static_clusters_json": json.dumps(cluster, sort_keys=True),
            "envoy_listener_tracing_json": json.dumps(tracing, sort_keys=True),
        }
    }
