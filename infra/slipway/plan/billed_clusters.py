"""Control planes, node groups and node pools: what a cluster costs before anything runs in it."""

import re
from collections.abc import Iterator, Sequence
from typing import cast

from slipway.accelerators import Place
from slipway.cluster_prices import control_plane
from slipway.plan.billed_item import Billed, read
from slipway.plan.billed_note import note
from slipway.plan.inputs import mapping, whole
from slipway.plan.plan import Plan, Resource
from slipway.prices import FILE, Rates

EKS, GKE = "aws:eks/cluster:Cluster", "gcp:container/cluster:Cluster"
NODES = frozenset({"aws:eks/nodeGroup:NodeGroup", "gcp:container/nodePool:NodePool"})
"""Nodes whose number the plan tells, and on which the stack's pods run."""
ZONES = 3
"""Zones in which a GKE cluster of a region has its nodes, unless it says which (GKE, "Regional clusters")."""


def where(plan: Plan, rates: Rates) -> tuple[Place | None, str | None]:
    """In whose cluster, and in which region, a stack's pods and volumes are, as far as that is known."""
    if rates.own.cluster:
        return rates.own.cluster.place, rates.own.cluster.region
    for resource in plan:
        if resource.type == EKS:
            return Place.EC2, _text(resource.inputs.get("region"))
        if resource.type == GKE:
            return Place.GCE, _region(resource)
    return None, None


def clusters(resource: Resource, rates: Rates) -> Iterator[Billed]:
    """The line of a cluster, a node group or a node pool; none for anything else."""
    if resource.type in (EKS, GKE):
        yield _control_plane(resource, rates)
    elif resource.type == "aws:eks/nodeGroup:NodeGroup":
        yield _node_group(resource, rates)
    elif resource.type == "gcp:container/nodePool:NodePool":
        yield _node_pool(resource, rates)


def _control_plane(resource: Resource, rates: Rates) -> Billed:
    eks = resource.type == EKS
    price = control_plane(rates, Place.EC2 if eks else Place.GCE)
    what = "control plane of EKS" if eks else "control plane of GKE"
    if price is None:
        return Billed(resource, what, 1, 1, None, f"no price of it is known; give control_plane_usd_per_hour in {FILE}")
    told = read(price)
    if eks and mapping(resource.inputs.get("computeConfig")).get("enabled") is True:
        told += ", without Auto Mode's fee on each node"
    return Billed(resource, what, 1, 1, price, told)


def _node_group(resource: Resource, rates: Rates) -> Billed:
    scaling = mapping(resource.inputs.get("scalingConfig"))
    least, most = whole(scaling.get("minSize")), whole(scaling.get("maxSize"))
    name = next((_text(kind) for kind in _list(resource.inputs.get("instanceTypes"))), None)
    region = _text(resource.inputs.get("region")) or (rates.own.cluster.region if rates.own.cluster else None)
    spot = resource.inputs.get("capacityType") == "SPOT"
    return _nodes(resource, name, (least, most), Place.EC2, region, rates, spot=spot)


def _node_pool(resource: Resource, rates: Rates) -> Billed:
    config, scaling = mapping(resource.inputs.get("nodeConfig")), mapping(resource.inputs.get("autoscaling"))
    fixed = whole(resource.inputs.get("nodeCount", 1))
    bounds = (whole(scaling.get("minNodeCount")), whole(scaling.get("maxNodeCount"))) if scaling else (fixed, fixed)
    zones = _list(resource.inputs.get("nodeLocations"))
    # Numbers of a pool are those of each of its zones.
    times = len(zones) or (1 if _zonal(resource) else ZONES)
    numbers = tuple(None if n is None else n * times for n in bounds)
    name, spot = _text(config.get("machineType")), config.get("spot") is True
    return _nodes(resource, name, (numbers[0], numbers[1]), Place.GCE, _region(resource), rates, spot=spot)


def _nodes(
    resource: Resource,
    machine: str | None,
    numbers: tuple[int | None, int | None],
    place: Place,
    region: str | None,
    rates: Rates,
    *,
    spot: bool,
) -> Billed:
    if machine is None:
        return Billed(resource, "a node", *numbers, None, "its machine is known only after up")
    price = rates.of(place, machine, region, spot=spot)
    return Billed(resource, machine, *numbers, price, note(rates, price, machine, place, region, spot=spot))


def _list(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _zonal(resource: Resource) -> bool:
    return re.search(r"-[a-z]$", _text(resource.inputs.get("location")) or "") is not None


def _region(resource: Resource) -> str | None:
    location = _text(resource.inputs.get("location"))
    return re.sub(r"-[a-z]$", "", location) if location else None
