"""A service's way in from outside through an Ingress."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, known
from slipway.kubernetes.certificate import CertificateIssuer, check_issuer, tls_secret
from slipway.kubernetes.hosts import check_hosts, check_paths
from slipway.kubernetes.names import check_annotations, check_object_name
from slipway.kubernetes.network import Peer, check_peer

PATHS = ("/v1",)
"""What callers need: OpenAI's API. Metrics and health stay inside."""


class IngressExposure(TypedDict):
    """How an Ingress leads to a service. Its controller must be there, and let an answer take as long as the longest stream: by
    an annotation of its own, since Ingress has no field for it."""

    hosts: Sequence[str]
    """Names under which it is reached, such as `api.example.com`, or `*.example.com` for all names one level below. At most
    16."""
    proxies: Sequence[Peer]
    """Whose pods the controller's requests come from, such as `[{"namespace": "ingress-nginx"}]`, or for a cloud's load balancer
    its address ranges by `cidr`. The network policy lets in these and no others."""
    ingress_class: NotRequired[pulumi.Input[str]]
    """IngressClass. Default: the cluster's default class."""
    tls_secret: NotRequired[pulumi.Input[str]]
    """Name of a Secret of type `kubernetes.io/tls` in the service's namespace, with a certificate for all `hosts`. Give this,
    `certificate` or `plain_http`."""
    certificate: NotRequired[CertificateIssuer]
    """Have cert-manager get that certificate and renew it. Excludes `tls_secret`."""
    plain_http: NotRequired[bool]
    """Serve without TLS, or behind something that ends TLS itself. Excludes `tls_secret` and `certificate`. Default false."""
    paths: NotRequired[Sequence[str]]
    """Path prefixes that are let through. Default `["/v1"]`: the API, without metrics, health and documentation."""
    annotations: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Annotations of the Ingress, such as cert-manager's issuer or a controller's time limits. Default none."""


def check_ingress(path: str, ingress: Mapping[str, Any], faults: Faults) -> None:
    """Refuse an Ingress without a host, without TLS that nobody renounced, or whose controller the network policy would shut
    out."""
    check_ways_in(path, ingress, faults)
    check_tls(path, ingress, "with a certificate for the hosts", faults)
    check_annotations(f"{path}.annotations", ingress.get("annotations"), faults)
    if not faults.at(f"{path}.ingress_class"):
        known(ingress.get("ingress_class"), lambda name: check_object_name(f"{path}.ingress_class", name, faults))


def check_ways_in(path: str, exposure: Mapping[str, Any], faults: Faults) -> None:
    """The checks of hosts, paths and proxies, which every way in has."""
    for key, check in (("hosts", check_hosts), ("paths", check_paths)):
        if key in exposure and not faults.at(f"{path}.{key}"):
            check(f"{path}.{key}", cast("Sequence[object]", exposure[key]), faults)
    if "proxies" not in exposure or faults.at(f"{path}.proxies"):
        return
    proxies = cast("Sequence[Peer]", exposure["proxies"])
    if not proxies:
        faults.add(f"{path}.proxies", "is empty, so that nobody could come in; give [{'namespace': ...}] or [{'cidr': ...}]")
    for i, peer in enumerate(proxies):
        check_peer(f"{path}.proxies[{i}]", peer, faults)


def check_tls(path: str, exposure: Mapping[str, Any], what: str, faults: Faults) -> None:
    """Refuse more than one of `tls_secret`, `certificate` and `plain_http`, and none."""
    given = [key for key in ("tls_secret", "certificate") if key in exposure]
    if exposure.get("plain_http") is True and given:
        faults.add(f"{path}.plain_http", f"cannot go with '{given[0]}'; give one of the two")
    elif len(given) > 1:
        faults.add(f"{path}.certificate", "cannot go with 'tls_secret'; give one of the two")
    elif exposure.get("plain_http") is not True and not given and not faults.at(f"{path}.plain_http"):
        told = f"is required: name a Secret {what}, give 'certificate' to have cert-manager get one, or 'plain_http': True"
        faults.add(f"{path}.tls_secret", f"{told} to serve without TLS")
    if not faults.at(f"{path}.tls_secret"):
        known(exposure.get("tls_secret"), lambda name: check_object_name(f"{path}.tls_secret", name, faults))
    if "certificate" in exposure and not faults.at(f"{path}.certificate"):
        check_issuer(f"{path}.certificate", exposure["certificate"], faults)


def ingress_spec(ingress: IngressExposure, service: str) -> k8s.networking.v1.IngressSpecArgsDict:
    """Every host's paths to the port `http` of one Service."""
    paths: list[k8s.networking.v1.HTTPIngressPathArgsDict] = [
        {"path": path, "path_type": "Prefix", "backend": {"service": {"name": service, "port": {"name": "http"}}}}
        for path in ingress.get("paths", PATHS)
    ]
    spec: k8s.networking.v1.IngressSpecArgsDict = {
        "rules": [{"host": host, "http": {"paths": paths}} for host in ingress["hosts"]]
    }
    if "ingress_class" in ingress:
        spec["ingress_class_name"] = ingress["ingress_class"]
    secret = tls_secret(ingress, f"{service}-ingress")
    if secret is not None:
        spec["tls"] = [{"hosts": list(ingress["hosts"]), "secret_name": secret}]
    return spec
