"""Objects of Kubernetes in a plan: what they are called, and which of them meet."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from slipway.plan.plan import Plan, Resource

Key = tuple[str, str, str, str]


def meeting(plan: Plan) -> list[str]:
    """Warnings, one for each two whose objects a cluster would take for one: of one kind and name in one namespace.

    A Service that LeaderWorkerSet makes by the name of what it keeps counts too.
    """
    by_key: dict[tuple[str, Key], list[str]] = {}
    for resource in plan:
        if resource.custom and is_object(resource) and not is_patch(resource) and "read" not in resource.options:
            for key in _made(resource):
                by_key.setdefault((cluster_of(resource), key), []).append(whose(resource))
    shared: dict[str, list[str]] = {}
    for (_, (_, kind, namespace, name)), owners in sorted(by_key.items()):
        if len(owners) > 1:
            shared.setdefault(" and ".join(sorted(owners)), []).append(f"{kind} {namespace}/{name}")
    return [
        f"{owners} meet in {', '.join(objects)}: the cluster keeps one of each. Give one of them another name, or namespace."
        for owners, objects in sorted(shared.items())
    ]


def cluster_of(resource: Resource) -> str:
    """The provider by which it is made, and so the cluster; empty: the stack's own."""
    return str(resource.options.get("provider", ""))


def is_object(resource: Resource) -> bool:
    """Whether it is an object of Kubernetes: Helm releases and the like have types of the provider, but no API."""
    return resource.type.startswith("kubernetes:") and ("kind" in resource.inputs or "read" in resource.options)


def is_patch(resource: Resource) -> bool:
    """Whether it says some fields of an object that another resource makes, as the provider's `ServicePatch` and its like do."""
    return resource.type.rpartition(":")[2] == f"{kind_of(resource)}Patch"


def kind_of(resource: Resource) -> str:
    """Its kind, from its type where its inputs do not tell it."""
    return str(resource.inputs.get("kind") or resource.type.rpartition(":")[2])


def api_version(resource: Resource) -> str:
    """Its API with its version, likewise."""
    return str(resource.inputs.get("apiVersion") or resource.type.split(":")[1].removeprefix("core/"))


def metadata_of(resource: Resource) -> Mapping[str, Any]:
    """Its metadata, as far as they are known."""
    told = resource.inputs.get("metadata")
    return cast("Mapping[str, Any]", told) if isinstance(told, Mapping) else {}


def object_key(resource: Resource) -> Key:
    """What tells it from all others in a cluster: API without version, kind, namespace and name."""
    metadata = metadata_of(resource)
    group = api_version(resource).rpartition("/")[0]
    return group, kind_of(resource), str(metadata.get("namespace", "")), str(metadata.get("name", resource.urn))


def _made(resource: Resource) -> Iterator[Key]:
    """The object, and what its controller makes by its name. Of names that are known only after `up` nothing can be said."""
    metadata = metadata_of(resource)
    if not isinstance(metadata.get("name"), str) or not isinstance(metadata.get("namespace", ""), str):
        return
    key = object_key(resource)
    yield key
    if key[1] == "LeaderWorkerSet":
        yield "", "Service", key[2], key[3]


def whose(resource: Resource) -> str:
    """The component that it belongs to, or itself, with its type."""
    urn = resource.parent or ""
    if not urn or "::pulumi:pulumi:Stack::" in urn:
        return f"{kind_of(resource)} {resource.name}"
    _, _, kind, name = urn.split("::")
    return f"{kind.rpartition(':')[2]} {name}"
