"""What a router is told of a model server, by what it was asked for."""

from typing import Any, cast

import pytest
from tests.infra.kubernetes.model_server import LLAMA, SMALL

from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs
from slipway.kubernetes.gpu_model_server_backend import abilities_of, known_facts
from slipway.kubernetes.gpu_model_server_settings import GpuModelServerSettings
from slipway.kubernetes.model_engine import ModelEngine

PARSER = ("--tool-call-parser", "llama3_json")


def facts(args: Any, price: float | None = None, **more: Any) -> dict[str, Any]:
    return known_facts(GpuModelServerSettings.of("llama", cast("GpuModelServerArgs", {**args, **more})), price)


@pytest.mark.parametrize(
    ("engine", "model", "extra", "abilities"),
    [
        (ModelEngine.VLLM, "meta-llama/Llama-3.3-70B-Instruct", (), ["json_schema", "logprobs"]),
        (ModelEngine.VLLM, "meta-llama/Llama-3.3-70B-Instruct", PARSER, ["json_schema", "logprobs"]),
        (
            ModelEngine.VLLM,
            "meta-llama/Llama-3.3-70B-Instruct",
            (*PARSER, "--enable-auto-tool-choice"),
            ["tools", "json_schema", "logprobs"],
        ),
        (ModelEngine.SGLANG, "Qwen/Qwen3-8B", ("--tool-call-parser=qwen25",), ["tools", "json_schema", "logprobs"]),
        (ModelEngine.VLLM, "someone/else-vl", (), None),
        (ModelEngine.LLAMA_CPP, "Qwen/Qwen3-8B", (), None),
    ],
)
def test_what_it_can(engine: ModelEngine, model: str, extra: tuple[str, ...], abilities: list[str] | None) -> None:
    assert abilities_of(engine, model, extra) == abilities


def test_the_price_of_its_gpus_and_the_room_in_its_batch() -> None:
    told = facts(LLAMA, 2.5, parallel_requests=64)
    settings = GpuModelServerSettings.of("llama", LLAMA)
    assert settings.gpus > 1
    assert told["replica_cost_per_hour"] == 2.5 * settings.gpus
    assert told["slots_per_replica"] == 64
    assert "replica_cost_per_hour" not in facts(LLAMA)
    assert "slots_per_replica" not in facts(LLAMA)


def test_replicas_and_the_cold_start_of_one_that_scales_to_zero() -> None:
    scaling = {"min": 0, "max": 3, "prometheus_url": "http://prometheus.monitoring.svc"}
    none = facts(SMALL, scaling=scaling)
    assert (none["min_replicas"], none["max_replicas"]) == (0, 3)
    assert none["cold_start_seconds"] > 600
    some = facts(SMALL, scaling={**scaling, "min": 1})
    assert (some["min_replicas"], "cold_start_seconds" in some) == (1, False)
    fixed = facts(SMALL, replicas=2)
    assert (fixed["min_replicas"], fixed["max_replicas"]) == (2, 2)
    # One that is stopped is not woken by a request.
    assert "min_replicas" not in facts(SMALL, replicas=0)


def test_gpus_of_a_kind_fail_together_before_the_cluster_does() -> None:
    assert facts(LLAMA)["domain"] == "kubernetes/a100-80gb"
    assert facts(LLAMA, accelerator="h100-80gb:4")["domain"] == "kubernetes/h100-80gb"
