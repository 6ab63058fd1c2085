"""A service's way in from outside through a gateway (Gateway API), which can split requests between two versions."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi

from slipway.args import Faults, known
from slipway.kubernetes.certificate import CertificateIssuer
from slipway.kubernetes.ingress import PATHS, check_tls, check_ways_in
from slipway.kubernetes.names import check_namespace, check_object_name
from slipway.kubernetes.network import Peer

API_VERSION = "gateway.networking.k8s.io/v1"
_SECONDS_IN_ONE_UNIT = 99999


class HttpRouteExposure(TypedDict):
    """How a gateway leads to a service. Give `gateway`, one that exists, or `gateway_class`, to make one for this service."""

    hosts: Sequence[str]
    """Names under which it is reached, such as `api.example.com`, or `*.example.com` for all names below. At most 16."""
    gateway: NotRequired[pulumi.Input[str]]
    """Name of a Gateway that exists. Its listener has the certificate, and must let routes of the service's namespace attach."""
    gateway_namespace: NotRequired[pulumi.Input[str]]
    """Namespace of that Gateway. Default: the service's own."""
    listener: NotRequired[pulumi.Input[str]]
    """Name of one listener (`sectionName`) of that Gateway. Default: all whose host and protocol fit."""
    gateway_class: NotRequired[pulumi.Input[str]]
    """GatewayClass of a Gateway of its own, with a listener for each host. Excludes `gateway`."""
    tls_secret: NotRequired[pulumi.Input[str]]
    """For a Gateway of its own: name of a Secret of type `kubernetes.io/tls` in the service's namespace, with a certificate for
    all `hosts`. Give this, `certificate` or `plain_http` then. With `gateway`, the listener has it."""
    certificate: NotRequired[CertificateIssuer]
    """For a Gateway of its own: have cert-manager get that certificate and renew it. Excludes `tls_secret`."""
    plain_http: NotRequired[bool]
    """Serve without TLS, on port 80. Excludes `tls_secret` and `certificate`. Default false. With `gateway` it only tells the
    outputs."""
    proxies: NotRequired[Sequence[Peer]]
    """Whose pods the gateway's requests come from, or for a cloud's load balancer its address ranges by `cidr`. The network
    policy lets in these and no others. Default with `gateway`: every pod of the Gateway's namespace. Required with
    `gateway_class`, since only its controller knows."""
    paths: NotRequired[Sequence[str]]
    """Path prefixes that are let through. Default `["/v1"]`: the API, without metrics, health and documentation."""
    timeout_seconds: NotRequired[int]
    """How long a whole answer may take at the gateway, in seconds. Default: the longest `timeouts.total` of the backends. 0
    leaves the field out, for gateways that do not have it: these end streams by a policy of their own."""


def check_http_route(path: str, route: Mapping[str, Any], stream_seconds: int, faults: Faults) -> None:
    """Refuse a route to no gateway or to two, one that cuts streams, and what only a Gateway of its own can have.

    Args:
        path: Where it stands in the arguments.
        route: What was given.
        stream_seconds: Longest answer that any backend may give.
        faults: Where to tell what is wrong.
    """
    check_ways_in(path, route, faults)
    for key in ("gateway", "gateway_class", "listener"):
        if not faults.at(f"{path}.{key}"):
            known(route.get(key), lambda name, key=key: check_object_name(f"{path}.{key}", name, faults))
    if not faults.at(f"{path}.gateway_namespace"):
        known(route.get("gateway_namespace"), lambda plain: check_namespace(f"{path}.gateway_namespace", plain, faults))
    if "gateway" in route and "gateway_class" in route:
        faults.add(f"{path}.gateway_class", "cannot go with 'gateway'; give the one to make a Gateway, the other to use one")
    elif "gateway_class" in route:
        check_tls(path, route, "with a certificate for the hosts", faults)
        for key in ("gateway_namespace", "listener"):
            if key in route:
                faults.add(
                    f"{path}.{key}", "is about a Gateway that exists; give 'gateway' instead of 'gateway_class', or leave it out"
                )
        if "proxies" not in route:
            faults.add(
                f"{path}.proxies",
                "is required with 'gateway_class', since only its controller knows from where requests will come: give"
                " [{'namespace': ...}] of its proxies, [{'pod_labels': {}}] for the service's own namespace, or [{'cidr': ...}]",
            )
    elif "gateway" not in route and not faults.at(f"{path}.gateway"):
        faults.add(f"{path}.gateway", "is required: name a Gateway that exists, or give 'gateway_class' to make one")
    for key in ("tls_secret", "certificate"):
        if key in route and "gateway" in route and "gateway_class" not in route:
            faults.add(f"{path}.{key}", "is of no use with 'gateway', whose listener has the certificate; leave it out")
    seconds = route.get("timeout_seconds")
    if isinstance(seconds, int) and not faults.at(f"{path}.timeout_seconds") and seconds != 0:
        if seconds < 0:
            faults.add(f"{path}.timeout_seconds", f"is {seconds}; give seconds, or 0 to leave the gateway its own")
        elif seconds < stream_seconds:
            faults.add(
                f"{path}.timeout_seconds",
                f"is {seconds}, and a backend may answer for {stream_seconds}: the gateway would cut the stream; give at least"
                f" {stream_seconds}, or lower the backends' 'timeouts.total'",
            )


