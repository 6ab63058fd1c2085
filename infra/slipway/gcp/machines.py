"""Which accelerators a Vertex AI machine type carries ("Configure compute resources for inference", Vertex AI's guide)."""

import re
from collections.abc import Mapping

from slipway.accelerators import Place
from slipway.machines import find, lacking_region, machines

_GUIDE = "Vertex AI guide, 'Configure compute resources for inference'"
# N1 machines are without GPUs, and take some.
_FIXED: Mapping[str, tuple[str, int]] = {
    m.name: (m.accelerator_type, m.gpus[0]) for m in machines(Place.VERTEX) if m.accelerator_type and not m.name.startswith("n1-")
}
_GPU_FAMILY = re.compile(r"(g2-standard|g4-standard|a2|a3|a4)-.+")
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
            return (
                "accelerator_type",
                f"is {accelerator_type or 'not given'}; {machine_type} carries {kind} ({_GUIDE}), so give that",
            )
        if count != number:
            return "accelerator_count", f"is {count}; {machine_type} carries {number} of {kind} ({_GUIDE}), so give that"
        return None
    if _GPU_FAMILY.fullmatch(machine_type):
        family = machine_type.rsplit("-", 1)[0]
        there = [m for m in _FIXED if m.startswith(family)] or list(_FIXED)
        return "machine_type", f"is {machine_type!r}, which Vertex AI does not have ({_GUIDE}); there are {', '.join(there)}"
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
        return (
            "machine_type",
            f"is {machine_type!r}, which takes no {accelerator_type} ({_GUIDE}); give one of {', '.join(carriers)}",
        )
    counts = _ATTACHABLE.get(accelerator_type)
    if counts is None:
        return "accelerator_type", f"is {accelerator_type}; N1 machines take {', '.join(_ATTACHABLE)} ({_GUIDE})"
    if count not in counts:
        return "accelerator_count", f"is {count}; give one of {', '.join(map(str, counts))} ({_GUIDE})"
    return None


def region_fault(machine_type: str, location: str) -> str | None:
    """Why a region has no such machine, with the choice; None where it has, or that is not known."""
    faults = [lacking_region(machine, location) for machine in find(Place.VERTEX, machine_type)]
    return faults[0] if faults and all(faults) else None
