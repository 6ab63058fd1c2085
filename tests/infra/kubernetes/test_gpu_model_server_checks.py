"""What is refused of a model server's arguments, with its path and the choice there is."""

from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pytest
from tests.infra.kubernetes.model_server import LLAMA, SMALL, planned, refused, stateful_set

from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs
from slipway.kubernetes.gpu_model_server_settings import GpuModelServerSettings

WRONG_WITH_VLLM: list[tuple[dict[str, Any], str, str]] = [
    ({"accelerator": "a100-90gb:4"}, "accelerator", "did you mean 'a100-80gb'"),
    ({"accelerator": "a100-80gb:0"}, "accelerator", "give 1 or more"),
    ({"accelerator": None}, "accelerator", "is required with engine 'vllm'"),
    (
        {"accelerator": "a100-80gb:3", "tensor_parallel_size": 4},
        "tensor_parallel_size",
        "tensor parallel 4 x pipeline parallel 1 = 4 GPUs, but 'a100-80gb:3' has 3; give accelerator 'a100-80gb:4'",
    ),
    ({"tensor_parallel_size": 4, "pipeline_parallel_size": 2}, "tensor_parallel_size", "= 8 GPUs"),
    ({"pipeline_parallel_size": 3}, "pipeline_parallel_size", "does not divide 4 GPUs"),
    ({"replicas": -1}, "replicas", "is -1; give 0 or more"),
    ({"replicas": 1.5}, "replicas", "give a whole number"),
    ({"replica": 2}, "replica", "did you mean 'replicas'?"),
    (
        {"accelerator": "a100-80gb"},
        "accelerator",
        (
            "1 x 80.0 GiB x 0.9 (gpu_memory_utilization) - 1 x 2 GiB of overhead = 70.0 GiB of GPU memory, "
            "and the weights alone take 131.4 GiB: 70.554 billion parameters x 2 bytes (dtype 'auto') = 131.4 GiB. Give at least"
        ),
    ),
    ({"model": "deepseek-ai/DeepSeek-V3"}, "model_parameters_billion", "does not tell how many"),
    ({"model": "two words"}, "model", "OWNER/NAME"),
    ({"accelerator": "t4:16", "dtype": "bfloat16"}, "dtype", "needs compute capability 8.0"),
    ({"dtype": "bf16"}, "dtype", "'bfloat16'"),
    ({"engine": "ollama"}, "engine", "'vllm', 'sglang', 'tgi', 'triton', 'llama.cpp'"),
    ({"image": "vllm/vllm-openai:latest"}, "image", "'latest' moves"),
    ({"image": "vllm/vllm-openai"}, "image", "means ':latest'"),
    ({"extra_args": ["--tensor_parallel_size=4"]}, "extra_args[0]", "use 'tensor_parallel_size'"),
    ({"extra_args": ["--seed", "1", "-tp", "2"]}, "extra_args[2]", "use 'tensor_parallel_size'"),
    ({"extra_args": ["--api-key", "hush"]}, "extra_args[0]", "a command line is no place for a secret"),
    (
        {"extra_args": ["--gpu_memory_util=0.5"]},
        "extra_args[0]",
        "is '--gpu-memory-util', short for '--gpu-memory-utilization', which the component sets itself; use 'gpu_memory_util",
    ),
    ({"cache_gib": 100}, "cache_gib", "the weights take 131.4 GiB"),
    ({"hub_token": "a", "hub_token_secret": {"name": "b", "key": "c"}}, "hub_token", "excludes 'hub_token_secret'"),
    ({"hub_token": "a", "offline": True}, "hub_token", "does nothing with 'offline'"),
    ({"hub_token_secret": {"name": "b"}}, "hub_token_secret.key", "is required"),
    ({"hub_endpoint": "https://hub.example/path"}, "hub_endpoint", "without a path"),
    ({"hub_endpoint": "https://hub.example:99999"}, "hub_endpoint", "1 to 65535"),
    ({"namespace": "AI"}, "namespace", "lower case"),
    ({"tasks": ["chats"]}, "tasks[0]", "'chat'"),
    ({"tasks": []}, "tasks", "is empty"),
    ({"tasks": ["chat", "embeddings"]}, "tasks", "a server of its own"),
    ({"allow_from": [{"cidr": "10.0.0.0/99"}]}, "allow_from[0].cidr", "10.0.0.0/99"),
    ({"allow_from": [{}]}, "allow_from[0]", "names nobody"),
    (
        {"node_labels": "gke", "accelerator": "a10g:8", "context_tokens": 8192},
        "node_labels",
        "has no label for a10g; give 'gpu-feature-discovery'",
    ),
    ({"tolerations": [{"key": "a", "effect": "Never"}]}, "tolerations[0].effect", "'NoSchedule'"),
    ({"weight_bits": 5}, "weight_bits", "give 4, 8, 16 or 32"),
    ({"longest_stream_seconds": 0}, "longest_stream_seconds", "give 1 or more"),
    ({"download_mb_per_second": -1}, "download_mb_per_second", "more than 0"),
    ({"resources": {"limits": {"memory": "1Gi"}}}, "resources.limits.memory", "below the request"),
    ({"resources": {"requests": {"memory": "lots"}}}, "resources.requests.memory", "'lots'"),
    ({"gguf": {"file": "a.gguf", "bytes": 1}}, "gguf", "does nothing with engine 'vllm'"),
    (
        # 40 GiB of cache for one request; 2 x (72 - 65.2 - 2) for all.
        {"accelerator": "a100-80gb:2"},
        "context_tokens",
        (
            "is left out, so it is the model's own 131,072: 131,072 tokens take 40.0 GiB of key-value cache, on 2 GPUs: "
            "2 x 80 layers x 8 KV heads x 128 x 2 bytes = 327,680 bytes per token"
        ),
    ),
    ({"context_tokens": 2_000_000}, "context_tokens", "There is room for 486,876 tokens"),
    (
        {"context_tokens": 16_384, "parallel_requests": 64},
        "parallel_requests",
        "1,048,576 tokens take 320.0 GiB of key-value cache, on 4 GPUs",
    ),
    (
        {"context_tokens": 16_384, "parallel_requests": 500, "tokens_per_request": 1000},
        "parallel_requests",
        "is 500, with 1,000 tokens each",
    ),
    ({"tokens_per_request": 1000}, "tokens_per_request", "goes with 'parallel_requests'"),
    (
        {"tokens_per_request": 9000, "parallel_requests": 1, "context_tokens": 8192},
        "tokens_per_request",
        "above context_tokens = 8192",
    ),
    ({"tokens_per_request": 0, "parallel_requests": 1}, "tokens_per_request", "give 1 or more"),
    ({"gpu_memory_utilization": 1.5}, "gpu_memory_utilization", "is 1.5; give a share above 0 and up to 1"),
    ({"gpu_memory_utilization": 0.3}, "accelerator", "x 0.3 (gpu_memory_utilization)"),
    ({"kv_cache_dtype": "int4"}, "kv_cache_dtype", "'auto', 'fp8'"),
    ({"layers": 0, "kv_heads": 8, "head_dim": 128}, "layers", "give 1 or more"),
    ({"layers": 80, "kv_heads": 0, "head_dim": 128}, "kv_heads", "give 1 or more"),
    ({"layers": 80, "kv_heads": 8, "head_dim": -1}, "head_dim", "give 1 or more"),
    ({"layers": 80, "kv_heads": 8}, "head_dim", "is required with 'layers'"),
    (
        {"model": "Qwen/Qwen2.5-7B-Instruct", "accelerator": "l4:8"},
        "tensor_parallel_size",
        "does not divide the model's 28 attention heads",
    ),
    (
        {"accelerator": "a100-80gb:6", "layers": 80, "kv_heads": 8, "head_dim": 128},
        "tensor_parallel_size",
        "neither a divisor nor a multiple of the model's 8 KV heads",
    ),
    ({"extra_args": ["--gpu-memory-utilization=0.95"]}, "extra_args[0]", "use 'gpu_memory_utilization'"),
    ({"extra_args": ["--kv-cache-dtype", "fp8"]}, "extra_args[0]", "use 'kv_cache_dtype'"),
    ({"nodes": -1}, "nodes", "is -1; give 1 or more"),
    ({"revision": "main branch"}, "revision", "is 'main branch'; give a commit, tag or branch"),
    ({"weights": {"uri": "ftp://a/b"}}, "weights.uri", "is 'ftp://a/b'; give hf://OWNER/NAME@COMMIT"),
    ({"served_name": "-llama"}, "served_name", "is '-llama'; give a name without spaces, not beginning with '-'"),
    ({"adapters": []}, "adapters", "is empty; give at least one, or leave it out"),
    ({"max_lora_rank": 16}, "max_lora_rank", "goes with 'adapters'"),
    ({"model_parameters_billion": 0}, "model_parameters_billion", "is 0; give more than 0"),
    ({"scaling": {"max": 0, "prometheus_url": "http://p"}}, "scaling.max", "is 0; give 1 or more"),
    ({"rollout": "surge"}, "rollout", "give one of 'resource-aware', 'availability'"),
    ({"spot": {"on_demand": 1, "nodes": "gke"}}, "spot", "is for several servers, and replicas is 1; give 2 or more"),
    ({"storage_class": "Fast SSD"}, "storage_class", "is 'Fast SSD'; give lower case letters"),
    ({"rollout": "availability", "keep_cache": True}, "keep_cache", "cannot go with rollout 'availability'"),
    ({"offline": True, "weights": {"uri": "pvc://llama"}}, "offline", "follows from 'weights'"),
    ({"identity": {}}, "identity", "give"),
    ({"prometheus": {"cidr": "here"}}, "prometheus.cidr", "is 'here'"),
    ({"node_selector": {"zone": "a zone"}}, "node_selector.zone", "is 'a zone'; give letters, digits"),
    ({"mesh": {"kind": "kuma"}}, "mesh.kind", "is the text 'kuma'; give one of"),
    ({"load_mb_per_second": 0}, "load_mb_per_second", "is 0; give more than 0"),
]


