"""Shapes of models: found by name, and their sums against published ones. That a name tells the truth is not proven here."""

import pytest

from slipway import sizing
from slipway.model_shapes import ModelShape, catalogue, find, parameters_billion


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.3-70b"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("meta-llama/Meta-Llama-3-8B", "llama-3-8b"),
        ("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", "llama-3.3-70b"),
        ("Qwen/Qwen2.5-1.5B-Instruct-GGUF", "qwen2.5-1.5b"),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", "qwen3-30b-a3b"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"),
        # Another architecture of a like name.
        ("nvidia/Llama-3_3-Nemotron-Super-49B-v1", None),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", None),
        ("Qwen/Qwen2.5-VL-7B-Instruct", None),
        ("Qwen/Qwen3-32B-A3B", "qwen3-32b"),
        ("deepseek-ai/DeepSeek-V3", None),
        ("llama-3.3-70b/tiny", None),
    ],
)
def test_a_shape_is_found_by_the_name_of_the_repository(model: str, key: str | None) -> None:
    assert find(model) == (catalogue()[key] if key else None)


@pytest.mark.parametrize(
    ("key", "kib"),
    # 320 KiB a token of the 70B models and 128 of the 8B: vLLM's PagedAttention paper gives 800 KB for OPT-13B by the same sum.
    [("llama-3.3-70b", 320), ("llama-3.1-8b", 128), ("llama-2-7b", 512), ("llama-3.2-1b", 32), ("qwen2.5-1.5b", 28)],
)
def test_bytes_of_a_token(key: str, kib: int) -> None:
    assert catalogue()[key].kv_bytes_per_token(2) == kib * 1024
    assert catalogue()[key].kv_bytes_per_token(1) == kib * 512


def test_the_papers_figure_for_opt_13b_comes_out() -> None:
    opt = ModelShape(source="PagedAttention, section 3", layers=40, kv_heads=40, head_dim=128)
    assert opt.kv_bytes_per_token(2) == 800 * 1024


def test_gpus_share_heads_and_layers_and_copy_what_cannot_be_shared() -> None:
    shape = catalogue()["qwen2.5-7b"]
    whole = shape.kv_bytes_per_token(2)
    assert shape.kv_bytes_per_token(2, tensor=4) == whole // 4
    # Four heads on seven ranks: each has one.
    assert shape.kv_bytes_per_token(2, tensor=7) == whole // 4
    assert shape.kv_bytes_per_token(2, pipeline=4) == whole // 4
    # 28 layers in three stages: the longest has ten.
    assert shape.kv_bytes_per_token(2, pipeline=3) == whole // 28 * 10


def test_every_entry_is_found_by_itself_and_has_whole_groups_of_heads() -> None:
    assert len(catalogue()) >= 25
    for key, shape in catalogue().items():
        assert find(f"any/{key}") == shape
        assert shape.attention_heads
        assert shape.attention_heads % shape.kv_heads == 0


@pytest.mark.parametrize(
    ("model", "billion"),
    [
        # As the hub counts them in the files published.
        ("meta-llama/Llama-3.1-8B-Instruct", 8.03),
        ("meta-llama/Llama-3.2-1B", 1.236),
        ("Qwen/Qwen2.5-14B-Instruct", 14.77),
        # Not 8 times 7: the experts share their attention layers.
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 46.7),
        # By the name, where the shape is not known.
        ("some/Model-13B", 13.0),
        ("deepseek-ai/DeepSeek-V3", None),
    ],
)
def test_weights_are_counted_where_the_shape_is_known(model: str, billion: float | None) -> None:
    assert parameters_billion(model) == (billion if billion is None else pytest.approx(billion, rel=1e-3))


def test_every_entry_has_as_many_weights_as_its_name_says_or_nearly() -> None:
    for key, shape in catalogue().items():
        assert parameters_billion(key) == shape.parameters_billion
        named = sizing.parameters_billion(key)
        assert named is not None
        assert shape.parameters_billion is not None
        # 'mixtral-8x7b' counts what is shared eight times; '1b' is short for 1.24.
        assert 0.75 < shape.parameters_billion / named < 1.25
