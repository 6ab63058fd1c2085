"""One object of a mesh's, before it is a resource."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi


@dataclass(frozen=True)
class MeshObject:
    """A custom resource to be made."""

    role: str
    """What its logical name ends with."""
    api_version: str
    kind: str
    name: str
    spec: Mapping[str, Any]
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    after: Sequence[pulumi.Resource] = ()
    """What must be ready before it."""


def joined(*parts: pulumi.Input[str]) -> pulumi.Input[str]:
    """Texts one after the other; plain where all are."""
    plain = [part for part in parts if isinstance(part, str)]
    return "".join(plain) if len(plain) == len(parts) else pulumi.Output.concat(*parts)
