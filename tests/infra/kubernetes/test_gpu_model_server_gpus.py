"""Parts of GPUs, and whether a model fits: by hand in the comments. What is refused is in test_gpu_model_server_checks.py."""

from collections.abc import Mapping
from typing import Any

import kubernetes_validate
import pytest
from tests.infra.kubernetes.model_server import LLAMA, planned, pod, refused, revealed, server, stateful_set

KUBERNETES = "1.36"
SMALLER: Mapping[str, Any] = {**LLAMA, "model": "meta-llama/Llama-3.1-8B-Instruct", "context_tokens": 8192}


def test_where_a_sum_is_wrong_the_user_sets_it_right() -> None:
    assert "accelerator" in refused(model="openai/gpt-oss-120b", accelerator="h100-80gb")
    plan = planned(model="openai/gpt-oss-120b", accelerator="h100-80gb", weight_bits=4)
    # 60e9 bytes: 2 x 55.9 GiB and 10.
    assert stateful_set(plan)["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "122Gi"


@pytest.mark.parametrize(
    ("more", "resource", "labels"),
    [
        ({"accelerator": "a100-80gb/3g.40gb"}, "nvidia.com/mig-3g.40gb", {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}),
        (
            {"accelerator": "a100-80gb/3g.40gb", "node_labels": "gke"},
            "nvidia.com/gpu",
            {"cloud.google.com/gke-accelerator": "nvidia-a100-80gb", "cloud.google.com/gke-gpu-partition-size": "3g.40gb"},
        ),
        (
            {"accelerator": "h100-80gb/shared", "gpu_memory_utilization": 0.4},
            "nvidia.com/gpu.shared",
            {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
        ),
    ],
)
def test_a_part_of_a_gpu_is_asked_for_by_its_own_name(more: dict[str, Any], resource: str, labels: dict[str, str]) -> None:
    plan = planned(base=SMALLER, **more)
    resources = server(plan)["resources"]
    assert {k: v for k, v in resources["limits"].items() if k != "memory"} == {resource: "1"}
    assert resources["requests"][resource] == "1"
    assert pod(plan)["nodeSelector"] == labels
    kubernetes_validate.validate(revealed(plan["llama-server"].inputs), KUBERNETES, strict=True)


@pytest.mark.parametrize(
    ("accelerator", "node_labels", "labels"),
    [
        ("l4", "karpenter", {"karpenter.k8s.aws/instance-gpu-name": "l4"}),
        ("l4", "eks-auto", {"eks.amazonaws.com/instance-gpu-name": "l4"}),
        # Two products have this name, of different memory.
        (
            "a100-80gb",
            "eks-auto",
            {"eks.amazonaws.com/instance-gpu-name": "a100", "eks.amazonaws.com/instance-gpu-memory": "81920"},
        ),
        ("t4", "aks", {"karpenter.azure.com/sku-gpu-name": "T4"}),
    ],
)
def test_nodes_are_chosen_by_the_label_that_their_cluster_has(accelerator: str, node_labels: str, labels: dict[str, str]) -> None:
    small = {"model": "Qwen/Qwen2.5-0.5B-Instruct", "dtype": "float16", "context_tokens": 4096}
    assert pod(planned(base={**SMALLER, **small}, accelerator=accelerator, node_labels=node_labels))["nodeSelector"] == labels


def test_a_model_must_fit_its_part_of_a_gpu() -> None:
    # 16e9 bytes are 14.9 GiB; 19.5 x 0.9 - 2 = 15.55, which leaves 0.65 GiB: 5,315 tokens of 128 KiB.
    assert "There is room for 4,857" in refused(base=SMALLER, accelerator="a100-80gb/2g.20gb")["context_tokens"]
    assert "larger ones" in refused(base=SMALLER, accelerator="a100-80gb/1g.10gb")["accelerator"]
    assert "nothing keeps them apart" in refused(base=SMALLER, accelerator="h100-80gb/shared")["gpu_memory_utilization"]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tgi", "triton"])
def test_every_engine_on_gpus_is_checked_by_the_same_sum(engine: str) -> None:
    asked: dict[str, Any] = {**SMALLER, "engine": engine, "accelerator": "l4:1", "context_tokens": 8192}
    faults = refused(base=asked, parallel_requests=64)
    # 64 x 8,192 x 128 KiB = 64 GiB.
    assert "524,288 tokens take 64.0 GiB of key-value cache" in faults["parallel_requests"]
    assert planned(base=asked, parallel_requests=64, tokens_per_request=200)
    assert "larger" in refused(base={**asked, "accelerator": "t4:1", "dtype": "float16"})["accelerator"]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "triton"])
def test_stages_and_ranks_share_weights_and_cache_alike(engine: str) -> None:
    asked: dict[str, Any] = {**LLAMA, "engine": engine, "context_tokens": 8192}
    for sizes in ((4, 1), (2, 2), (1, 4)):
        args: dict[str, Any] = {"tensor_parallel_size": sizes[0], "pipeline_parallel_size": sizes[1]}
        fault = refused(base=asked, parallel_requests=1000, **args)["parallel_requests"]
        assert "each of 4 x 80.0 GiB x 0.9 - 32.9 weights - 2 overhead = 37.1 GiB" in fault
