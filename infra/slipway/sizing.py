"""What a model needs, by arithmetic: bytes of weights, time to start, memory. Pure, and every sum can be told in words.

Bytes are bytes, GiB are 2^30 of them, and rates are in MB/s, 10^6 bytes a second, as network and disk vendors count.
"""

import math
import re
from dataclasses import dataclass
from enum import StrEnum

GIB = 2**30

DOWNLOAD_MB_S = 100.0
"""Default rate at which weights come from the hub: 0.8 Gbit/s, which most nodes reach."""
LOAD_MB_S = 500.0
"""Default rate from volume to GPU: half of what AWS gp3 volumes reach at most (Amazon EBS User Guide: 1,000 MB/s)."""
WARM_UP_SECONDS = 300.0
"""For what takes time at any size: imports, compiling kernels, capturing CUDA graphs, profiling memory."""
LEAST_STARTUP_SECONDS = 600
"""Floor of the budget: a small model on a slow day must not be killed while it starts."""

SHM_SEVERAL_GIB = 16
"""Shared memory where tensor parallel ranks exchange through it (NCCL, PyTorch)."""
SHM_ONE_GIB = 2
"""Shared memory for one GPU: the front end and the engine are processes of their own there too."""
HOST_BASE_GIB = 4
"""Host memory of the front end and the engine's own process."""
HOST_PER_GPU_GIB = 4
"""Host memory of one GPU's worker: CUDA context, pinned buffers, compiled kernels."""

COMPILED_GIB = 10
"""Volume for what an engine compiles: kernels and graphs."""

KV_BYTES_PER_TOKEN = 131_072
"""For a model of unknown shape: key-value cache of one token of Llama 3 8B, 2 x 32 layers x 8 heads x 128 x 2 bytes
("The Llama 3 Herd of Models", table 3)."""


class Dtype(StrEnum):
    """What a model computes in, and its weights are held in unless they are quantised."""

    AUTO = "auto"
    """As the checkpoint says: 16 bits for nearly all models."""
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"

    @property
    def bits(self) -> int:
        """Bits of one weight."""
        return 32 if self is Dtype.FLOAT32 else 16


class KvCacheDtype(StrEnum):
    """What keys and values are kept in."""

    AUTO = "auto"
    """As the model computes."""
    FP8 = "fp8"
    """8 bits: half the memory, at some loss of accuracy."""

    @property
    def bits(self) -> int | None:
        """Bits of one number; `None`: as the model computes."""
        return 8 if self is KvCacheDtype.FP8 else None


_QUANTISED = (
    (4, re.compile(r"(?<![a-z0-9])(awq|gptq|int4|w4a16|w4a8|nvfp4|mxfp4|fp4|nf4|bnb-4bit|4bit)(?![a-z0-9])")),
    (8, re.compile(r"(?<![a-z0-9])(fp8|int8|w8a8|w8a16|8bit)(?![a-z0-9])")),
)
_EXPERTS = re.compile(r"(?<![a-z0-9.])([0-9]+)x([0-9]+(?:\.[0-9]+)?)(b|m)(?![a-z0-9])")
_PARAMETERS = re.compile(r"(?<![a-z0-9.])([0-9]+(?:\.[0-9]+)?)(b|m)(?![a-z0-9])")
# Llama-4-Scout-17B-16E: 17 billion are active for a token, and nothing in the name tells how many there are.
_ACTIVE_ONLY = re.compile(r"[0-9]b-[0-9]+e(?![a-z0-9])")

_ACTIVE = re.compile(r"(?<![a-z0-9.])a[0-9]+(?:\.[0-9]+)?b(?![a-z0-9])")


def parameters_billion(model: str) -> float | None:
    """Parameters by a model's name: 70 for `Llama-3.3-70B-Instruct`, 56 for `Mixtral-8x7B`, `None` where it does not tell.

    `8x7B` counts 8 times 7, which is above the truth where the experts share their attention layers.
    """
    name = model.rsplit("/", 1)[-1].lower()
    if _ACTIVE_ONLY.search(name):
        return None
    if found := _EXPERTS.search(name):
        return float(found[1]) * float(found[2]) / (1 if found[3] == "b" else 1000)
    if found := _PARAMETERS.search(name):
        return float(found[1]) / (1 if found[2] == "b" else 1000)
    return None


