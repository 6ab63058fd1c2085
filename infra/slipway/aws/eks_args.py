"""What an `EksCluster` is told, checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from slipway.accelerators import GpuNodeLabels, Place, catalogue
from slipway.args import Faults, check_shape
from slipway.aws.sagemaker_rules import bounded, is_name
from slipway.machines import find

NAME_LIMIT = 100
"""Most characters of a cluster's name (EKS API Reference: CreateCluster)."""


class EksNodes(TypedDict):
    """A managed node group."""

    instance_types: Sequence[str]
    """EC2 instance types, such as `g6.2xlarge`; several make spot capacity likelier. All carry the same GPU, or none."""
    min: int
    """Fewest nodes, 0 or more."""
    max: int
    """Most nodes, at least 1. Something must scale within: the Cluster Autoscaler, or you."""
    spot: NotRequired[bool]
    """Whether they are spot instances, which AWS takes back at two minutes' notice. Default false."""
    disk_gib: NotRequired[int]
    """Root volume, in GiB, at least 20. Default 100: engine images take tens of GiB."""


class EksClusterArgs(TypedDict):
    """What an `EksCluster` is told."""

    subnet_ids: Sequence[pulumi.Input[str]]
    """Subnets of control plane and nodes, at least two, in different zones."""
    auto_mode: NotRequired[bool]
    """Whether EKS runs nodes, storage and load balancers itself (EKS Auto Mode). Default true. Without it, give `nodes`."""
    nodes: NotRequired[Mapping[str, EksNodes]]
    """Managed node groups by name, GPU pools among them. Default: none."""
    version: NotRequired[str]
    """Kubernetes version, such as `1.34`. Default: EKS's."""
    public_access_cidrs: Sequence[str]
    """Address ranges that reach the API server from outside. Empty: none do, and Pulumi must run within the VPC."""
    admin_role_arns: NotRequired[Sequence[pulumi.Input[str]]]
    """Roles that administer the cluster, beside the one that makes it. Default: none."""
    deletion_protection: NotRequired[bool]
    """Whether the cluster refuses to be deleted. Default false."""
    tags: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Tags of every resource that takes some. Default: the provider's."""


@dataclass(frozen=True)
class NodeGroup:
    """`EksNodes`, with its defaults."""

    name: str
    instance_types: tuple[str, ...]
    min: int
    max: int
    spot: bool
    disk_gib: int
    gpu_labels: Mapping[str, str] | None
    """Labels that select its GPU, as NVIDIA's GPU Feature Discovery writes them; None without GPUs."""


@dataclass(frozen=True)
class ClusterSettings:
    """`EksClusterArgs`, checked, with its defaults."""

    auto_mode: bool
    groups: tuple[NodeGroup, ...]

    @classmethod
    def of(cls, name: str, args: EksClusterArgs) -> "ClusterSettings":
        """Raises `pulumi.InputPropertiesError` that lists every fault."""
        faults = Faults("EksCluster")
        given = check_shape(args, EksClusterArgs, faults)
        longest = NAME_LIMIT - len("-cluster-0123456")
        if not is_name(name, longest):
            faults.add("name", f"(the component's own) is {name!r}; give at most {longest} letters, digits and '-'")
        if not faults.at("subnet_ids") and len(given["subnet_ids"]) < 2:
            faults.add("subnet_ids", f"has {len(given['subnet_ids'])}; give at least two, in different zones: EKS wants them")
        auto = given.get("auto_mode", True)
        entries = cast("Mapping[str, Mapping[str, Any]]", given.get("nodes", {}))
        if not auto and not entries:
            faults.add("nodes", "is required without 'auto_mode'; give at least one node group")
        groups = [_group(key, entry, faults) for key, entry in entries.items() if not faults.at(f"nodes.{key}")]
        faults.refuse(name)
        return cls(auto, tuple(g for g in groups if g))


def _group(name: str, entry: Mapping[str, Any], faults: Faults) -> NodeGroup | None:
    path = f"nodes.{name}"
    if not is_name(name, 20):
        faults.add(path, "is a name that cannot be; give at most 20 letters, digits and '-'")
    bounded(entry, path, "min", 0, None, faults)
    bounded(entry, path, "max", max(entry["min"], 1), None, faults, "no less than 'min'")
    bounded(entry, path, "disk_gib", 20, None, faults)
    types = entry["instance_types"]
    if not types:
        faults.add(f"{path}.instance_types", "is empty; give at least one")
    for i, kind in enumerate(types):
        if kind.startswith("ml.") or "." not in kind:
            faults.add(f"{path}.instance_types[{i}]", f"is {kind!r}; give a type of EC2, such as 'g6.2xlarge'")
    carried = {_gpu(kind) for kind in types}
    if len(carried) > 1:
        told = ", ".join(f"{kind}: {_gpu(kind) or 'none'}" for kind in types)
        faults.add(f"{path}.instance_types", f"carry different GPUs ({told}); give each its own node group")
    if faults.at(path):
        return None
    (gpu,) = carried
    labels = dict(catalogue()[gpu].labels.get(GpuNodeLabels.GPU_FEATURE_DISCOVERY, {})) if gpu else None
    spot, disk = entry.get("spot", False), entry.get("disk_gib", 100)
    return NodeGroup(name, tuple(types), entry["min"], entry["max"], spot, disk, labels)


def _gpu(instance_type: str) -> str | None:
    return next((machine.accelerator.name for machine in find(Place.EC2, instance_type)), None)
