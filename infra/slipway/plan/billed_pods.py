"""What the pods of a workload cost an hour, and how many of them there are."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from slipway.accelerators import Accelerator, GpuNodeLabels, Place, catalogue
from slipway.plan.billed_item import Billed, read
from slipway.plan.inputs import first, mapping, mappings, whole
from slipway.plan.plan import Plan, Resource
from slipway.prices import FILE, Price, Rates
from slipway.quantities import parse

WORKLOADS = frozenset({"Deployment", "StatefulSet", "LeaderWorkerSet"})
"""Kinds whose pods stay."""
_CLOUDS: Mapping[GpuNodeLabels, Place] = {
    GpuNodeLabels.GKE: Place.GCE,
    GpuNodeLabels.KARPENTER: Place.EC2,
    GpuNodeLabels.EKS_AUTO: Place.EC2,
    GpuNodeLabels.AKS: Place.AZURE,
}
_SPOT = {
    "karpenter.sh/capacity-type": "spot",
    "eks.amazonaws.com/capacityType": "SPOT",
    "cloud.google.com/gke-spot": "true",
    "kubernetes.azure.com/scalesetpriority": "spot",
}
_GPUS = "nvidia.com/"


def workload(plan: Plan, resource: Resource, kind: str, rates: Rates) -> Billed:
    """The pods of a workload: their GPUs, or the CPUs and memory that they ask for."""
    spec = mapping(resource.inputs.get("spec"))
    if kind == "LeaderWorkerSet":
        group = mapping(spec.get("leaderWorkerTemplate"))
        pod = mapping(mapping(group.get("workerTemplate")).get("spec"))
        size = whole(group.get("size", 1))
    else:
        pod, size = mapping(mapping(spec.get("template")).get("spec")), 1
    least, most = _replicas(plan, resource, spec, kind)
    least, most = (None if n is None or size is None else n * size for n in (least, most))
    price, what, note = priced(pod, rates)
    return Billed(resource, what, least, most, price, note)


def priced(pod: Mapping[str, Any], rates: Rates) -> tuple[Price | None, str, str]:
    """The price of one pod, what it is of, and where the price is from."""
    asked: dict[str, float] = {}
    for container in (
        *mappings(pod.get("containers")),
        *(c for c in mappings(pod.get("initContainers")) if "restartPolicy" in c),
    ):
        limits = mapping(container.get("resources"))
        for name, quantity in {**mapping(limits.get("limits")), **mapping(limits.get("requests"))}.items():
            with suppress(ValueError):
                asked[name] = asked.get(name, 0) + float(parse(str(quantity)))
    gpus = {name: int(n) for name, n in asked.items() if name.startswith(_GPUS) and n}
    return _gpu_price(pod, gpus, rates) if gpus else _cpu_price(asked, rates)


def _replicas(plan: Plan, resource: Resource, spec: Mapping[str, Any], kind: str) -> tuple[int | None, int | None]:
    fixed = whole(spec.get("replicas", 1))
    name = mapping(resource.inputs.get("metadata")).get("name")
    namespace = mapping(resource.inputs.get("metadata")).get("namespace")
    for scaler in plan:
        if scaler.type.rsplit(":", 1)[-1] not in ("HorizontalPodAutoscaler", "ScaledObject"):
            continue
        told = mapping(scaler.inputs.get("spec"))
        target = mapping(told.get("scaleTargetRef"))
        if (target.get("kind", "Deployment"), target.get("name")) != (kind, name):
            continue
        if mapping(scaler.inputs.get("metadata")).get("namespace") != namespace:
            continue
        idle = told.get("idleReplicaCount")
        least = idle if idle is not None else first(told, "minReplicas", "minReplicaCount", default=1)
        return whole(least), whole(first(told, "maxReplicas", "maxReplicaCount", default=100))
    return fixed, fixed


def _gpu_price(pod: Mapping[str, Any], gpus: Mapping[str, int], rates: Rates) -> tuple[Price | None, str, str]:
    count = sum(gpus.values())
    selector = {str(k): str(v) for k, v in mapping(pod.get("nodeSelector")).items()}
    found = _accelerator(selector)
    if found is None:
        return None, f"{count} GPUs", "which GPUs they are is not known from a nodeSelector of the catalogue"
    accelerator, labels = found
    name = accelerator.name
    if set(gpus) != {"nvidia.com/gpu"} or any("gpu-partition-size" in k or "gpu-sharing-strategy" in k for k in selector):
        return None, f"a part of {name}", "what a part of a GPU costs depends on who has the others"
    what = f"{count} x {name}"
    if name in rates.own.gpus:
        return Price(rates.own.gpus[name] * count, None, rates.source), what, f"your own price of {name}"
    cluster = rates.own.cluster
    place = cluster.place if cluster else _CLOUDS.get(labels)
    if place is None:
        return None, what, f"whose nodes they are, these node labels do not tell; give 'cluster' or 'gpus' in {FILE}"
    region, spot = cluster.region if cluster else None, _on_spot(pod, selector)
    priced = rates.of_gpus(name, count, place, region, spot=spot)
    if priced is None:
        where = f" in {region}" if region else ""
        kind = "spot price" if spot else "price"
        return None, what, f"no {kind} of {what} on {place.value}{where} is known; give it under 'gpus' in {FILE}"
    price, machine = priced
    return price, what, f"{machine}, {read(price)}"


def _accelerator(selector: Mapping[str, str]) -> tuple[Accelerator, GpuNodeLabels] | None:
    fits = [
        (len(labels), a, kind)
        for a in catalogue().values()
        for kind, labels in a.labels.items()
        if labels and labels.items() <= selector.items()
    ]
    best = max(fits, key=lambda f: f[0], default=None)
    return (best[1], best[2]) if best else None


def _on_spot(pod: Mapping[str, Any], selector: Mapping[str, str]) -> bool:
    if any(selector.get(k) == v for k, v in _SPOT.items()):
        return True
    affinity = mapping(
        mapping(mapping(pod.get("affinity")).get("nodeAffinity")).get("requiredDuringSchedulingIgnoredDuringExecution")
    )
    return any(
        e.get("operator") == "In" and _SPOT.get(str(e.get("key"))) in (e.get("values") or ())
        for term in mappings(affinity.get("nodeSelectorTerms"))
        for e in mappings(term.get("matchExpressions"))
    )


def _cpu_price(asked: Mapping[str, float], rates: Rates) -> tuple[Price | None, str, str]:
    cpus, gib = asked.get("cpu", 0.0), asked.get("memory", 0.0) / 2**30
    what = f"a pod of {cpus:g} CPUs and {gib:g} GiB" if cpus or gib else "a pod"
    vcpu, memory = rates.own.vcpu_usd_per_hour, rates.own.memory_gib_usd_per_hour
    missing = [n for n, r in (("vcpu_usd_per_hour", vcpu), ("memory_gib_usd_per_hour", memory)) if r is None]
    if missing or vcpu is None or memory is None:
        return None, what, f"its share of a node has no list price; give {' and '.join(missing)} in {FILE}"
    if not (cpus and gib):
        return None, what, "it asks for no CPU or no memory, so that its share of a node is not known"
    return Price(cpus * vcpu + gib * memory, None, rates.source), what, "your own prices of CPUs and memory"
