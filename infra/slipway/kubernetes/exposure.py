"""The ways into a service from outside, made of its arguments: an Ingress, or a route from a gateway."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import http_route
from slipway.kubernetes.certificate import certify, tls_secret
from slipway.kubernetes.http_route import HttpRouteExposure, gateway_spec, route_spec
from slipway.kubernetes.ingress import IngressExposure, ingress_spec


def expose_by_ingress(
    name: str,
    ingress: IngressExposure,
    meta: k8s.meta.v1.ObjectMetaArgsDict,
    *,
    awaited: bool,
    parent: pulumi.Resource,
    before: Sequence[pulumi.Resource],
) -> None:
    """Make an Ingress to the Service of the same name as the component.

    Args:
        name: The component's name.
        ingress: What was asked for, checked.
        meta: Namespace and labels.
        awaited: Whether there is a replica. Pulumi would wait for ever for an Ingress to a Service without one.
        parent: The component.
        before: What has to be there before.
    """
    certify(f"{name}-ingress", ingress, meta, pulumi.ResourceOptions(parent=parent, depends_on=list(before)))
    unawaited = {} if awaited else {"pulumi.com/skipAwait": "true"}
    k8s.networking.v1.Ingress(
        f"{name}-ingress",
        metadata={**meta, "name": f"{name}-ingress", "annotations": {**unawaited, **ingress.get("annotations", {})}},
        spec=ingress_spec(ingress, name),
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(before)),
    )


def expose_by_route(
    name: str,
    route: HttpRouteExposure,
    services: Mapping[str, int],
    stream_seconds: int,
    meta: k8s.meta.v1.ObjectMetaArgsDict,
    *,
    parent: pulumi.Resource,
    base: Sequence[pulumi.Resource],
    ready: Sequence[pulumi.Resource],
) -> None:
    """Make an HTTPRoute to Services, and a Gateway of its own where that was asked for.

    Args:
        name: The component's name.
        route: What was asked for, checked.
        services: Names of the Services, each with its share of requests in percent.
        stream_seconds: Longest answer that any backend may give.
        meta: Namespace and labels.
        parent: The component.
        base: What has to be there before anything.
        ready: What has to be ready before the shares change: every version that gets requests.
    """
    gateway: pulumi.Input[str] | None = route.get("gateway")
    before = [*base, *ready]
    if gateway is None:
        gateway = own = f"{name}-gateway"
        certify(own, route, meta, pulumi.ResourceOptions(parent=parent, depends_on=list(base)))
        before.append(
            k8s.apiextensions.CustomResource(
                f"{name}-gateway",
                api_version=http_route.API_VERSION,
                kind="Gateway",
                # Its controller gives it an address and opens its ports only then (Gateway API, "Programmed").
                metadata={**meta, "name": gateway, "annotations": {"pulumi.com/waitFor": "condition=Programmed"}},
                spec=gateway_spec(route, tls_secret(route, own)),
                opts=pulumi.ResourceOptions(parent=parent, depends_on=list(base)),
            )
        )
    k8s.apiextensions.CustomResource(
        f"{name}-route",
        api_version=http_route.API_VERSION,
        kind="HTTPRoute",
        metadata={**meta, "name": f"{name}-route"},
        spec=route_spec(route, gateway, services, stream_seconds),
        opts=pulumi.ResourceOptions(parent=parent, depends_on=before),
    )


def public_urls(ingress: IngressExposure | None, route: HttpRouteExposure | None) -> list[str]:
    """Addresses from outside, each once: a name with `*` stands for many and is told as it is."""
    return list(
        dict.fromkeys(
            f"{'http' if way.get('plain_http') else 'https'}://{host}"
            for way in (ingress, route)
            if way is not None
            for host in way["hosts"]
        )
    )
