"""Which pods may connect to which, by a cluster's NetworkPolicies, read as Kubernetes' guide has them: kwok's nodes carry no
traffic that a network plugin could refuse."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from tests.cluster.cases import Object
from tests.cluster.cluster import Cluster


def may_connect(cluster: Cluster, source: Object, target: Object, port: int) -> bool:
    """Whether policies let one pod connect to a TCP port of another of the same namespace: both must, the one's egress and the
    other's ingress."""
    namespace = source["metadata"]["namespace"]
    policies = [p["spec"] for p in cluster.items("networkpolicies", "--namespace", namespace)]
    labels = cluster.get("namespace", namespace)["metadata"].get("labels", {})

    def allowed(pod: Object, other: Object, direction: str, peers: str) -> bool:
        selecting = [p for p in policies if direction in p["policyTypes"] and _selected(p["podSelector"], _labels(pod))]
        rules = [rule for p in selecting for rule in p.get(direction.lower(), ())]
        fits = any(_fits(rule, peers, _labels(other), labels, target, port) for rule in rules)
        return not selecting or fits

    return allowed(source, target, "Egress", "to") and allowed(target, source, "Ingress", "from")


def _fits(rule: Object, peers: str, other: Mapping[str, str], namespace: Mapping[str, str], target: Object, port: int) -> bool:
    places = cast("Sequence[Object]", rule.get(peers, ()))
    # Pods are told by their labels, never by an address.
    reached = not places or any(
        "ipBlock" not in place
        and _selected(place.get("podSelector", {}), other)
        and ("namespaceSelector" not in place or _selected(place["namespaceSelector"], namespace))
        for place in places
    )
    ports = cast("Sequence[Object]", rule.get("ports", ()))
    named = {p["name"]: p["containerPort"] for c in target["spec"]["containers"] for p in c.get("ports", ()) if "name" in p}
    through = not ports or any(
        p.get("protocol", "TCP") == "TCP" and ("port" not in p or named.get(p["port"], p["port"]) == port) for p in ports
    )
    return reached and through


def _selected(selector: Object, labels: Mapping[str, str]) -> bool:
    wanted: Mapping[str, Any] = selector.get("matchLabels", {})
    assert not selector.get("matchExpressions"), "teach this file expressions"
    return all(labels.get(key) == value for key, value in wanted.items())


def _labels(pod: Object) -> Mapping[str, str]:
    return pod["metadata"]["labels"]
