"""A plan: every resource that a program would register, with its inputs and options."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi


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
