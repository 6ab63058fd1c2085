"""How the memory of a server's GPUs is shared out between weights, overhead and key-value cache, and whether all of it fits."""

import math
from dataclasses import dataclass

from slipway.accelerators import Accelerator
from slipway.model_shapes import ModelShape
from slipway.sizing import GIB, Weights

OVERHEAD_GIB = 2.0
"""Of each GPU, for activations of a batch, CUDA graphs and NCCL's buffers. An estimate, since only the engine can measure it:
vLLM 0.26.0 found 2.1 GiB with Llama 3.1 8B on an H200 (docs/benchmarks.md)."""


def on_nodes(nodes: int) -> str:
    """Words for GPUs on several nodes."""
    return f" on {nodes} nodes" if nodes > 1 else ""


@dataclass(frozen=True)
class GpuMemory:
    """The memory of one server's GPUs. Each GPU holds an equal share of weights and cache."""

    asked: str
    """The accelerator as it was asked for, such as `a100-80gb:4`."""
    nodes: int
    """Nodes that have as many of it each."""
    accelerator: Accelerator
    gpus: int
    tensor: int
    pipeline: int
    utilization: float
    """Share of each GPU's memory that the engine may use."""
    weights: Weights
    shape: ModelShape | None
    """`None`: not known, so that only the weights can be checked."""
    kv_value_bytes: int
    """Bytes of one number in the key-value cache."""

    @property
    def usable_gib(self) -> float:
        """What the engine may use of one GPU, in GiB."""
        return self.accelerator.driver_memory_gib * self.utilization

    @property
    def weights_gib(self) -> float:
        """Weights on one GPU, in GiB."""
        return self.weights.gib / self.gpus

    @property
    def cache_gib(self) -> float:
        """What is left for the key-value cache on one GPU, in GiB; below 0 where not even the weights fit."""
        return self.usable_gib - self.weights_gib - OVERHEAD_GIB

    @property
    def tokens(self) -> int | None:
        """Tokens whose keys and values fit at a time, all requests together; `None` for a model of unknown shape."""
        if self.shape is None:
            return None
        each = self.shape.kv_bytes_per_token(self.kv_value_bytes, tensor=self.tensor, pipeline=self.pipeline)
        return max(0, math.floor(self.cache_gib * GIB / each))

    def least_gpus(self) -> int | None:
        """Fewest GPUs of this kind that hold the weights, or `None` where the overhead alone fills them."""
        room = self.usable_gib - OVERHEAD_GIB
        return math.ceil(self.weights.gib / room) if room > 0 else None

    @property
    def budget(self) -> str:
        """The room on one GPU, as a sum."""
        return (
            f"each of {self.gpus} x {self.accelerator.driver_memory_gib:.1f} GiB x {self.utilization:g}"
            f" - {self.weights_gib:.1f} weights - {OVERHEAD_GIB:g} overhead = {self.cache_gib:.1f} GiB for the key-value cache"
        )

    def weights_fault(self) -> str | None:
        """Why the weights do not fit, with the sum and the choice there is."""
        if self.cache_gib > 0:
            return None
        least = self.least_gpus()
        more = f"at least {least} GPUs of this kind, larger ones" if least else "larger GPUs"
        return (
            f"is '{self.asked}'{on_nodes(self.nodes)}"
            f" with {self.gpus} x {self.accelerator.driver_memory_gib:.1f} GiB x {self.utilization:g}"
            f" (gpu_memory_utilization) - {self.gpus} x {OVERHEAD_GIB:g} GiB of overhead = "
            f"{self.gpus * (self.usable_gib - OVERHEAD_GIB):.1f} GiB of GPU memory, "
            f"and the weights alone take {self.weights.gib:.1f} GiB: {self.weights.words}. "
            f"Give {more}, or quantised weights; "
            "where this sum is wrong, 'model_parameters_billion' and 'weight_bits' set it right"
        )

    def cache_fault(self, tokens: int) -> str | None:
        """Why the keys and values of so many tokens do not fit, as a sum, to be put after what asks for them."""
        room = self.tokens
        if self.shape is None or room is None or tokens <= room:
            return None
        total = self.shape.kv_bytes_per_token(self.kv_value_bytes) * tokens / GIB
        split = f", on {self.gpus} GPUs" if self.gpus > 1 else ""
        return (
            f"{tokens:,} tokens take {total:.1f} GiB of key-value cache{split}: {self.shape.words(self.kv_value_bytes)}. "
            f"There is room for {room:,} tokens: {self.budget}"
        )

    def words(self) -> list[str]:
        """How the memory is shared out, line by line."""
        lines = [
            f"memory of a GPU: {self.accelerator.driver_memory_gib:.1f} GiB x {self.utilization:g} = {self.usable_gib:.1f} GiB",
            f"  weights: {self.weights_gib:.1f} GiB ({self.weights.words}, over {self.gpus} GPUs)",
            f"  overhead: {OVERHEAD_GIB:g} GiB (an estimate: activations, CUDA graphs, NCCL)",
            f"  key-value cache: {self.cache_gib:.1f} GiB",
        ]
        if self.shape is None:
            lines.append(
                "the model's shape is not known, so only the weights were checked; with 'layers', 'kv_heads' and 'head_dim' "
                "the key-value cache is checked too"
            )
        else:
            lines.append(f"key-value cache: {self.shape.words(self.kv_value_bytes)}; room for {self.tokens:,} tokens at a time")
        return lines
