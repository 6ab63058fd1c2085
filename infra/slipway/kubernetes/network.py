"""Who may connect to a pod and where it may connect to: everything else is refused."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, known
from slipway.backend import Egress
from slipway.kubernetes.names import check_labels, check_namespace

ANYWHERE = ("0.0.0.0/0", "::/0")
SAME_NAMESPACE: "Peer" = {"pod_labels": {}}
PROMETHEUS: "Peer" = {"namespace": "monitoring", "pod_labels": {"app.kubernetes.io/name": "prometheus"}}
"""Where the charts kube-prometheus-stack and prometheus put it by custom, labelled as both label it."""
OURS: "Peer" = {"pod_labels": {"app.kubernetes.io/part-of": "slipway"}}
"""Every pod that this library runs in the same namespace."""


class Peer(TypedDict):
    """Who may connect. Give `namespace`, `pod_labels` or both, or else `cidr`."""

    namespace: NotRequired[pulumi.Input[str]]
    """Namespace of the pods. Default: the service's own."""
    pod_labels: NotRequired[Mapping[str, str]]
    """Labels that the pods have. Default, and `{}`: every pod of the namespace."""
    cidr: NotRequired[str]
    """Address range outside the cluster, such as `10.0.0.0/8`."""


def check_peer(path: str, peer: Peer, faults: Faults) -> None:
    """Refuse a peer that would match nobody, everybody, or something else than it says."""
    _check_place(path, peer, faults)
    if not ("cidr" in peer or "pod_labels" in peer or "namespace" in peer):
        faults.add(path, "names nobody; give 'namespace', 'pod_labels' ({} for every pod) or 'cidr'")


def check_egress(path: str, egress: Egress, faults: Faults) -> None:
    """Refuse a way out without an address, with two, or with a port that does not exist."""
    _check_place(path, egress, faults)
    if not ("cidr" in egress or "pod_labels" in egress):
        faults.add(path, "has no address; give 'pod_labels' or 'cidr'")
    port = cast("Mapping[str, object]", egress).get("port")
    if isinstance(port, int) and not 1 <= port <= 65535:
        faults.add(f"{path}.port", f"is {port}; give 1 to 65535")


def _check_place(path: str, place: Peer | Egress, faults: Faults) -> None:
    if "cidr" in place and ("pod_labels" in place or "namespace" in place):
        faults.add(
            path, "has 'cidr' beside 'pod_labels' or 'namespace'; give an address range or pods, as two entries where both"
        )
    cidr: object = place.get("cidr")
    if isinstance(cidr, str):
        try:
            ipaddress.ip_network(cidr)
        except ValueError as error:
            faults.add(f"{path}.cidr", f"is {cidr!r}: {error}; give an address range such as '10.0.0.0/8'")
    check_labels(f"{path}.pod_labels", place.get("pod_labels"), faults)
    known(
        place.get("namespace"),
        lambda plain: None if faults.at(f"{path}.namespace") else check_namespace(f"{path}.namespace", plain, faults),
    )


def isolate(
    pods: Mapping[str, str], port: int, ingress: Sequence[Peer], egress: Sequence[Egress]
) -> k8s.networking.v1.NetworkPolicySpecArgsDict:
    """A policy under which pods are reached on one port by `ingress`, and reach DNS and `egress`.

    Kubelet's probes come from the pod's own node, which no policy shuts out (Kubernetes, "Network Policies").

    Args:
        pods: Labels of the pods that it is about.
        port: TCP port of the pods. Policies see it after a Service's translation, so it is not the Service's.
        ingress: Who may connect to that port. Empty: nobody.
        egress: Where the pods may connect to. Empty: nowhere but DNS.
    """
    return opened(pods, {port: ingress}, egress)