def test_every_argument_has_a_row_here() -> None:
    given = {key for wrong, _, _ in WRONG_WITH_VLLM for key in wrong}
    assert given >= GpuModelServerArgs.__annotations__.keys()
    # What the row is about is what is told.
    assert {path.split(".")[0].split("[")[0] for _, path, _ in WRONG_WITH_VLLM} == set(GpuModelServerArgs.__annotations__) | {
        "replica"
    }


@pytest.mark.parametrize(("wrong", "path", "says"), WRONG_WITH_VLLM)
def test_what_vllm_cannot_serve_is_refused_with_its_path_and_the_choice(wrong: dict[str, Any], path: str, says: str) -> None:
    faults = refused(**wrong)
    assert list(faults) == [path]
    assert says in faults[path]


@pytest.mark.parametrize(
    ("wrong", "path", "says"),
    [
        ({"accelerator": "l4"}, "accelerator", "runs on CPUs here"),
        ({"gguf": None}, "gguf", "is required with engine 'llama.cpp'"),
        ({"gguf": {"file": "a.gguf"}}, "gguf.bytes", "is required"),
        ({"gguf": {"file": "a.bin", "bytes": 5}}, "gguf.file", "'.gguf'"),
        ({"gguf": {"file": "../a.gguf", "bytes": 5}}, "gguf.file", "'.gguf'"),
        ({"gguf": {"file": "a-00001-of-00003.gguf", "bytes": 5}}, "gguf.file", "one part of several"),
        ({"gguf": {"file": "a.gguf", "bytes": 0}}, "gguf.bytes", "exact size"),
        ({"gguf": {"file": "a.gguf", "bytes": 5, "sha256": "AB"}}, "gguf.sha256", "64 hexadecimal digits"),
        ({"model": "qwen"}, "model", "OWNER/NAME"),
        ({"dtype": "float16"}, "dtype", "does nothing with engine 'llama.cpp'"),
        ({"download_mb_per_second": 200}, "download_mb_per_second", "does nothing with engine 'llama.cpp'"),
        ({"extra_args": ["-c", "4096"]}, "extra_args[0]", "use 'context_tokens'"),
        ({"kv_cache_dtype": "fp8"}, "kv_cache_dtype", "does nothing with engine 'llama.cpp'"),
        ({"gpu_memory_utilization": 0.8}, "gpu_memory_utilization", "does nothing with engine 'llama.cpp'"),
    ],
)
def test_what_llama_cpp_cannot_serve_is_refused_with_its_path_and_the_choice(wrong: dict[str, Any], path: str, says: str) -> None:
    faults = refused(base=SMALL, **wrong)
    assert list(faults) == [path]
    assert says in faults[path]