def is_mixture(model: str) -> bool:
    """Whether a model's name tells that it is a mixture of experts: `8x7B`, `A3B`, `16E`."""
    name = model.rsplit("/", 1)[-1].lower()
    return bool(_ACTIVE_ONLY.search(name) or _EXPERTS.search(name) or _ACTIVE.search(name))


def weight_bits(model: str, dtype: Dtype) -> tuple[int, str]:
    """Bits of one stored weight, and where that is known from: the model's name where it says AWQ, FP8 and such, else `dtype`."""
    name = model.rsplit("/", 1)[-1].lower()
    for bits, pattern in _QUANTISED:
        if found := pattern.search(name):
            return bits, f"'{found[1]}' in its name"
    return dtype.bits, f"dtype '{dtype.value}'"


@dataclass(frozen=True)
class Weights:
    """The size of a model's weights."""

    size_bytes: int
    """All of them together."""
    words: str
    """The sum that it comes from, for whoever reads an error."""

    @classmethod
    def of(cls, billion: float, bits: int, source: str) -> "Weights":
        """Parameters times bits. `source` says how the bits are known."""
        size = round(billion * 1e9 * bits / 8)
        return cls(size, f"{billion:g} billion parameters x {bits / 8:g} bytes ({source}) = {size / GIB:.1f} GiB")

    @property
    def gib(self) -> float:
        """Their size in GiB."""
        return self.size_bytes / GIB


def startup_seconds(
    weights: Weights,
    *,
    download_mb_s: float | None = DOWNLOAD_MB_S,
    load_mb_s: float = LOAD_MB_S,
    warm_up_seconds: float = WARM_UP_SECONDS,
    least: int = LEAST_STARTUP_SECONDS,
) -> tuple[int, str]:
    """How long a server may take from its first instruction to its first answer, and the sum in words.

    weights / download rate + weights / load rate + warm-up, at least `least`.

    Args:
        weights: What must be downloaded and loaded.
        download_mb_s: Rate from the hub, in MB/s; `None` where the weights are there before the server starts.
        load_mb_s: Rate from the volume into memory, in MB/s.
        warm_up_seconds: What any start takes.
        least: Floor, in seconds.
    """
    megabytes = weights.size_bytes / 1e6
    parts: list[tuple[float, str]] = []
    if download_mb_s is not None:
        parts.append((megabytes / download_mb_s, f"{megabytes:.0f} MB / {download_mb_s:g} MB/s to download"))
    parts.append((megabytes / load_mb_s, f"{megabytes:.0f} MB / {load_mb_s:g} MB/s to load"))
    parts.append((warm_up_seconds, f"{warm_up_seconds:g} s to warm up"))
    total = max(least, math.ceil(sum(seconds for seconds, _ in parts)))
    return total, f"{' + '.join(words for _, words in parts)}, at least {least} s = {total} s"


def shm_gib(gpus: int) -> int:
    """Size of /dev/shm, in GiB. The container runtime's own default is 64 MiB, on which NCCL fails."""
    return SHM_SEVERAL_GIB if gpus > 1 else SHM_ONE_GIB


def host_memory_gib(gpus: int, gpu_memory_gib: float, shm: int) -> tuple[int, int]:
    """Host memory to request and to allow for a GPU server, in GiB.

    The request is what stays resident: processes and /dev/shm, which counts as the pod's memory. Weights pass through the page
    cache, which the kernel takes back, so they are not requested; the limit leaves room for them, as much as the GPUs hold.
    """
    request = HOST_BASE_GIB + HOST_PER_GPU_GIB * gpus + shm
    return request, max(request, math.ceil(gpus * gpu_memory_gib))


def cpu_memory_gib(weights: Weights, context_tokens: int, parallel: int, kv_bytes: int = KV_BYTES_PER_TOKEN) -> int:
    """Memory of a server that runs a model on CPUs, in GiB: weights, 1 GiB of its own, and the key-value cache of every slot.

    Args:
        weights: Their size.
        context_tokens: Tokens of one slot.
        parallel: Slots.
        kv_bytes: Key-value cache of one token, in bytes.
    """
    return math.ceil(weights.gib + 1 + context_tokens * parallel * kv_bytes / GIB)


def cache_gib(weights: Weights) -> int:
    """Volume for a model's cache, in GiB: twice the weights, for a new revision beside the old, and 10 for compiled kernels."""
    return math.ceil(2 * weights.gib) + COMPILED_GIB
