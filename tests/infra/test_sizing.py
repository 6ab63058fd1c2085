"""Sizing, by figures worked out by hand. That a real model fits these is not proven here."""

import pytest

from slipway.sizing import (
    Dtype,
    Weights,
    cache_gib,
    cpu_memory_gib,
    host_memory_gib,
    parameters_billion,
    shm_gib,
    startup_seconds,
    weight_bits,
)


@pytest.mark.parametrize(
    ("model", "billion"),
    [
        ("meta-llama/Llama-3.3-70B-Instruct", 70),
        ("meta-llama/Llama-2-7b-chat-hf", 7),
        ("Qwen/Qwen2.5-0.5B-Instruct", 0.5),
        ("Qwen/Qwen3-30B-A3B", 30),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 0.135),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 56),
        ("google/gemma-3-27b-it", 27),
        ("openai/gpt-oss-120b", 120),
        # Seventeen billion are active of a hundred and nine.
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", None),
        ("deepseek-ai/DeepSeek-V3", None),
        ("microsoft/Phi-3-mini-4k-instruct", None),
        # The owner's name says nothing of the model.
        ("lab-70b/tiny", None),
    ],
)
def test_parameters_come_from_the_name_where_it_tells(model: str, billion: float | None) -> None:
    assert parameters_billion(model) == (billion if billion is None else pytest.approx(billion))


@pytest.mark.parametrize(
    ("model", "dtype", "bits"),
    [
        ("a/Llama-70B", Dtype.AUTO, 16),
        ("a/Llama-70B", Dtype.FLOAT32, 32),
        ("Qwen/Qwen2.5-72B-Instruct-AWQ", Dtype.AUTO, 4),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", Dtype.FLOAT16, 4),
        ("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", Dtype.AUTO, 8),
        ("RedHatAI/Llama-3.1-8B-quantized.w8a8", Dtype.AUTO, 8),
        # 'int4' inside a word is no quantisation.
        ("a/Mint4All-7B", Dtype.AUTO, 16),
    ],
)
def test_bits_come_from_the_name_before_the_dtype(model: str, dtype: Dtype, bits: int) -> None:
    assert weight_bits(model, dtype)[0] == bits


def test_weights_are_parameters_times_bytes_and_the_sum_is_told() -> None:
    weights = Weights.of(70, 16, "dtype 'auto'")
    assert weights.size_bytes == 140_000_000_000
    assert weights.gib == pytest.approx(130.385, abs=0.001)
    assert weights.words == "70 billion parameters x 2 bytes (dtype 'auto') = 130.4 GiB"
    assert Weights.of(70, 4, "").size_bytes == 35_000_000_000


def test_the_startup_budget_is_download_load_and_warm_up() -> None:
    # 140,000 MB: 1,400 s at 100 MB/s, 280 s at 500 MB/s, 300 s.
    seconds, words = startup_seconds(Weights(140_000_000_000, ""))
    assert seconds == 1980
    assert words == (
        "140000 MB / 100 MB/s to download + 140000 MB / 500 MB/s to load + 300 s to warm up, at least 600 s = 1980 s"
    )


def test_the_startup_budget_has_a_floor_and_its_rates_can_be_told() -> None:
    small = Weights(1_000_000_000, "")
    assert startup_seconds(small)[0] == 600
    assert startup_seconds(Weights(140_000_000_000, ""), download_mb_s=None)[0] == 600
    assert startup_seconds(Weights(140_000_000_000, ""), download_mb_s=1000, load_mb_s=1000)[0] == 600
    assert startup_seconds(Weights(140_000_000_000, ""), download_mb_s=50)[0] == 2800 + 280 + 300


def test_memory_of_the_host() -> None:
    assert (shm_gib(1), shm_gib(4)) == (2, 16)
    # The seed's example: 4 GPUs of 80 GiB, a limit of 320 GiB. The request: 4 + 4 x 4 + 16.
    assert host_memory_gib(4, 80, 16) == (36, 320)
    # A node with one L4 can have 16 GiB only.
    assert host_memory_gib(1, 24, 2) == (10, 24)
    assert host_memory_gib(8, 4, 16) == (52, 52)


def test_memory_and_volume_for_a_file_on_cpus() -> None:
    gguf = Weights(4 * 2**30, "")
    # 4 + 1 + 4096 tokens x 2 slots x 128 KiB = 1.
    assert cpu_memory_gib(gguf, 4096, 2) == 6
    assert cache_gib(gguf) == 18
    assert cache_gib(Weights.of(70, 16, "")) == 271
