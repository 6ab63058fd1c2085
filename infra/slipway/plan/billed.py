"""What of a plan is paid by the hour: machines, clusters, nodes or pods, volumes, each with its least and most number."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slipway.accelerators import Place
from slipway.plan.billed_clusters import NODES, clusters, where
from slipway.plan.billed_item import Billed
from slipway.plan.billed_jobs import JOBS, job
from slipway.plan.billed_note import note
from slipway.plan.billed_pods import WORKLOADS, workload
from slipway.plan.billed_volumes import volumes
from slipway.plan.inputs import deep, first, mapping, mappings, whole
from slipway.plan.plan import Plan, Resource
from slipway.price import Price
from slipway.prices import FILE, Rates


def billed(plan: Plan, rates: Rates) -> list[Billed]:
    """Everything in a plan that is paid by the hour or by the GiB. Traffic, requests and tokens of vendors are not.

    Pods are not counted beside node groups and node pools of the same stack, on which they run.
    """
    found: list[Billed] = []
    own_nodes = any(resource.type in NODES for resource in plan)
    place, region = where(plan, rates)
    for resource in plan:
        if "read" in resource.options or not resource.custom:
            continue
        kind = resource.type.rsplit(":", 1)[-1]
        if kind == "EndpointConfiguration":
            found += _sagemaker(plan, resource, rates)
        elif resource.type.startswith("gcp:vertex/") or kind == "VertexDeployments":
            found += _vertex(resource, rates)
        elif not resource.type.startswith("kubernetes:"):
            found += clusters(resource, rates)
        elif kind in JOBS and not own_nodes:
            found.append(job(resource, kind, rates))
        else:
            pods = workload(plan, resource, kind, rates) if kind in WORKLOADS else None
            found += [pods] if pods and not own_nodes else []
            found += volumes(resource, pods, rates, place, region)
    return found


def _sagemaker(plan: Plan, resource: Resource, rates: Rates) -> Iterator[Billed]:
    region = _region_of_images(plan, resource)
    all_of_them = [v for key in ("productionVariants", "shadowProductionVariants") for v in mappings(resource.inputs.get(key))]
    for variant in all_of_them:
        if kept := mapping(variant.get("serverlessConfig")):
            yield from _kept_warm(plan, resource, kept, rates)
    variants = [v for v in all_of_them if "serverlessConfig" not in v]
    targets = _targets(plan, resource, "sagemaker:variant:DesiredInstanceCount")
    for variant in variants:
        name = variant.get("instanceType")
        if not isinstance(name, str):
            yield Billed(resource, "a machine", None, None, None, "its instance type is known only after up")
            continue
        price = rates.of(Place.SAGEMAKER, name, region)
        managed = mapping(variant.get("managedInstanceScaling"))
        if managed.get("status") == "ENABLED":
            numbers = whole(managed.get("minInstanceCount")), whole(managed.get("maxInstanceCount"))
        else:
            numbers = _scaled(variant, variants, targets)
        yield Billed(resource, name, *numbers, price, note(rates, price, name, Place.SAGEMAKER, region))


def _kept_warm(plan: Plan, resource: Resource, kept: Mapping[str, Any], rates: Rates) -> Iterator[Billed]:
    """What a serverless variant keeps warm, which is paid for whether it is asked or not; its requests come on top."""
    if "provisionedConcurrency" not in kept:
        return
    warm, mib = whole(kept["provisionedConcurrency"]), whole(kept.get("memorySizeInMb"))
    numbers = (warm, warm)
    if targets := _targets(plan, resource, "sagemaker:variant:DesiredProvisionedConcurrency"):
        numbers = whole(targets[0].inputs.get("minCapacity")), whole(targets[0].inputs.get("maxCapacity"))
    what, rate = f"place kept warm of {mib} MiB", rates.own.provisioned_gib_usd_per_hour
    if rate is None or mib is None:
        told = f"no price of provisioned concurrency is known; give provisioned_gib_usd_per_hour in {FILE}"
        yield Billed(resource, what, *numbers, None, told)
    else:
        yield Billed(resource, what, *numbers, Price(rate * mib / 1024, None, rates.source), "your own price")


def _targets(plan: Plan, resource: Resource, dimension: str) -> list[Resource]:
    found = plan.of_type("aws:appautoscaling/target:Target")
    return [t for t in found if t.parent == resource.parent and t.inputs.get("scalableDimension") == dimension]


def _scaled(
    variant: Mapping[str, Any], variants: Sequence[Mapping[str, Any]], targets: Sequence[Resource]
) -> tuple[int | None, int | None]:
    """How many instances a variant has. By whose name it is scaled is known only after `up`: the logical name tells it before."""
    fixed = whole(variant.get("initialInstanceCount"))
    if not targets:
        return fixed, fixed
    name = str(variant.get("variantName", ""))
    if len(variants) > 1:
        # `chat-canary-scaling-target` scales `canary-g5-xlarge`; what no other variant begins with scales the first.
        roles = [(t, _role(t)) for t in targets]
        mine = [t for t, role in roles if _is_of(name, role)]
        if not mine and variant is variants[0]:
            others = [str(v.get("variantName", "")) for v in variants if v is not variant]
            mine = [t for t, role in roles if not any(_is_of(other, role) for other in others)]
        targets = mine
    if len(targets) != 1:
        return (fixed, fixed) if not targets else (None, None)
    return whole(targets[0].inputs.get("minCapacity")), whole(targets[0].inputs.get("maxCapacity"))


def _role(target: Resource) -> str:
    """What of a target's name is neither the component's nor what every target's name ends in."""
    own = target.name.removeprefix(str(target.parent).rsplit("::", 1)[-1])
    return own.removesuffix("-target").removesuffix("-scaling").strip("-")


