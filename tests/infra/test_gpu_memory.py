"""How GPU memory is shared out, by figures worked out by hand. What an engine measures at its start is not proven here."""

import math
from typing import Any

import pytest

from slipway.accelerators import catalogue
from slipway.gpu_memory import GpuMemory
from slipway.model_shapes import find
from slipway.sizing import Weights

LLAMA_8B = "Llama-3.1-8B-Instruct"


def memory(accelerator: str = "l4", gpus: int = 1, model: str = LLAMA_8B, billion: float = 8, **more: Any) -> GpuMemory:
    known: dict[str, Any] = {
        "asked": f"{accelerator}:{gpus}",
        "accelerator": catalogue()[accelerator],
        "gpus": gpus,
        "nodes": 1,
        "tensor": gpus,
        "pipeline": 1,
        "utilization": 0.9,
        "weights": Weights.of(billion, 16, "dtype 'auto'"),
        "shape": find(model),
        "kv_value_bytes": 2,
    }
    return GpuMemory(**{**known, **more})


def test_what_weights_and_overhead_leave_is_the_cache() -> None:
    l4 = memory()
    # 23,034 MiB x 0.9 = 20.24 GiB; 16e9 bytes are 14.90; 2 for the rest.
    assert l4.usable_gib == pytest.approx(20.245, abs=0.001)
    assert l4.cache_gib == pytest.approx(3.343, abs=0.001)
    # In steps of 128 KiB.
    assert l4.tokens == 27_390
    assert l4.weights_fault() is None
    assert l4.cache_fault(27_390) is None
    fault = l4.cache_fault(27_391)
    assert fault is not None
    assert "27,391 tokens take 3.3 GiB of key-value cache: 2 x 32 layers x 8 KV heads x 128 x 2 bytes = 131,072 bytes" in fault
    assert "each of 1 x 22.5 GiB x 0.9 - 14.9 weights - 2 overhead = 3.3 GiB" in fault


def test_values_of_8_bits_hold_twice_the_tokens_and_two_gpus_more_than_twice() -> None:
    assert memory(kv_value_bytes=1).tokens in (2 * 27_390, 2 * 27_390 + 1)
    # 20.245 - 7.45 - 2 = 10.79 GiB each, at 64 KiB.
    assert memory(gpus=2).tokens == math.floor(memory(gpus=2).cache_gib * 2**14)
    assert (memory(gpus=2).tokens or 0) > 170_000


def test_weights_that_do_not_fit_are_told_with_the_fewest_gpus_that_hold_them() -> None:
    large = memory("a100-80gb", 1, "Llama-3.3-70B-Instruct", 70)
    fault = large.weights_fault()
    assert fault is not None
    assert "= 70.0 GiB of GPU memory, and the weights alone take 130.4 GiB" in fault
    assert "at least 2 GPUs of this kind" in fault
    assert large.tokens == 0
    none = memory(utilization=0.05).weights_fault()
    assert none is not None
    assert "Give larger GPUs" in none


def test_of_a_stranger_only_the_weights_are_checked_and_that_is_said() -> None:
    stranger = memory(model="acme/stranger")
    assert stranger.tokens is None
    assert stranger.cache_fault(10**9) is None
    assert "only the weights were checked" in stranger.words()[-1]


def test_gpus_of_several_nodes_are_those_of_a_group() -> None:
    # Two nodes with two GPUs each: every GPU has a quarter of the weights, as with four in one node.
    group = memory(gpus=4, nodes=2, tensor=2, pipeline=2)
    assert group.cache_gib == memory(gpus=4).cache_gib
    assert group.tokens == memory(gpus=4).tokens
