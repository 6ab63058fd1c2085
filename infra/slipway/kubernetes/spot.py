"""Servers on nodes that the cloud may take back at short notice, beside a floor of servers on nodes that it may not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypedDict

import pulumi_kubernetes as k8s

from slipway.args import Faults


class SpotNodeLabels(StrEnum):
    """Who labels the nodes that are cheap and may be taken back."""

    KARPENTER = "karpenter"
    """Karpenter, on any cloud: `karpenter.sh/capacity-type: spot`."""
    EKS = "eks"
    """EKS' managed node groups: `eks.amazonaws.com/capacityType: SPOT`."""
    GKE = "gke"
    """Google Kubernetes Engine: `cloud.google.com/gke-spot: true`, a taint of that name too."""
    AKS = "aks"
    """Azure Kubernetes Service: `kubernetes.azure.com/scalesetpriority: spot`, a taint of that name too."""


class SpotServers(TypedDict):
    """How many of `replicas` stay where the cloud takes nothing back; the others run on spot nodes."""

    on_demand: int
    """Servers on other nodes than spot: at least 1, and fewer than `replicas`."""
    nodes: SpotNodeLabels
    """By which label spot nodes are told: 'karpenter', 'eks', 'gke' or 'aks'."""


@dataclass(frozen=True)
class _Nodes:
    key: str
    value: str
    tainted: bool
    notice_seconds: int
    """Between the cloud's warning and the end (EC2 "Spot Instance interruption notices", Compute Engine "Spot VMs", Azure "Spot
    Virtual Machines")."""


_NODES = {
    SpotNodeLabels.KARPENTER: _Nodes("karpenter.sh/capacity-type", "spot", tainted=False, notice_seconds=120),
    SpotNodeLabels.EKS: _Nodes("eks.amazonaws.com/capacityType", "SPOT", tainted=False, notice_seconds=120),
    SpotNodeLabels.GKE: _Nodes("cloud.google.com/gke-spot", "true", tainted=True, notice_seconds=30),
    SpotNodeLabels.AKS: _Nodes("kubernetes.azure.com/scalesetpriority", "spot", tainted=True, notice_seconds=30),
}


@dataclass(frozen=True)
class ServerGroup:
    """Servers of one component that stand on the same kind of nodes: a workload of their own."""

    role: str
    """The workload is called `NAME-ROLE`."""
    replicas: int | None
    """`None`: the autoscaler says how many."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """What tells its pods from those of another group."""
    affinity: k8s.core.v1.AffinityArgsDict | None = None
    tolerations: Sequence[k8s.core.v1.TolerationArgsDict] = ()


def check_spot(given: Mapping[str, Any], faults: Faults) -> None:
    """Refuse a floor that is none, that is all, or that an autoscaler would take away."""
    if "spot" not in given or faults.at("spot"):
        return
    if "scaling" in given:
        faults.add("spot", "goes with a fixed number of servers: an autoscaler would not keep the floor; give 'replicas'")
        return
    floor, replicas = given["spot"]["on_demand"], given.get("replicas", 1)
    if faults.at("replicas"):
        return
    if replicas < 2:
        faults.add("spot", f"is for several servers, and replicas is {replicas}; give 2 or more")
    elif floor < 1:
        faults.add("spot.on_demand", f"is {floor}, which is no floor; give 1 or more, or for spot nodes alone a node_selector")
    elif floor >= replicas:
        faults.add(
            "spot.on_demand", f"is {floor}, and of {replicas} replicas that leaves none for spot nodes; give up to {replicas - 1}"
        )


def groups_of(replicas: int | None, spot: SpotServers | None) -> Sequence[ServerGroup]:
    """The workloads that the servers are divided into: one, or the floor and the rest."""
    if spot is None or replicas is None:
        return (ServerGroup("server", replicas),)
    nodes, floor = _NODES[spot["nodes"]], spot["on_demand"]
    toleration: k8s.core.v1.TolerationArgsDict = {
        "key": nodes.key,
        "operator": "Equal",
        "value": nodes.value,
        "effect": "NoSchedule",
    }
    return (
        # Nodes without the label are no spot nodes, and NotIn takes them too.
        ServerGroup("server", floor, affinity=_affinity(nodes, "NotIn")),
        ServerGroup(
            "spot",
            replicas - floor,
            labels={"app.kubernetes.io/component": "spot"},
            affinity=_affinity(nodes, "In"),
            tolerations=[toleration] if nodes.tainted else [],
        ),
    )


def spot_words(replicas: int, spot: SpotServers) -> str:
    """What it means, for whoever reads the plan."""
    nodes = _NODES[spot["nodes"]]
    return (
        f"spot: {spot['on_demand']} of {replicas} servers stay; the others end {nodes.notice_seconds} s after the cloud's"
        " warning, and longer answers with them"
    )


def _affinity(nodes: _Nodes, operator: str) -> k8s.core.v1.AffinityArgsDict:
    term: k8s.core.v1.NodeSelectorTermArgsDict = {
        "match_expressions": [{"key": nodes.key, "operator": operator, "values": [nodes.value]}]
    }
    return {"node_affinity": {"required_during_scheduling_ignored_during_execution": {"node_selector_terms": [term]}}}
