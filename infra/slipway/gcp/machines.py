"""Which accelerators a Vertex AI machine type carries ("Configure compute resources for inference", Vertex AI's guide)."""

import re
from collections.abc import Mapping

_FIXED: Mapping[str, tuple[str, int]] = {
    "g2-standard-4": ("NVIDIA_L4", 1),
    "g2-standard-8": ("NVIDIA_L4", 1),
    "g2-standard-12": ("NVIDIA_L4", 1),
    "g2-standard-16": ("NVIDIA_L4", 1),
    "g2-standard-24": ("NVIDIA_L4", 2),
    "g2-standard-32": ("NVIDIA_L4", 1),
    "g2-standard-48": ("NVIDIA_L4", 4),
    "g2-standard-96": ("NVIDIA_L4", 8),
    "a2-highgpu-1g": ("NVIDIA_TESLA_A100", 1),
    "a2-highgpu-2g": ("NVIDIA_TESLA_A100", 2),
    "a2-highgpu-4g": ("NVIDIA_TESLA_A100", 4),
    "a2-highgpu-8g": ("NVIDIA_TESLA_A100", 8),
    "a2-megagpu-16g": ("NVIDIA_TESLA_A100", 16),
    "a2-ultragpu-1g": ("NVIDIA_A100_80GB", 1),
    "a2-ultragpu-2g": ("NVIDIA_A100_80GB", 2),
    "a2-ultragpu-4g": ("NVIDIA_A100_80GB", 4),
    "a2-ultragpu-8g": ("NVIDIA_A100_80GB", 8),
    "a3-highgpu-1g": ("NVIDIA_H100_80GB", 1),
    "a3-highgpu-2g": ("NVIDIA_H100_80GB", 2),
    "a3-highgpu-4g": ("NVIDIA_H100_80GB", 4),
    "a3-highgpu-8g": ("NVIDIA_H100_80GB", 8),
    "a3-megagpu-8g": ("NVIDIA_H100_MEGA_80GB", 8),
    "a3-ultragpu-8g": ("NVIDIA_H200_141GB", 8),
    "a4-highgpu-8g": ("NVIDIA_B200", 8),
}
_GPU_FAMILY = re.compile(r"(g2-standard|a2|a3|a4)-.+")
_ATTACHABLE: Mapping[str, tuple[int, ...]] = {
    "NVIDIA_TESLA_T4": (1, 2, 4),
    "NVIDIA_TESLA_P4": (1, 2, 4),
    "NVIDIA_TESLA_P100": (1, 2, 4),
    "NVIDIA_TESLA_V100": (1, 2, 4, 8),
}
"""Those that N1 machines take, and in which numbers."""


def accelerator_fault(machine_type: str, accelerator_type: str | None, count: int) -> tuple[str, str] | None:
    """What is wrong with accelerators on a machine type, with the name of the field; None if nothing, or if the machine is not
    known here and Vertex AI must tell."""
    fixed = _FIXED.get(machine_type)
    if fixed:
        kind, number = fixed
        if accelerator_type != kind:
            return "accelerator_type", f"is {accelerator_type or 'not given'}; {machine_type} carries {kind}, so give that"
        if count != number:
            return "accelerator_count", f"is {count}; {machine_type} carries {number} of {kind}, so give that"
        return None
    if _GPU_FAMILY.fullmatch(machine_type):
        family = machine_type.rsplit("-", 1)[0]
        there = [m for m in _FIXED if m.startswith(family)] or list(_FIXED)
        return "machine_type", f"is {machine_type!r}, which Vertex AI does not have; there are {', '.join(there)}"
    if accelerator_type is None:
        return None
    if accelerator_type.startswith("TPU"):
        return (
            None
            if machine_type.startswith("ct")
            else ("machine_type", f"is {machine_type!r}; TPUs are on ct5lp and ct6e machines")
        )
    if not machine_type.startswith("n1-"):
        carriers = [m for m, (kind, _) in _FIXED.items() if kind == accelerator_type] or ["n1-standard-8"]
        return "machine_type", f"is {machine_type!r}, which takes no {accelerator_type}; give one of {', '.join(carriers)}"
    counts = _ATTACHABLE.get(accelerator_type)
    if counts is None:
        return "accelerator_type", f"is {accelerator_type}; N1 machines take {', '.join(_ATTACHABLE)}"
    if count not in counts:
        return "accelerator_count", f"is {count}; give one of {', '.join(map(str, counts))}"
    return None
