"""What a model server says of its plan."""

from typing import Any, cast

import pulumi
from tests.infra.kubernetes.model_server import LLAMA, SMALL

from slipway.kubernetes.gpu_model_server import GpuModelServer
from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs
from slipway.plan import plan_program


def test_the_plan_says_how_memory_is_shared_out() -> None:
    def program() -> None:
        pulumi.export("known", GpuModelServer("known", {**LLAMA, "context_tokens": 16_384}).explain)
        stranger: GpuModelServerArgs = {**LLAMA, "model": "acme/stranger-70b"}
        pulumi.export("stranger", GpuModelServer("stranger", stranger).explain)
        pulumi.export("small", GpuModelServer("small", cast("GpuModelServerArgs", SMALL)).explain)

    told = plan_program(program).outputs
    # 80 x 0.9 - 141.1e9 / 2^30 / 4 - 2 = 37.1 GiB; of 320 KiB a token each GPU keeps a quarter.
    assert told["known"].split("\n") == [
        "meta-llama/Llama-3.3-70B-Instruct on vllm, 4 x NVIDIA A100 80GB SXM4 (tensor parallel 4 x pipeline parallel 1)",
        "memory of a GPU: 80.0 GiB x 0.9 = 72.0 GiB",
        "  weights: 32.9 GiB (70.554 billion parameters x 2 bytes (dtype 'auto') = 131.4 GiB, over 4 GPUs)",
        "  overhead: 2 GiB (an estimate: activations, CUDA graphs, NCCL)",
        "  key-value cache: 37.1 GiB",
        (
            "key-value cache: 2 x 80 layers x 8 KV heads x 128 x 2 bytes = 327,680 bytes per token "
            "(config.json of llama-3.3-70b); room for 486,876 tokens at a time"
        ),
        "  that is 29 requests of 16,384 tokens",
        (
            "start: 141108 MB / 100 MB/s to download + 141108 MB / 500 MB/s to load + 300 s to warm up, at least 600 s = 1994 s, "
            "beside 1200 s for a node and the image"
        ),
        "stop: 10 s until it is left out + 900 s for the longest answer, killed after 925 s",
    ]
    assert "only the weights were checked" in told["stranger"]
    assert "memory: 3Gi for weights of 1.0 GiB" in told["small"]


def test_a_turn_on_a_gpu_is_told_to_be_one() -> None:
    def program() -> None:
        small: dict[str, Any] = {
            "model": "meta-llama/Llama-3.1-8B-Instruct",
            "context_tokens": 8192,
            "gpu_memory_utilization": 0.4,
        }
        shared = cast("GpuModelServerArgs", {**LLAMA, **small, "accelerator": "h100-80gb/shared"})
        pulumi.export("shared", GpuModelServer("shared", shared).explain)
        pulumi.export("whole", GpuModelServer("whole", LLAMA).explain)

    told = plan_program(program).outputs
    assert "a shared GPU: the other 60% are for those it takes turns with, and nothing holds anybody to that" in told["shared"]
    assert "turns" not in told["whole"]
