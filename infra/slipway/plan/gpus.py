"""Whether something provides the GPUs that a plan's pods ask for: without NVIDIA's device plugin they wait for ever."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from slipway.plan.plan import Plan, Resource

PREREQUISITES = "slipway:index:GpuPrerequisites"
_SHARED = "nvidia.com/gpu.shared"
_BUILT_IN = ("cloud.google.com/gke-", "eks.amazonaws.com/")


def unprovided(plan: Plan) -> list[str]:
    """Warnings, one for each component or object that asks for GPUs which nothing in the plan provides.

    Nodes chosen by labels of GKE or of EKS Auto Mode have a device plugin from there, and are not warned of.
    """
    provided = plan.of_type(PREREQUISITES)
    if any(given.inputs.get("existing") for given in provided):
        return []
    asked: dict[str, set[str]] = {}
    for resource in plan:
        if kinds := set(_asked(resource.inputs)):
            asked.setdefault(_owner(plan, resource).name, set()).update(kinds)
    told: list[str] = []
    for name, kinds in sorted(asked.items()):
        listed = ", ".join(sorted(kinds))
        if not provided:
            told.append(
                f"{name} asks for {listed}, and nothing in this stack provides it: without NVIDIA's device plugin in the"
                " cluster its pods wait for ever. Add GpuPrerequisites, with 'existing': true where the cluster has it."
            )
        elif _SHARED in kinds and not any(given.inputs.get("shared_replicas") for given in provided):
            told.append(
                f"{name} asks for {_SHARED}, a turn on a GPU, and GpuPrerequisites lets none be shared: its pods wait for"
                " ever. Give it 'shared_replicas'."
            )
    return told


def _owner(plan: Plan, resource: Resource) -> Resource:
    """The component of ours that a resource belongs to, as its user named it; itself where there is none."""
    by_urn = {r.urn: r for r in plan}
    top = resource
    while top.parent in by_urn:
        top = by_urn[top.parent]
    return top


def _asked(value: object) -> Iterator[str]:
    """NVIDIA's resources in the limits of any pod, however deep its template is."""
    if isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _asked(item)
    if not isinstance(value, Mapping):
        return
    fields = cast("Mapping[str, Any]", value)
    if "containers" in fields:
        if any(str(key).startswith(_BUILT_IN) for key in _mapping(fields.get("nodeSelector"))):
            return
        for container in cast("list[object]", fields["containers"]) if isinstance(fields["containers"], list) else []:
            limits = _mapping(_mapping(_mapping(container).get("resources")).get("limits"))
            yield from (str(kind) for kind in limits if str(kind).startswith("nvidia.com/"))
        return
    for item in fields.values():
        yield from _asked(item)


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
