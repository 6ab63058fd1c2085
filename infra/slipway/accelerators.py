"""The accelerator catalogue: GPUs by name, with the facts that every place needs of them.

The data is in `data/accelerators.yaml`, with its sources.
"""

import difflib
import re
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

SHARED = "shared"
"""The part of a GPU that several pods take turns on (time slicing)."""
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
    EKS_AUTO = "eks-auto"
    """EKS Auto Mode: `eks.amazonaws.com/instance-gpu-name`."""
    AKS = "aks"
    """Node auto-provisioning on AKS: `karpenter.azure.com/sku-gpu-name`."""


class Place(StrEnum):
    """Who lets machines with GPUs, under names and prices of its own."""

    EC2 = "ec2"
    """Amazon EC2, and so EKS."""
    SAGEMAKER = "sagemaker"
    """Amazon SageMaker AI's endpoints."""
    GCE = "gce"
    """Google Compute Engine, and so GKE."""
    VERTEX = "vertex"
    """Vertex AI's endpoints."""
    AZURE = "azure"
    """Azure's virtual machines, and so AKS."""


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
    mig: dict[str, float] = {}
    """Its slices by Multi-Instance GPU: memory of one in GiB, by the profile's name, such as `3g.40gb`."""
    labels: dict[GpuNodeLabels, dict[str, str]] = {}
    """Node labels that select it, by who writes them."""
    instances: dict[Place, dict[str, tuple[int, ...]]] = {}
    """Machine types that carry it, by place: name, and which numbers of GPUs there are."""
    vertex: dict[str, dict[str, tuple[int, ...]]] = {}
    """Vertex AI's accelerator types, such as `NVIDIA_L4`, with the machine types that carry them."""

    part: str | None = None
    """Which part of a GPU was asked for: a slice's profile, or 'shared' for a turn on one. `None`: whole ones."""

    @field_validator("instances", "vertex", mode="before")
    @classmethod
    def _numbers(cls, told: dict[str, dict[str, int | list[int]]]) -> dict[str, dict[str, tuple[int, ...]]]:
        return {
            place: {name: tuple(n) if isinstance(n, list) else (n,) for name, n in machines.items()}
            for place, machines in told.items()
        }

    def resource(self, labels: GpuNodeLabels) -> str:
        """What pods ask Kubernetes for.

        NVIDIA's device plugin names slices by their profile (MIG strategy `mixed`) and shared GPUs `nvidia.com/gpu.shared`
        (`renameByDefault`, so that nobody gets a turn who wanted a GPU). GKE tells both by node labels alone.
        """
        if self.part is None or labels is GpuNodeLabels.GKE:
            return "nvidia.com/gpu"
        return "nvidia.com/gpu.shared" if self.part == SHARED else f"nvidia.com/mig-{self.part}"

    def of_part(self, part: str) -> "Accelerator":
        """A slice of it, or a turn on it.

        Raises:
            AcceleratorError: It has no such slice.
        """
        gke = dict(self.labels.get(GpuNodeLabels.GKE, {}))
        if part == SHARED:
            gke["cloud.google.com/gke-gpu-sharing-strategy"] = "time-sharing"
            memory, driver, title = self.memory_gib, self.driver_memory_mib, f"{self.title}, shared"
        elif part in self.mig:
            gke["cloud.google.com/gke-gpu-partition-size"] = part
            memory, driver, title = self.mig[part], int(self.mig[part] * 1024), f"{self.title}, slice {part}"
        else:
            slices = f"its slices are {', '.join(self.mig)}, and " if self.mig else "no slices of it are known; "
            raise AcceleratorError(f"is '{self.name}/{part}'; {slices}'{self.name}/{SHARED}' is a turn on one")
        labels = {**self.labels, GpuNodeLabels.GKE: gke} if GpuNodeLabels.GKE in self.labels else self.labels
        changes = {"part": part, "title": title, "memory_gib": memory, "driver_memory_mib": driver, "labels": labels}
        return self.model_copy(update=changes)

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
def document() -> dict[str, Any]:
    """The data file as it is written."""
    return yaml.safe_load((files("slipway") / "data" / "accelerators.yaml").read_text(encoding="utf-8"))


@cache
def catalogue() -> MappingProxyType[str, Accelerator]:
    """Every accelerator by its name, read once from the package's data."""
    entries = document()["accelerators"]
    return MappingProxyType({name: Accelerator.model_validate({"name": name, **entry}) for name, entry in entries.items()})


def parse(text: str) -> tuple[Accelerator, int]:
    """Read `NAME` or `NAME:COUNT`, such as `a100-80gb:4`; without a count it is one GPU.

    `NAME/PROFILE` is a slice of one, such as `a100-80gb/3g.40gb`, and `NAME/shared` a turn on one.

    Raises:
        AcceleratorError: The name is not in the catalogue, the GPU has no such part, or the count is not a whole number from 1 on
            (of parts: 1).
    """
    whole, colon, count = text.strip().lower().partition(":")
    name, slash, part = whole.partition("/")
    known = catalogue()
    if name not in known:
        raise AcceleratorError(f"is '{text}', and '{name}' is not in the catalogue; {_choice(name)}")
    if colon and not _COUNT.fullmatch(count):
        raise AcceleratorError(f"is '{text}', with '{count}' for the number of GPUs; give 1 or more, such as '{name}:4'")
    number = int(count) if colon else 1
    if not slash:
        return known[name], number
    if number > 1:
        raise AcceleratorError(
            f"is '{text}': parts of GPUs cannot work together on one model, since NCCL does not connect them; "
            f"give '{whole}', a larger part, or whole GPUs"
        )
    return known[name].of_part(part), 1


def _choice(name: str) -> str:
    known = catalogue()
    # 'a100' names two sizes of memory: every entry that begins so is nearer than any other.
    near = [n for n in known if name and n.startswith(name)] or difflib.get_close_matches(name, known, n=1)
    meant = f"did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
    return f"{meant}There are {', '.join(known)}"
