"""What the sizing arithmetic says of a model's memory, beside what a GPU measures: `python -m bench.gpu_memory [MODEL ...]`.

Needs PyTorch, transformers and a GPU. Each model has the shape of the real one and random weights: neither its memory nor its
time depends on what the weights are. Measured are the weights, the key-value cache of a token, what a batch of prompt tokens
takes beside them together with CUDA's own memory, and how long a token of a prompt takes.
"""

import argparse
import importlib
import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

from slipway.gpu_memory import OVERHEAD_GIB
from slipway.model_shapes import ModelShape, find, parameters_billion
from slipway.sizing import GIB, Dtype, Weights, weight_bits
from slipway_router.replica import ASSUMED_SECONDS_PER_TOKEN

BATCH_TOKENS = 8192
"""Prompt tokens computed in one step: what vLLM takes by default on such a GPU (`max_num_batched_tokens`)."""


@dataclass(frozen=True)
class Body:
    """What of a model's `config.json` its key-value cache does not depend on."""

    hidden: int
    intermediate: int
    vocabulary: int
    tied: bool = False


BODIES = {
    "llama-3.2-1b": Body(2048, 8192, 128_256, tied=True),
    "llama-3.1-8b": Body(4096, 14_336, 128_256),
    "qwen2.5-14b": Body(5120, 13_824, 152_064),
}
"""Widths as in `config.json` of each model's repository on the hub."""


@dataclass(frozen=True)
class Row:
    """One figure of one model."""

    model: str
    figure: str
    unit: str
    measured: float
    told: float
    """What the arithmetic says."""


def rows(name: str, torch: Any, transformers: Any) -> list[Row]:
    """Build the model on the GPU, measure, and put the arithmetic beside."""
    shape = find(name)
    billion = parameters_billion(name)
    if shape is None or billion is None or shape.attention_heads is None:
        raise SystemExit(f"{name}: its shape is not in the catalogue")
    weights = Weights.of(billion, *weight_bits(name, Dtype.BFLOAT16))
    free = torch.cuda.mem_get_info()[0]
    model = build(shape, BODIES[name], transformers, torch)
    own = torch.cuda.memory_allocated()
    prompt = torch.randint(0, BODIES[name].vocabulary, (1, BATCH_TOKENS), device="cuda")
    with torch.inference_mode():
        seconds, cache = timed(torch, lambda: model(prompt, use_cache=True, logits_to_keep=1).past_key_values)
        held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
        torch.cuda.synchronize()
        took = free - torch.cuda.mem_get_info()[0]
    return [
        Row(name, "weights", "GiB", own / GIB, weights.gib),
        Row(name, "key-value cache of a token", "bytes", held / BATCH_TOKENS, shape.kv_bytes_per_token(2)),
        Row(name, f"overhead with {BATCH_TOKENS} prompt tokens", "GiB", (took - own - held) / GIB, OVERHEAD_GIB),
        Row(name, "time of a prompt token", "us", seconds / BATCH_TOKENS * 1e6, ASSUMED_SECONDS_PER_TOKEN * 1e6),
    ]


def build(shape: ModelShape, body: Body, transformers: Any, torch: Any) -> Any:
    """A Llama of this shape with random weights, in bfloat16."""
    config = transformers.LlamaConfig(
        hidden_size=body.hidden,
        intermediate_size=body.intermediate,
        vocab_size=body.vocabulary,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.attention_heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=2 * BATCH_TOKENS,
        tie_word_embeddings=body.tied,
    )
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()


def timed(torch: Any, work: Any) -> tuple[float, Any]:
    """Seconds of the second of two runs, by the GPU's own clock, and its result."""
    work()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    made = work()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1000, made


def main() -> None:
    """Print the table, or why there is none."""
    parser = argparse.ArgumentParser(description="Sizing arithmetic beside a GPU's own figures.")
    parser.add_argument("models", nargs="*", choices=[*BODIES, []], help=f"of {', '.join(BODIES)}; default: all")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    given = parser.parse_args()
    try:
        torch, transformers = (importlib.import_module(name) for name in ("torch", "transformers"))
    except ImportError as error:
        raise SystemExit(f"{error}: this needs PyTorch and transformers") from None
    if not torch.cuda.is_available():
        raise SystemExit("PyTorch finds no GPU here")
    found: list[Row] = []
    sys.stderr.write("measured, then what the arithmetic says\n")
    for name in given.models or BODIES:
        found += rows(name, torch, transformers)
        torch.cuda.empty_cache()
    if given.json:
        sys.stdout.write(json.dumps([asdict(row) for row in found]) + "\n")
        return
    sys.stdout.write(f"{torch.cuda.get_device_name()}, {torch.cuda.get_device_properties(0).total_memory / GIB:.2f} GiB\n")
    for row in found:
        sys.stdout.write(f"{row.model:<14} {row.figure:<36} {row.measured:>12,.2f} {row.told:>12,.2f} {row.unit}\n")


if __name__ == "__main__":
    main()
