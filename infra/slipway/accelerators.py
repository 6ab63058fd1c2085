"""The accelerator catalogue: GPUs by name, with the facts that every place needs of them.

The data is in `data/accelerators.yaml`, with its sources.
"""

import difflib
import re
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import yaml
from pydantic import BaseModel, ConfigDict, Field

_COUNT = re.compile(r"[1-9][0-9]{0,2}")


class AcceleratorError(ValueError):
    """What was asked for is not in the catalogue, or is not written as `NAME` or `NAME:COUNT`."""


class GpuNodeLabels(StrEnum):
    """Who labels the GPU nodes of a cluster, and so by which label a GPU is chosen."""

    GPU_FEATURE_DISCOVERY = "gpu-feature-discovery"
    """NVIDIA's GPU Operator, on any cluster: `nvidia.com/gpu.product`."""
    GKE = "gke"
    """Google Kubernetes Engine: `cloud.google.com/gke-accelerator`."""
    KARPENTER = "karpenter"
    """Karpenter on EKS: `karpenter.k8s.aws/instance-gpu-name`."""


class Accelerator(BaseModel):
    """One GPU product."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str
    """Name in the catalogue, such as `a100-80gb`."""
    title: str
    """The vendor's name of the product."""
    memory_gib: float = Field(gt=0)
    """Memory of one GPU, in GiB."""
    driver_memory_mib: int | None = Field(default=None, gt=0)
    """Memory of one GPU as its driver reports it, in MiB, where that is known."""
    memory_bandwidth_gbs: float = Field(gt=0)
    """Memory bandwidth of one GPU, in GB/s (10^9 bytes)."""
    compute_capability: str = Field(pattern=r"^[0-9]+\.[0-9]$")
    """NVIDIA's version of its features, such as `8.0`."""
    labels: dict[GpuNodeLabels, dict[str, str]] = {}
    """Node labels that select it, by who writes them."""
    instances: dict[str, dict[str, int]] = {}
    """Machine types that carry it, by cloud (`aws`, `gcp`): name and number of GPUs."""

    @property
    def driver_memory_gib(self) -> float:
        """Memory of one GPU as a server finds it, in GiB; where that is not known, 7 % less than the data sheet says."""
        return self.driver_memory_mib / 1024 if self.driver_memory_mib else self.memory_gib * 0.93

    @property
    def supports_bfloat16(self) -> bool:
        """Whether it computes in bfloat16: from compute capability 8.0 on (NVIDIA, CUDA C++ Programming Guide)."""
        major, minor = self.compute_capability.split(".")
        return (int(major), int(minor)) >= (8, 0)


@cache
def catalogue() -> MappingProxyType[str, Accelerator]:
    """Every accelerator by its name, read once from the package's data."""
    text = (files("slipway") / "data" / "accelerators.yaml").read_text(encoding="utf-8")
    entries = yaml.safe_load(text)["accelerators"]
    return MappingProxyType({name: Accelerator.model_validate({"name": name, **entry}) for name, entry in entries.items()})


def parse(text: str) -> tuple[Accelerator, int]:
    """Read `NAME` or `NAME:COUNT`, such as `a100-80gb:4`; without a count it is one GPU.

    Raises:
        AcceleratorError: The name is not in the catalogue, or the count is not a whole number from 1 on.
    """
    name, colon, count = text.strip().lower().partition(":")
    known = catalogue()
    if name not in known:
        raise AcceleratorError(f"is '{text}', and '{name}' is not in the catalogue; {_choice(name)}")
    if colon and not _COUNT.fullmatch(count):
        raise AcceleratorError(f"is '{text}', with '{count}' for the number of GPUs; give 1 or more, such as '{name}:4'")
    return known[name], int(count) if colon else 1


def _choice(name: str) -> str:
    known = catalogue()
    # 'a100' names two sizes of memory: every entry that begins so is nearer than any other.
    near = [n for n in known if name and n.startswith(name)] or difflib.get_close_matches(name, known, n=1)
    meant = f"did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
    return f"{meant}There are {', '.join(known)}"
