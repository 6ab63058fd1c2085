"""The GPUs that a workload asks for, the label by which its nodes are chosen, and the taints that it tolerates there."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict, cast

import pulumi_kubernetes as k8s

from slipway import accelerators
from slipway.accelerators import Accelerator, AcceleratorError, GpuNodeLabels
from slipway.args import Faults
from slipway.kubernetes.names import check_label_key, check_label_value

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


class GpuToleration(TypedDict):
    """A taint of the nodes that the pods tolerate."""

    key: str
    """The taint's key."""
    value: NotRequired[str]
    """The taint's value. Default: any."""
    effect: NotRequired[str]
    """'NoSchedule', 'PreferNoSchedule' or 'NoExecute'. Default: all three."""


def asked_gpus(text: str, given: Mapping[str, Any], faults: Faults) -> tuple[Accelerator, int] | None:
    """The catalogue's entry and the number, or None where there is no such entry.

    Args:
        text: The argument `accelerator`, such as `a100-80gb:4`.
        given: All arguments; `node_labels` must be of a kind that tells this GPU.
        faults: Where to tell what is wrong.
    """
    try:
        accelerator, gpus = accelerators.parse(text)
    except AcceleratorError as error:
        faults.add("accelerator", str(error))
        return None
    labels = given.get("node_labels", GpuNodeLabels.GPU_FEATURE_DISCOVERY)
    if isinstance(labels, GpuNodeLabels) and labels not in accelerator.labels:
        choice = " or ".join(f"'{other.value}'" for other in accelerator.labels)
        faults.add("node_labels", f"is '{labels.value}', which has no label for {accelerator.name}; give {choice}")
    return accelerator, gpus


def check_tolerations(given: Mapping[str, Any], faults: Faults) -> None:
    """Refuse what no taint has, in the argument `tolerations`."""
    asked = given.get("tolerations")
    for i, toleration in enumerate(cast("Sequence[object]", asked) if isinstance(asked, list | tuple) else ()):
        taint: Mapping[str, object] = cast("Mapping[str, object]", toleration) if isinstance(toleration, Mapping) else {}
        effect = taint.get("effect")
        if isinstance(effect, str) and effect not in _EFFECTS:
            faults.add(f"tolerations[{i}].effect", f"is {effect!r}; give {', '.join(repr(e) for e in _EFFECTS)}")
        for part, check in (("key", check_label_key), ("value", check_label_value)):
            if isinstance(taint.get(part), str):
                check(f"tolerations[{i}].{part}", cast("str", taint[part]), faults)


def tolerations(gpus: int, asked: Sequence[GpuToleration]) -> list[k8s.core.v1.TolerationArgsDict]:
    """Those asked for; and that of GPU nodes, off which GKE, EKS and NVIDIA's GPU Operator keep other pods."""
    gpu: list[k8s.core.v1.TolerationArgsDict] = (
        [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}] if gpus else []
    )
    return [*gpu, *(_toleration(t) for t in asked)]


def _toleration(asked: GpuToleration) -> k8s.core.v1.TolerationArgsDict:
    made: k8s.core.v1.TolerationArgsDict = {"key": asked["key"], "operator": "Exists"}
    if "value" in asked:
        made = {"key": asked["key"], "operator": "Equal", "value": asked["value"]}
    if "effect" in asked:
        made["effect"] = asked["effect"]
    return made