def _is_of(variant: str, role: str) -> bool:
    return bool(role) and (variant == role or variant.startswith(f"{role}-"))


def _region_of_images(plan: Plan, resource: Resource) -> str | None:
    """SageMaker's containers are pulled from the endpoint's own region."""
    own = resource.inputs.get("region")
    if isinstance(own, str):
        return own
    for model in plan.of_type("aws:sagemaker/model:Model"):
        if model.parent == resource.parent:
            containers = [mapping(model.inputs.get("primaryContainer")), *mappings(model.inputs.get("containers"))]
            for container in containers:
                parts = str(container.get("image", "")).split(".")
                if len(parts) > 4 and parts[1:3] == ["dkr", "ecr"]:
                    return parts[3]
    return None


def _vertex(resource: Resource, rates: Rates) -> Iterator[Billed]:
    location = resource.inputs.get("location")
    region = location if isinstance(location, str) else None
    # The machine stands beside its numbers, or in a `machineSpec` beside them.
    for around in deep(resource.inputs):
        told = mapping(first(around, "machineSpec", "machine_spec")) or around
        name = first(told, "machineType", "machine_type")
        numbered = {"minReplicaCount", "min_replicas", "max_replicas"} & around.keys()
        if not isinstance(name, str) or (told is around and "machineType" in around and not numbered):
            continue
        least = whole(first(around, "minReplicaCount", "min_replicas", default=1))
        most = whole(first(around, "maxReplicaCount", "max_replicas", default=least))
        kind = first(told, "acceleratorType", "accelerator_type")
        count = whole(first(told, "acceleratorCount", "accelerator_count", default=1))
        spot = around.get("spot") is True
        added = name.startswith("n1-") and isinstance(kind, str)
        price = None if added else rates.of(Place.VERTEX, name, region, spot=spot)
        what = f"{name} with {count} x {kind}" if added else name
        yield Billed(resource, what, least, most, price, note(rates, price, name, Place.VERTEX, region, spot=spot))
