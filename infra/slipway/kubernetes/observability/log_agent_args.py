"""What can be said about what reads logs on every node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, known
from slipway.kubernetes import quantity
from slipway.kubernetes.names import check_image, check_labels, check_namespace
from slipway.kubernetes.quantity import ComputeResources

RESOURCES: ComputeResources = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}}
FILEBEAT_RESOURCES: ComputeResources = {
    "requests": {"cpu": "50m", "memory": "128Mi"},
    "limits": {"cpu": "500m", "memory": "512Mi"},
}
"""By what Filebeat holds at most, 512 lines of 256 KiB, beside what it takes without."""


class LogAgentArgs(TypedDict):
    """An OpenTelemetry collector, or for an Elasticsearch a Filebeat, on every node, which reads the files that Kubernetes keeps
    of what pods write."""

    existing: NotRequired[bool]
    """The cluster has such agents already: none is made. Theirs are let in by `logs.allow_from`, with the password for sending.
    Excludes everything else here. Default false."""
    namespace: NotRequired[str]
    """Namespace to run in, made here. Its pod security level is `privileged`, as any other refuses the folder of a node's that is
    read; so nothing else should be in it. Default `NAME-log-agent`."""
    user: NotRequired[int]
    """User of the pods, in the group 0, by which containerd lets the files be read. Default 0, without any capability: who owns
    these files, and the folder on the node in which is written down what was read. With another, such as 10001, that is in the
    pod, and one that is replaced sends again what the node still has."""
    node_selector: NotRequired[Mapping[str, str]]
    """Labels of the nodes. Default: every node, whatever its taints against new pods."""
    image: NotRequired[pulumi.Input[str]]
    """Its image, with a version as tag or a digest. A collector must have what the distribution `contrib` has. Default: release
    0.165, of Filebeat 9.5."""
    resources: NotRequired[ComputeResources]
    """CPU and memory of each. Default: requests of 50m and 128Mi, limits of 500m and 256Mi, for Filebeat 512Mi."""


@dataclass(frozen=True)
class LogAgentSettings:
    """The same, with every default filled in."""

    namespace: str
    user: int
    node_selector: Mapping[str, str]
    image: pulumi.Input[str]
    resources: k8s.core.v1.ResourceRequirementsArgsDict

    @classmethod
    def of(
        cls,
        path: str,
        name: str,
        given: object,
        taken: Sequence[object],
        faults: Faults,
        *,
        image: str,
        resources: ComputeResources,
    ) -> "LogAgentSettings | None":
        """None with `existing`.

        Args:
            path: Where it stands in the arguments.
            name: Name of the stack.
            given: The argument.
            taken: Namespaces that have something else in them.
            faults: Where to tell what is wrong.
            image: What runs where nothing is said.
            resources: What it gets where nothing is said.
        """
        every = cast("Mapping[str, Any]", given if isinstance(given, Mapping) else {})
        fit: dict[str, Any] = {k: v for k, v in every.items() if not faults.at(f"{path}.{k}")}
        if fit.get("existing"):
            for key in every.keys() - {"existing"}:
                faults.add(f"{path}.{key}", "does nothing with 'existing', where no agent is made; leave one out")
            return None
        namespace = fit.get("namespace", f"{name}-log-agent")
        if "namespace" in fit:
            check_namespace(f"{path}.namespace", namespace, faults)
        if namespace in taken:
            faults.add(f"{path}.namespace", f"is {namespace!r}, which has other pods too; give one for the agents alone")
        user = fit.get("user", 0)
        if not 0 <= user < 2**31:
            faults.add(f"{path}.user", f"is {user}; give 0 to 2147483647")
        known(fit.get("image"), lambda plain: check_image(f"{path}.image", plain, faults))
        check_labels(f"{path}.node_selector", fit.get("node_selector"), faults)
        return cls(
            namespace=namespace,
            user=user,
            node_selector=fit.get("node_selector", {}),
            image=fit.get("image", image),
            resources=quantity.fill(f"{path}.resources", fit.get("resources", {}), resources, faults),
        )
