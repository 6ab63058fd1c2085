"""What differs between two plans: resources added, changed with the paths that changed, and deleted."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from slipway.plan.plan import Plan, Resource
from slipway.plan.values import HIDDEN, UNKNOWN_JSON, to_json

# Options that change nothing about the resource itself.
_NO_CHANGE = frozenset({"aliases", "dependsOn", "provider", "providers"})

# Fields that Kubernetes refuses to change, so that the provider replaces the object: "Immutable fields" of the
# Kubernetes API reference, and for StatefulSet its "Updating StatefulSets" page.
_IMMUTABLE: Mapping[str, str] = {
    "Deployment": r"spec\.selector",
    "DaemonSet": r"spec\.selector",
    "Job": r"spec\.(selector|template|completionMode)",
    "StatefulSet": r"spec\.(selector|serviceName|podManagementPolicy|volumeClaimTemplates)",
    "PersistentVolumeClaim": r"spec\.(accessModes|dataSource|selector|storageClassName|volumeMode|volumeName)",
    "PersistentVolume": r"spec\.(?!(persistentVolumeReclaimPolicy|claimRef|mountOptions|capacity)\b)\w+",
    "StorageClass": r"(provisioner|parameters|reclaimPolicy|volumeBindingMode)",
    "RoleBinding": r"roleRef",
    "ClusterRoleBinding": r"roleRef",
}
_IDENTITY = r"metadata\.(name|namespace)|kind"

# What holds data, or takes everything in it along.
_STATEFUL = re.compile(
    r"kubernetes:(core/v1:(PersistentVolume|PersistentVolumeClaim|Namespace)|apps/v1:StatefulSet"
    r"|apiextensions\.k8s\.io/v1:CustomResourceDefinition)$"
    r"|aws:(rds|s3|dynamodb|efs|ebs|fsx|elasticache|docdb|opensearch|ecr|kms|secretsmanager)/"
    r"|gcp:(storage|sql|redis|bigtable|spanner|firestore|filestore|kms|secretmanager|artifactregistry)/"
)


class Kind(StrEnum):
    """What happens to a resource."""

    ADDED = "added"
    CHANGED = "changed"
    DELETED = "deleted"


_SIGNS = {Kind.ADDED: "+", Kind.CHANGED: "~", Kind.DELETED: "-"}


@dataclass(frozen=True)
class PathChange:
    """One value that differs. Values are those of the plan's JSON: secrets are not in it."""

    path: str
    """From the resource, such as `inputs.spec.replicas` or `options.protect`."""
    old: Any
    """None where it was not there."""
    new: Any
    """None where it is gone."""


@dataclass(frozen=True)
class Change:
    """What happens to one resource."""

    kind: Kind
    resource: Resource
    """As it is in the new plan; in the old one where it is deleted."""
    paths: tuple[PathChange, ...] = ()
    """Of a changed one: what differs, by path."""
    replaced: bool = False
    """Of a changed one: whether it is known to be replaced, because Kubernetes refuses to change a field. A cloud's own
    rules are not in a plan."""

    @property
    def loses_data(self) -> bool:
        """Whether a resource that holds data is deleted or replaced, and its options do not keep it."""
        kept = self.resource.options.get("retainOnDelete", False)
        gone = self.kind is Kind.DELETED or self.replaced
        return gone and not kept and is_stateful(self.resource.type)


def is_stateful(type_: str) -> bool:
    """Whether resources of a type hold data, or take all that is in them along."""
    return _STATEFUL.match(type_) is not None


def compare(old: Plan, new: Plan) -> list[Change]:
    """What goes from one plan to the other, by URN. A resource that names its old URN as an alias is the same resource.

    Secret values are in no plan's JSON, so that one has changed cannot be seen; that a value has become secret can.
    """
    # Through JSON, so that a plan just made and one from a file compare alike.
    before = {r.urn: r for r in Plan.from_json(old.to_json())}
    after = {r.urn: r for r in Plan.from_json(new.to_json())}
    former = _former(new, before)
    changes: list[Change] = []
    for urn, resource in after.items():
        past = before.get(former.get(urn, urn))
        if past is None:
            changes.append(Change(Kind.ADDED, resource))
            continue
        paths = tuple(_resource_changes(past, resource))
        if paths:
            changes.append(Change(Kind.CHANGED, resource, paths, _is_replaced(resource, paths)))
    gone = before.keys() - after.keys() - set(former.values())
    changes += [Change(Kind.DELETED, before[urn]) for urn in gone]
    return sorted(changes, key=lambda c: c.resource.urn)


def counted(changes: Sequence[Change]) -> str:
    """Such as `1 added, 2 changed, 1 deleted`."""
    counts = Counter(c.kind for c in changes)
    return ", ".join(f"{counts[kind]} {kind.value}" for kind in Kind if counts[kind]) or "no change"


def described(change: Change) -> list[str]:
    """One change in lines: the resource with `+`, `~` or `-` before it, then each path with old and new."""
    what = f"{_SIGNS[change.kind]} {change.resource.name} ({change.resource.type})"
    if change.replaced:
        what += " is replaced and its data is lost" if change.loses_data else " is replaced"
    elif change.loses_data:
        what += " holds data that is lost"
    return [what, *(f"    {p.path}: {told(p.old)} -> {told(p.new)}" for p in change.paths)]