def peers(route: HttpRouteExposure) -> list[Peer]:
    """Who may connect on behalf of the gateway."""
    if "proxies" in route:
        return list(route["proxies"])
    if "gateway_namespace" in route:
        return [{"namespace": route["gateway_namespace"]}]
    return [{"pod_labels": {}}]


def gateway_spec(route: HttpRouteExposure, secret: pulumi.Input[str] | None) -> dict[str, Any]:
    """A Gateway with one listener for each host, for routes of its own namespace.

    Args:
        route: What was asked for, checked.
        secret: Name of the Secret with the certificate. `None`: it serves without TLS.
    """

    def listener(i: int, host: str) -> dict[str, Any]:
        common = {"hostname": host, "allowedRoutes": {"namespaces": {"from": "Same"}}}
        if secret is None:
            return {"name": f"http-{i}", "port": 80, "protocol": "HTTP", **common}
        # Group and kind are what the API server would fill in; said here, a refresh finds no difference.
        certificate = {"group": "", "kind": "Secret", "name": secret}
        tls = {"mode": "Terminate", "certificateRefs": [certificate]}
        return {"name": f"https-{i}", "port": 443, "protocol": "HTTPS", "tls": tls, **common}

    return {
        "gatewayClassName": route.get("gateway_class"),
        "listeners": [listener(i, host) for i, host in enumerate(route["hosts"])],
    }


def route_spec(
    route: HttpRouteExposure, gateway: pulumi.Input[str], services: Mapping[str, int], stream_seconds: int
) -> dict[str, Any]:
    """An HTTPRoute from a gateway to Services.

    Args:
        route: What was asked for, checked.
        gateway: Name of the Gateway.
        services: Names of the Services, each with its share of requests in percent.
        stream_seconds: Longest answer that any backend may give.
    """
    parent: dict[str, Any] = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway}
    if "gateway_namespace" in route:
        parent["namespace"] = route["gateway_namespace"]
    if "listener" in route:
        parent["sectionName"] = route["listener"]
    rule: dict[str, Any] = {
        "matches": [{"path": {"type": "PathPrefix", "value": path}} for path in route.get("paths", PATHS)],
        "backendRefs": [
            {"group": "", "kind": "Service", "name": name, "port": 80, "weight": weight} for name, weight in services.items()
        ],
    }
    seconds = route.get("timeout_seconds", stream_seconds)
    if seconds:
        rule["timeouts"] = {"request": duration(seconds)}
    return {"parentRefs": [parent], "hostnames": list(route["hosts"]), "rules": [rule]}


def duration(seconds: int) -> str:
    """Seconds as the Gateway API writes them: at most five digits a unit (GEP-2257)."""
    if seconds <= _SECONDS_IN_ONE_UNIT:
        return f"{seconds}s"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s"
