"""Text Generation Inference's part of the pod. It needs a GPU itself and is not run."""

import subprocess
from typing import Any

import kubernetes_validate
import pytest
from tests.infra.kubernetes.model_server import LLAMA, env, following, planned, pod, refused, revealed, server

from slipway.kubernetes.tgi import BUSY

TGI: dict[str, Any] = {**LLAMA, "engine": "tgi"}
EVERYTHING: dict[str, Any] = {
    "revision": "main",
    "dtype": "float16",
    "context_tokens": 8192,
    "parallel_requests": 32,
    "tensor_parallel_size": 4,
    "kv_cache_dtype": "fp8",
    "gpu_memory_utilization": 0.85,
    "extra_args": ["--waiting-served-ratio", "1.2"],
    "tasks": ["chat"],
}


@pytest.mark.parametrize("more", [{}, EVERYTHING, {"offline": True}])
def test_every_object_is_valid_by_kubernetes_own_schemas(more: dict[str, Any]) -> None:
    for resource in planned(base=TGI, **more):
        if resource.custom:
            kubernetes_validate.validate(revealed(resource.inputs), "1.36", strict=True)


def test_everything_that_can_be_asked_arrives() -> None:
    container = server(planned(base=TGI, **EVERYTHING))
    assert container["command"] == ["text-generation-launcher"]
    for flag, value in {
        "--model-id": "meta-llama/Llama-3.3-70B-Instruct",
        "--revision": "main",
        "--dtype": "float16",
        "--max-total-tokens": "8192",
        "--max-batch-size": "32",
        "--num-shard": "4",
        "--cuda-memory-fraction": "0.85",
        "--kv-cache-dtype": "fp8_e5m2",
        "--port": "8000",
    }.items():
        assert following(container["args"], flag) == value
    assert container["args"][-2:] == ["--waiting-served-ratio", "1.2"]
    # It has no word for 'auto'.
    assert "--dtype" not in server(planned(base=TGI))["args"]


def test_its_image_is_the_last_that_runs_as_another_user_than_root() -> None:
    plan = planned(base=TGI)
    assert server(plan)["image"] == "ghcr.io/huggingface/text-generation-inference:3.0.1"
    assert pod(plan)["securityContext"]["runAsUser"] == 10001
    assert env(server(plan))["HUGGINGFACE_HUB_CACHE"] == "/model-cache/huggingface/hub"


def test_streams_are_waited_for_before_its_launcher_would_cut_them() -> None:
    plan = planned(base=TGI, longest_stream_seconds=600)
    command = server(plan)["lifecycle"]["preStop"]["exec"]["command"]
    assert command[-4:] == ["10", "600", "8000", BUSY]
    assert pod(plan)["terminationGracePeriodSeconds"] > 610


@pytest.mark.parametrize(
    ("metrics", "busy"),
    [
        ("# TYPE tgi_queue_size gauge\ntgi_queue_size 0\ntgi_batch_current_size 0\n", False),
        ("tgi_queue_size 0\ntgi_batch_current_size 3\n", True),
        ("tgi_queue_size 12\ntgi_batch_current_size 0\n", True),
    ],
)
def test_a_server_with_a_batch_or_a_queue_is_busy(metrics: str, busy: bool) -> None:
    assert (subprocess.run(["grep", "-qE", BUSY], input=metrics, text=True, check=False).returncode == 0) is busy


@pytest.mark.parametrize(
    ("wrong", "path", "says"),
    [
        ({"served_name": "llama"}, "served_name", "does nothing with engine 'tgi'"),
        ({"pipeline_parallel_size": 1}, "pipeline_parallel_size", "does nothing with engine 'tgi'"),
        ({"gguf": {"file": "a.gguf", "bytes": 1}}, "gguf", "does nothing with engine 'tgi'"),
        ({"dtype": "float32"}, "dtype", "which engine 'tgi' does not compute in; give 'auto', 'bfloat16', 'float16'"),
        (
            {"tasks": ["embeddings"]},
            "tasks[0]",
            "which engine 'tgi' does not serve; give 'chat', 'completions', or another engine",
        ),
        ({"extra_args": ["--sharded", "true"]}, "extra_args[0]", "use 'tensor_parallel_size'"),
        ({"extra_args": ["--max-total-tokens=1"]}, "extra_args[0]", "use 'context_tokens'"),
        (
            {"scaling": {"max": 2, "prometheus_url": "http://p", "kv_cache_percent": 50}},
            "scaling.kv_cache_percent",
            "is not told",
        ),
    ],
)
def test_what_it_does_not_take_is_refused_by_name(wrong: dict[str, Any], path: str, says: str) -> None:
    faults = refused(base=TGI, **wrong)
    assert list(faults) == [path]
    assert says in faults[path]