def told(value: Any) -> str:
    """A value of a plan's JSON as a short text."""
    if value is None:
        return "(none)"
    if value == UNKNOWN_JSON:
        return "(known after up)"
    if value == HIDDEN:
        return HIDDEN
    text = value if isinstance(value, str) else _compact(value)
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _compact(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value == UNKNOWN_JSON:
        return "(known after up)"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_compact(v)}" for k, v in cast("Mapping[str, Any]", value).items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_compact(v) for v in cast("list[Any]", value)) + "]"
    return str(value)


def _former(new: Plan, before: Mapping[str, Resource]) -> dict[str, str]:
    """Old URNs of resources whose aliases, or whose parents' aliases, lead to one that was there."""
    possible: dict[str, list[str]] = {}
    found: dict[str, str] = {}
    by_urn = {r.urn: r for r in new}
    for resource in new.in_order():
        parent = by_urn.get(resource.parent or "")
        parents = [parent.urn, *possible.get(parent.urn, ())] if parent else [None]
        names: list[str] = []
        for alias in resource.options.get("aliases", ()):
            if isinstance(alias, str):
                names.append(alias)
                continue
            spec = cast("Mapping[str, Any]", alias)
            above = [None] if spec.get("noParent") else [spec["parentUrn"]] if spec.get("parentUrn") else parents
            stack, project = spec.get("stack", new.stack), spec.get("project", new.project)
            names += [_urn(stack, project, p, spec.get("type", resource.type), spec.get("name", resource.name)) for p in above]
        if parent:
            for old_parent in possible.get(parent.urn, ()):
                old_name = resource.name
                if resource.name.startswith(parent.name):
                    # A child that is named after its parent was named after its parent's old name.
                    old_name = old_parent.rpartition("::")[2] + resource.name.removeprefix(parent.name)
                names.append(_urn(new.stack, new.project, old_parent, resource.type, old_name))
        possible[resource.urn] = names
        past = next((n for n in names if n in before and n not in by_urn), None)
        if past is not None and resource.urn not in before:
            found[resource.urn] = past
    return found


def _urn(stack: str, project: str, parent: str | None, type_: str, name: str) -> str:
    qualified = f"{parent.split('::')[2]}${type_}" if parent else type_
    return f"urn:pulumi:{stack}::{project}::{qualified}::{name}"


def _resource_changes(old: Resource, new: Resource) -> Iterator[PathChange]:
    if old.type != new.type:
        yield PathChange("type", old.type, new.type)
    if old.name != new.name:
        yield PathChange("name", old.name, new.name)
    ignored = [str(path) for path in new.options.get("ignoreChanges", ())]
    for change in _changes(to_json(old.inputs), to_json(new.inputs), ""):
        if not any(_covers(path, change.path) for path in ignored):
            yield PathChange(f"inputs.{change.path}", change.old, change.new)
    before, after = ({k: v for k, v in to_json(r.options).items() if k not in _NO_CHANGE} for r in (old, new))
    for change in _changes(before, after, ""):
        yield PathChange(f"options.{change.path}", change.old, change.new)


def _changes(old: Any, new: Any, path: str) -> Iterator[PathChange]:
    # Not the whole at once: Python takes True for 1.
    if UNKNOWN_JSON not in (old, new):
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            left, right = cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", new)
            for key in sorted({*left, *right}):
                yield from _changes(left.get(key), right.get(key), _below(path, key))
            return
        if isinstance(old, list) and isinstance(new, list):
            entries = _entries(cast("list[Any]", old)), _entries(cast("list[Any]", new))
            if entries[0].keys() & entries[1].keys() or not (old and new):
                for key in {**entries[0], **entries[1]}:
                    yield from _changes(entries[0].get(key), entries[1].get(key), f"{path}[{key}]")
                if list(entries[0]) != list(entries[1]) and set(entries[0]) == set(entries[1]):
                    yield PathChange(f"{path}[*]", list(entries[0]), list(entries[1]))
                return
    if old != new or isinstance(old, bool) is not isinstance(new, bool):
        yield PathChange(path, old, new)


def _entries(values: Sequence[Any]) -> dict[str, Any]:
    """A list's entries by their names where they have them, as containers and variables do; else by position."""
    names = [str(cast("Mapping[str, Any]", v).get("name")) for v in values if isinstance(v, Mapping) and "name" in v]
    if values and len(set(names)) == len(values):
        return dict(zip(names, values, strict=True))
    return {str(i): v for i, v in enumerate(values)}


def _below(path: str, key: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_$-]+", key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def _covers(ignored: str, path: str) -> bool:
    return path == ignored or path.startswith((f"{ignored}.", f"{ignored}["))


def _is_replaced(resource: Resource, paths: Sequence[PathChange]) -> bool:
    if not resource.type.startswith("kubernetes:"):
        return False
    kind = resource.type.rpartition(":")[2]
    fixed = _IDENTITY + (f"|{_IMMUTABLE[kind]}" if kind in _IMMUTABLE else "")
    if resource.inputs.get("immutable") is True:
        fixed += r"|data|stringData|binaryData"
    return any(re.match(rf"inputs\.({fixed})(\W|$)", p.path) for p in paths)
