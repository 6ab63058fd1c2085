"""The shapes of well-known models: what the size of their key-value cache follows from, and how they can be split over GPUs.

The data is in `data/model_shapes.yaml`, with its source.
"""

import re
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import yaml
from pydantic import BaseModel, ConfigDict, Field

from slipway import sizing


class ModelShape(BaseModel):
    """What of a transformer's architecture its memory follows from. Every layer attends to the whole context."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    source: str
    """Where it is known from, for whoever reads an error."""
    parameters_billion: float | None = Field(default=None, gt=0)
    """All weights, in 10^9, where known."""
    active_billion: float | None = Field(default=None, gt=0)
    """Of a mixture of experts: weights that each token is computed with, in 10^9. Default: all."""
    layers: int = Field(ge=1)
    """Number of layers."""
    kv_heads: int = Field(ge=1)
    """Heads of keys and values in each layer; fewer than the attention heads with grouped-query attention."""
    head_dim: int = Field(ge=1)
    """Numbers in one key, and in one value."""
    attention_heads: int | None = Field(default=None, ge=1)
    """Query heads in each layer, where known."""
    context_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of prompt and answer together that the model was made for, where known."""

    def kv_bytes_per_token(self, value_bytes: int, *, tensor: int = 1, pipeline: int = 1) -> int:
        """Key-value cache of one token on one GPU, in bytes.

        2 (a key and a value) x layers x KV heads x head dimension x bytes of a value ("Efficient Memory Management for Large
        Language Model Serving with PagedAttention", section 3). Pipeline stages share the layers, tensor parallel ranks the KV
        heads; where there are more ranks than heads, each rank keeps a copy of one.

        Args:
            value_bytes: Bytes of one number: 2 with 16 bits, 1 with FP8.
            tensor: GPUs that share each layer.
            pipeline: Groups of GPUs that share the layers.
        """
        return 2 * -(-self.layers // pipeline) * -(-self.kv_heads // tensor) * self.head_dim * value_bytes

    def split_fault(self, tensor: int) -> str | None:
        """Why ranks cannot have an equal share of the heads, as vLLM, SGLang and TGI refuse at their start."""
        if self.attention_heads and self.attention_heads % tensor:
            return (
                f"is {tensor}, which does not divide the model's {self.attention_heads} attention heads ({self.source}); "
                "give a divisor of them"
            )
        if self.kv_heads % tensor and tensor % self.kv_heads:
            return (
                f"is {tensor}, neither a divisor nor a multiple of the model's {self.kv_heads} KV heads ({self.source}); give one"
            )
        return None

    def words(self, value_bytes: int) -> str:
        """The sum of `kv_bytes_per_token` over all GPUs, in words."""
        total = self.kv_bytes_per_token(value_bytes)
        return (
            f"2 x {self.layers} layers x {self.kv_heads} KV heads x {self.head_dim} x {value_bytes} bytes"
            f" = {total:,} bytes per token ({self.source})"
        )


@cache
def catalogue() -> MappingProxyType[str, ModelShape]:
    """Every shape by the name that it is found by, read once from the package's data."""
    text = (files("slipway") / "data" / "model_shapes.yaml").read_text(encoding="utf-8")
    entries = yaml.safe_load(text)["models"]
    shapes = {name: ModelShape.model_validate({"source": f"config.json of {name}", **entry}) for name, entry in entries.items()}
    return MappingProxyType(shapes)


def find(model: str) -> ModelShape | None:
    """The shape by a model's name: that of `llama-3.3-70b` for `meta-llama/Llama-3.3-70B-Instruct`, `None` for a stranger."""
    name = model.rsplit("/", 1)[-1].lower()
    found = (key for key in catalogue() if re.search(rf"(?<![a-z0-9.]){re.escape(key)}(?![a-z0-9])", name))
    # `qwen3-30b-a3b` names a model more exactly than a shorter key in it would.
    key = max(found, key=len, default=None)
    return catalogue()[key] if key else None


def parameters_billion(model: str) -> float | None:
    """Weights of a model in 10^9: counted where its shape is known, else as its name has it (`sizing.parameters_billion`)."""
    shape = find(model)
    counted = shape.parameters_billion if shape else None
    return counted or sizing.parameters_billion(model)
