"""A plan: every resource that a program would register, with its inputs and options."""

import difflib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from pydantic import BaseModel, ValidationError

from slipway.plan.values import from_json, to_json


class PlanError(pulumi.RunError):
    """A program or a plan that cannot be what was asked. The message says what to do."""


@dataclass(frozen=True)
class Resource:
    """One registration. `inputs` are plain JSON values in the provider's camelCase, with `UNKNOWN` and `Secret` in them."""

    urn: str
    """Pulumi's unique name, with the types of all parents in it."""
    type: str
    """Type token, such as `kubernetes:apps/v1:Deployment`."""
    name: str
    """Logical name."""
    parent: str | None
    """URN of the component it belongs to; None right under the stack."""
    inputs: Mapping[str, Any]
    """What was asked for. A component's too."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Resource options by the engine's names. `protect`, `retainOnDelete`, `ignoreChanges`, `aliases` and `dependsOn`
    are always there, others where they were given. `dependsOn` holds the URNs of all that it waits for, whether told
    by an option or because an input comes from there. What the engine hands down from component to child
    (`protect`, `retainOnDelete`, `deletedWith`) is told as the child gets it."""
    custom: bool = True
    """Whether a provider manages it; False for components."""
    outputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What a component registered as its outputs. Not part of the JSON."""


@dataclass(frozen=True)
class Plan:
    """What a program would create, captured without an engine, a cluster, an account or a secret."""

    project: str
    stack: str
    resources: tuple[Resource, ...]
    """All registrations but the stack itself, by URN."""
    outputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The stack's outputs."""
    warnings: tuple[str, ...] = ()
    """What the program, or the plan about the program, warned of. Not part of the JSON."""
    root: Path | None = None
    """The project's directory, where there is one. Not part of the JSON."""

    def to_json(self) -> str:
        """One object with `project`, `stack`, `resources` and `outputs`: the same bytes on every run and every machine.

        Keys are sorted, resources are in the order of their URNs. An unknown value is `{"$unknown": true}`, a secret
        the text `[secret]`. In what is not Kubernetes' own the paths of this machine are told as `${root}` (the
        project), `${python}` (the interpreter) and `${home}`.
        """

        def plain(resource: Resource) -> dict[str, Any]:
            portable = self._portable if not resource.type.startswith("kubernetes:") else str
            return {
                "urn": resource.urn,
                "type": resource.type,
                "name": resource.name,
                "parent": resource.parent,
                "inputs": to_json(resource.inputs, portable),
                "options": to_json(resource.options),
                "custom": resource.custom,
            }

        data = {
            "project": self.project,
            "stack": self.stack,
            "resources": [plain(r) for r in sorted(self.resources, key=lambda r: r.urn)],
            "outputs": to_json(self.outputs, self._portable),
        }
        return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read what `to_json` wrote. A secret's value does not come back.

        Raises:
            PlanError: the text is not a plan; with every fault.
        """
        try:
            told = _PlanJson.model_validate_json(text)
        except ValidationError as error:
            lines = [f"\n  {'.'.join(str(p) for p in e['loc']) or '(top)'}: {e['msg']}" for e in error.errors()]
            raise PlanError(f"not a plan as `slipway plan --json` writes it:{''.join(lines)}") from None
        resources = [
            Resource(r.urn, r.type, r.name, r.parent, from_json(r.inputs), from_json(r.options), r.custom) for r in told.resources
        ]
        return cls(told.project, told.stack, tuple(resources), from_json(told.outputs))

    def _portable(self, text: str) -> str:
        """The text without what only this machine has. The interpreter comes first: it may be in the project or at home."""
        places = [(sys.executable, "${python}"), (str(self.root) if self.root else "", "${root}"), (str(Path.home()), "${home}")]
        for place, name in places:
            # Not part of a longer name, and not the file system's own root.
            if len(place) > 1 and place in text:
                text = re.sub(re.escape(place) + r"(?![\w.-])", name, text)
        return text

    def __getitem__(self, name: str) -> Resource:
        """The resource with this logical name.

        Raises:
            KeyError: there is none, or there are several of different types.
        """
        found = [r for r in self.resources if r.name == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise KeyError(f"'{name}' names {len(found)} resources, of the types {', '.join(r.type for r in found)}")
        near = difflib.get_close_matches(name, [r.name for r in self.resources], n=3)
        hint = f"; near it: {', '.join(near)}" if near else f"; there are {', '.join(r.name for r in self.resources) or 'none'}"
        raise KeyError(f"no resource is named '{name}'{hint}")

    def __contains__(self, name: object) -> bool:
        return any(r.name == name for r in self.resources)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self.resources)

    def __len__(self) -> int:
        return len(self.resources)

    def of_type(self, type_: str) -> list[Resource]:
        """All resources with this type token, by URN."""
        return [r for r in self.resources if r.type == type_]

    def children(self, parent: Resource) -> list[Resource]:
        """The resources directly below a component, by URN."""
        return [r for r in self.resources if r.parent == parent.urn]

    def in_order(self) -> list[Resource]:
        """All resources, each after its parent and all that it depends on; by URN where that leaves a choice."""
        return in_order(self.resources)


class _ResourceJson(BaseModel):
    urn: str
    type: str
    name: str
    parent: str | None
    inputs: dict[str, Any]
    options: dict[str, Any]
    custom: bool = True


class _PlanJson(BaseModel):
    project: str
    stack: str
    resources: list[_ResourceJson]
    outputs: dict[str, Any] = {}


def in_order(resources: Sequence[Resource]) -> list[Resource]:
    """See `Plan.in_order`. What is depended on but not among the resources is passed over."""
    by_urn = {r.urn: r for r in resources}
    placed: dict[str, Resource] = {}
    for root in sorted(by_urn):
        # A stack of our own: a chain of a thousand resources is deeper than Python recurses.
        todo = [(root, False)]
        while todo:
            urn, ready = todo.pop()
            if urn in placed or urn not in by_urn:
                continue
            resource = by_urn[urn]
            if ready:
                placed[urn] = resource
                continue
            before = {*resource.options.get("dependsOn", ()), *([resource.parent] if resource.parent else [])}
            todo.append((urn, True))
            todo += [(u, False) for u in sorted(before - placed.keys(), reverse=True)]
    return list(placed.values())