def opened(
    pods: Mapping[str, str], ingress: Mapping[int, Sequence[Peer]], egress: Sequence[Egress]
) -> k8s.networking.v1.NetworkPolicySpecArgsDict:
    """As `isolate`, with a list of who may connect for each of several ports."""
    spec: k8s.networking.v1.NetworkPolicySpecArgsDict = {
        "pod_selector": _selector(pods),
        "policy_types": ["Ingress", "Egress"],
    }
    # A rule with an empty list of peers would mean everybody. And an empty list of rules, which means nobody, is left out: the
    # API server keeps none, so it would count every apply as a change.
    rules: list[k8s.networking.v1.NetworkPolicyIngressRuleArgsDict] = [
        {"from_": [_peer(p) for p in peers], "ports": [{"protocol": "TCP", "port": port}]}
        for port, peers in ingress.items()
        if peers
    ]
    if rules:
        spec["ingress"] = rules
    ways_out: list[k8s.networking.v1.NetworkPolicyEgressRuleArgsDict] = [dns()]
    for way in egress:
        rule = _way_out(way)
        if rule not in ways_out:
            ways_out.append(rule)
    return {**spec, "egress": ways_out}


def admitting(pods: Mapping[str, str], port: int, peers: Sequence[Peer]) -> k8s.networking.v1.NetworkPolicySpecArgsDict:
    """A policy that lets some in beside those whom another policy of the same pods does: policies add up."""
    return {
        "pod_selector": _selector(pods),
        "policy_types": ["Ingress"],
        "ingress": [{"from_": [_peer(p) for p in peers], "ports": [{"protocol": "TCP", "port": port}]}],
    }


def with_each_other(
    spec: k8s.networking.v1.NetworkPolicySpecArgsDict, pods: Mapping[str, str]
) -> k8s.networking.v1.NetworkPolicySpecArgsDict:
    """The same for pods that work together: they also reach each other, on every port, as NCCL takes any."""
    each_other: k8s.networking.v1.NetworkPolicyPeerArgsDict = {"pod_selector": {"match_labels": pods}}
    ingress = cast("Sequence[k8s.networking.v1.NetworkPolicyIngressRuleArgsDict]", spec.get("ingress", ()))
    egress = cast("Sequence[k8s.networking.v1.NetworkPolicyEgressRuleArgsDict]", spec.get("egress", ()))
    return {**spec, "ingress": [*ingress, {"from_": [each_other]}], "egress": [*egress, {"to": [each_other]}]}


def dns() -> k8s.networking.v1.NetworkPolicyEgressRuleArgsDict:
    """The cluster's DNS, which CoreDNS too serves under the label `k8s-app: kube-dns`."""
    return {
        "to": [
            {
                "namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": "kube-system"}},
                "pod_selector": {"match_labels": {"k8s-app": "kube-dns"}},
            }
        ],
        "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
    }


def anywhere(port: int) -> list[Egress]:
    """Every address, IPv4 and IPv6, on one TCP port: for APIs whose addresses nobody can know beforehand."""
    return [{"port": port, "cidr": cidr} for cidr in ANYWHERE]


def _way_out(way: Egress) -> k8s.networking.v1.NetworkPolicyEgressRuleArgsDict:
    return {"to": [_peer(way)], "ports": [{"protocol": "TCP", "port": way["port"]}]}


def _peer(place: Peer | Egress) -> k8s.networking.v1.NetworkPolicyPeerArgsDict:
    if "cidr" in place:
        return {"ip_block": {"cidr": place["cidr"]}}
    selected: k8s.networking.v1.NetworkPolicyPeerArgsDict = {"pod_selector": _selector(place.get("pod_labels", {}))}
    if "namespace" in place:
        selected["namespace_selector"] = {"match_labels": {"kubernetes.io/metadata.name": place["namespace"]}}
    return selected


def _selector(labels: Mapping[str, str]) -> k8s.meta.v1.LabelSelectorArgsDict:
    # Empty labels are left out for the same reason as empty rules: `{}` selects every pod just as well.
    return {"match_labels": labels} if labels else {}
