"""The Kubernetes manifests of a plan, for `kubectl apply --server-side -f DIR`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import yaml

from slipway.plan.objects import api_version, is_object, is_patch, kind_of, metadata_of, object_key
from slipway.plan.plan import Plan, PlanError, Resource
from slipway.plan.values import Secret, Unknown

# What others need comes first: kubectl takes files in the order of their names. The order of kinds is Helm's.
_RANKS = (
    ("Namespace",),
    ("PriorityClass", "CustomResourceDefinition", "StorageClass", "RuntimeClass"),
    ("NetworkPolicy", "ResourceQuota", "LimitRange", "PodDisruptionBudget"),
    ("ServiceAccount", "Secret", "ConfigMap", "PersistentVolume", "PersistentVolumeClaim"),
    ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
    ("Service",),
    ("DaemonSet", "Pod", "ReplicaSet", "Deployment", "StatefulSet", "Job", "CronJob"),
)
_AFTER_ALL = len(_RANKS)
_FIRST_KEYS = ("apiVersion", "kind", "metadata", "spec")


@dataclass(frozen=True)
class Rendering:
    """What came of a plan."""

    files: Mapping[str, str]
    """Text of each manifest by the name of its file, in the order in which to apply them."""
    secrets: tuple[str, ...]
    """What was left out because it would show a secret: `NAMESPACE/NAME`, with its keys."""
    elsewhere: tuple[Resource, ...]
    """Resources that are not Kubernetes' own, so that no manifest can make them."""
    expected: tuple[Resource, ...]
    """Kubernetes objects that the program reads: they must be there already."""


def render(plan: Plan, *, skip_secrets: bool = False) -> Rendering:
    """The manifests of a plan, the same bytes on every run.

    Args:
        plan: The plan of one stack.
        skip_secrets: Leave Secrets out, for whoever makes them by other means. Without it a Secret is an error: a file
            would show what it holds.

    Raises:
        PlanError: values that are known only after `up`, objects without a name, two objects of one name, or secrets;
            with all of them.
    """
    faults: list[str] = []
    secrets: list[str] = []
    elsewhere: list[Resource] = []
    expected: list[Resource] = []
    objects: dict[tuple[str, str, str, str], Resource] = {}
    patches: list[Resource] = []
    for resource in plan:
        if not resource.custom or resource.type.startswith("pulumi:providers:"):
            continue
        if not is_object(resource):
            elsewhere.append(resource)
            continue
        if "read" in resource.options:
            expected.append(resource)
            continue
        found = list(_unrenderable(resource, skip_secrets))
        if kind_of(resource) == "Secret" and any(isinstance(v, Secret) for v in resource.inputs.values()):
            secrets.append(_secret(resource))
            if skip_secrets:
                continue
        faults += [f"{resource.name} ({kind_of(resource)}): {fault}" for fault in found]
        if is_patch(resource):
            patches.append(resource)
            continue
        key = object_key(resource)
        if key in objects and key[3]:
            faults.append(f"{resource.name} ({kind_of(resource)}): is the same object as {objects[key].name}, {key[2]}/{key[3]}")
        objects[key] = resource
    for patch in patches:
        key = object_key(patch)
        # Of an object that is made elsewhere, the manifest has these fields alone.
        objects[key] = replace(objects[key], inputs=_merged(objects[key].inputs, patch.inputs)) if key in objects else patch
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise PlanError(f"stack '{plan.stack}' cannot be rendered, {count}:" + "".join(f"\n  {fault}" for fault in faults))
    files = {name: manifest(resource) for name, resource in sorted(_named(objects).items())}
    return Rendering(files, tuple(secrets), tuple(elsewhere), tuple(expected))


def manifest(resource: Resource) -> str:
    """One object as YAML, with the type from its token where its inputs do not tell it."""
    body = {**resource.inputs, "apiVersion": api_version(resource), "kind": kind_of(resource)}
    ordered = {**{k: body[k] for k in _FIRST_KEYS if k in body}, **dict(sorted(body.items()))}
    return yaml.dump(ordered, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Texts that another YAML reader could take for something else are quoted, and those of several lines are blocks."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 -- the signature is yaml's
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 -- the signature is yaml's
        super().increase_indent(flow, False)


# Go's readers know more numbers than PyYAML does (1e3, 0o7, 1_000), so only what begins like a word stays unquoted.
_WORD = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z/][\w./:@+-]*", re.IGNORECASE)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None if _WORD.fullmatch(text) else '"'
    untyped: Any = dumper
    return untyped.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _merged(whole: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """One object with the fields of another, which win."""
    merged = dict(whole)
    for key, value in part.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", value)) if both else value
    return merged


def _unrenderable(resource: Resource, skip_secrets: bool) -> Iterator[str]:
    if "name" not in metadata_of(resource) and not isinstance(resource.inputs.get("metadata"), Unknown):
        yield "metadata.name: is missing; give a name, as kubectl applies no other objects"
    whole = kind_of(resource) == "Secret"
    for path, value in _walk(resource.inputs, ""):
        if isinstance(value, Unknown):
            yield f"{path}: is known only after `up`; give it as configuration, or bring this stack up with Pulumi"
        elif whole and not skip_secrets:
            yield f"{path}: is secret; make the Secret by other means and leave it out with --skip-secrets"
        elif not whole:
            yield f"{path}: is secret; a manifest would show it. Refer to a Secret instead"


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every unknown and secret value, by path."""
    if isinstance(value, Unknown | Secret):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in cast("Mapping[str, Any]", value).items():
            yield from _walk(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for i, item in enumerate(cast("list[Any]", value)):
            yield from _walk(item, f"{path}[{i}]")


def _secret(resource: Resource) -> str:
    metadata = metadata_of(resource)
    keys: set[str] = set()
    for part in ("data", "stringData"):
        held = resource.inputs.get(part)
        held = held.value if isinstance(held, Secret) else held
        if isinstance(held, Mapping):
            keys |= set(cast("Mapping[str, Any]", held))
    place = f"{metadata.get('namespace', 'default')}/{metadata.get('name', resource.name)}"
    return f"{place} with the keys {', '.join(sorted(keys))}" if keys else place


def _named(objects: Mapping[tuple[str, str, str, str], Resource]) -> dict[str, Resource]:
    """Names of files: rank, kind and name, and the namespace or group where these are not enough."""
    names: dict[str, Resource] = {}
    by_short: dict[str, list[tuple[tuple[str, str, str, str], Resource]]] = {}
    for key, resource in objects.items():
        rank = next((i for i, kinds in enumerate(_RANKS) if key[1] in kinds), _AFTER_ALL)
        by_short.setdefault(f"{rank}0-{key[1].lower()}-{_file(key[3])}", []).append((key, resource))
    for short, same in by_short.items():
        for (group, _, namespace, _), resource in same:
            names[f"{short}{f'-{_file(namespace)}-{_file(group)}' if len(same) > 1 else ''}.yaml"] = resource
    return names


def _file(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "_", text)