@pytest.mark.parametrize("name", ["Llama", "4llama", "llama_70b", "a" * 46])
def test_a_name_that_kubernetes_would_refuse_is_refused_before(name: str) -> None:
    assert list(refused(name=name)) == ["name"]
    assert stateful_set(planned(name="a" * 45), "a" * 45)


def test_all_faults_are_told_together() -> None:
    faults = refused(accelerator="a100-80gb:x", replicas=-1, image="vllm", cache_gib=0, engine="vllm", namespace="A b")
    assert set(faults) == {"accelerator", "replicas", "image", "cache_gib", "namespace"}


@pytest.mark.parametrize("base", [LLAMA, SMALL])
@pytest.mark.parametrize("key", sorted(GpuModelServerArgs.__annotations__))
def test_no_value_however_wrong_gives_anything_but_a_refusal(base: Mapping[str, Any], key: str) -> None:
    wrong: list[Any] = [
        "",
        "x",
        "x:y:z",
        0,
        -1,
        10**9,
        1.5,
        float("nan"),
        float("inf"),
        True,
        [],
        [1],
        ["x"],
        {},
        {"x": 1},
        object(),
    ]
    refusals = 0
    for value in wrong:
        try:
            GpuModelServerSettings.of("llama", cast("GpuModelServerArgs", {**base, key: value}))
        except pulumi.InputPropertiesError:
            refusals += 1
    assert refusals > 0


@pytest.mark.parametrize("args", [None, [], "text", {}, {1: 2}])
def test_what_are_no_arguments_at_all_is_refused(args: Any) -> None:
    with pytest.raises(pulumi.InputPropertiesError):
        GpuModelServerSettings.of("llama", args)
