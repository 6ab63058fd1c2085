"""The certificate of a service's names, which cert-manager gets and renews."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, known
from slipway.kubernetes.names import check_object_name

API_VERSION = "cert-manager.io/v1"


class IssuerKind(StrEnum):
    """Where an issuer of cert-manager stands."""

    CLUSTER_ISSUER = "ClusterIssuer"
    """For the whole cluster."""
    ISSUER = "Issuer"
    """In the service's own namespace."""


class CertificateIssuer(TypedDict):
    """Who issues a certificate. cert-manager must be in the cluster, and the issuer must be there."""

    name: pulumi.Input[str]
    """Name of the issuer."""
    kind: NotRequired[IssuerKind]
    """'ClusterIssuer' or 'Issuer'. Default 'ClusterIssuer'."""


def check_issuer(path: str, issuer: Mapping[str, Any], faults: Faults) -> None:
    """Refuse what is no name of an issuer."""
    if not faults.at(f"{path}.name"):
        known(issuer.get("name"), lambda name: check_object_name(f"{path}.name", name, faults))


def tls_secret(exposure: Mapping[str, Any], owner: str) -> pulumi.Input[str] | None:
    """Name of the Secret with the certificate: the one given, or the one that cert-manager fills. `None` without TLS.

    Args:
        exposure: An `IngressExposure` or `HttpRouteExposure`, checked.
        owner: Name of what ends TLS.
    """
    return f"{owner}-tls" if "certificate" in exposure else exposure.get("tls_secret")


def certify(owner: str, exposure: Mapping[str, Any], meta: k8s.meta.v1.ObjectMetaArgsDict, opts: pulumi.ResourceOptions) -> None:
    """Ask cert-manager for the certificate that an exposure wants of it; nothing where it wants none.

    Nothing waits for the certificate: an issuer may prove the names by requests that come through the very thing that has it.
    """
    if "certificate" not in exposure:
        return
    k8s.apiextensions.CustomResource(
        f"{owner}-certificate",
        api_version=API_VERSION,
        kind="Certificate",
        metadata={**meta, "name": f"{owner}-certificate"},
        spec=certificate_spec(exposure["hosts"], exposure["certificate"], f"{owner}-tls"),
        opts=opts,
    )


def certificate_spec(hosts: Sequence[str], issuer: CertificateIssuer, secret: str) -> dict[str, Any]:
    """A certificate for these names, in this Secret, with a new key at each renewal."""
    return {
        "secretName": secret,
        "dnsNames": list(hosts),
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        "issuerRef": {
            "group": "cert-manager.io",
            "kind": str(issuer.get("kind", IssuerKind.CLUSTER_ISSUER)),
            "name": issuer["name"],
        },
    }
