"""The GPUs that a workload asks for, and the label by which its nodes are chosen."""

from collections.abc import Mapping
from typing import Any

from slipway import accelerators
from slipway.accelerators import Accelerator, AcceleratorError, GpuNodeLabels
from slipway.args import Faults


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
