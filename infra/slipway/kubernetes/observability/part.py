"""One server of the stack, as what makes it is told of it: its pod, its volume, and who reaches it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s

from slipway.backend import Egress
from slipway.kubernetes.deletion import DeletionPolicy
from slipway.kubernetes.network import Peer


@dataclass(frozen=True)
class Place:
    """What all parts of a stack have in common."""

    name: str
    """Name of the stack."""
    namespace: pulumi.Input[str]
    deletion_policy: DeletionPolicy
    node_selector: Mapping[str, str]
    parent: pulumi.Resource

    def meta(self, role: str, labels: Mapping[str, str], more: Mapping[str, str] | None = None) -> k8s.meta.v1.ObjectMetaArgsDict:
        """Of an object that is called by its role."""
        made: k8s.meta.v1.ObjectMetaArgsDict = {"name": f"{self.name}-{role}", "namespace": self.namespace, "labels": labels}
        return {**made, "annotations": more} if more else made


@dataclass(frozen=True)
class Volume:
    """Where a part keeps its data."""

    path: str
    gib: int
    """0 keeps nothing over a restart."""
    storage_class: pulumi.Input[str] | None = None


@dataclass(frozen=True)
class Front:
    """A container between a server and those who connect: it has the part's ports and secrets, and the server has neither."""

    name: str
    image: pulumi.Input[str]
    command: Sequence[str]
    resources: k8s.core.v1.ResourceRequirementsArgsDict
    ready: k8s.core.v1.ProbeArgsDict
    alive: k8s.core.v1.ProbeArgsDict


@dataclass(frozen=True)
class Part:
    """What a server is made of."""

    role: str
    """What the names of its objects end with."""
    app: str
    """Value of the label `app.kubernetes.io/name` of its pods."""
    image: pulumi.Input[str]
    user: int
    """User of the image."""
    args: Sequence[str]
    port: int
    resources: k8s.core.v1.ResourceRequirementsArgsDict
    volume: Volume
    ready: k8s.core.v1.ProbeArgsDict
    alive: k8s.core.v1.ProbeArgsDict
    start_seconds: int
    """How long it may take to read its data back."""
    config: pulumi.Input[Mapping[str, str]] = field(default_factory=dict[str, str])
    """Its configuration: texts by path below `config_path`."""
    config_path: str = ""
    """Folder for these. Empty: it has none."""
    secrets: Mapping[str, tuple[pulumi.Input[str], Sequence[str]]] = field(
        default_factory=dict[str, tuple[pulumi.Input[str], Sequence[str]]]
    )
    """Folders, each with the Secret and its keys that are files there."""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    env_secrets: Mapping[str, tuple[pulumi.Input[str], str]] = field(default_factory=dict[str, tuple[pulumi.Input[str], str]])
    """Variables, each with the Secret and the key that fills it."""
    scratch: Mapping[str, str] = field(default_factory=dict[str, str])
    """More folders to write to, each with the most that may be in it."""
    asks_kubernetes: bool = False
    """Whether it talks to Kubernetes' API."""
    allow_from: Mapping[int, Sequence[Peer]] = field(default_factory=dict[int, Sequence[Peer]])
    """Who may connect, by port."""
    egress: Sequence[Egress] = ()
    more_ports: Mapping[str, int] = field(default_factory=dict[str, int])
    """Further ports, by name."""
    prepare: tuple[str, str, Sequence[str]] | None = None
    """A folder of `scratch` that is filled before the server starts, where that is while it is filled, and the command that does,
    in the server's image."""
    front: Front | None = None
    """What stands before it. It may write to the same scratch folders."""


def address(part_role: str, place: Place, port: int) -> pulumi.Output[str]:
    """Where a part answers inside the cluster."""
    return pulumi.Output.concat(f"http://{place.name}-{part_role}.", place.namespace, f".svc:{port}")
