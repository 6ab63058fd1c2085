"""Triton's part of the pod. Triton itself needs a GPU and is not run; what writes its model repository is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from tests.infra.kubernetes.model_server import LLAMA, env, following, planned, pod, refused, revealed, server

from slipway.kubernetes.gpu_model_server import GpuModelServer
from slipway.kubernetes.triton import FRONTEND, LAUNCH
from slipway.plan import plan_program

COMMIT = "6f6073b423013f6a7d4d9f39144961bfbfbc386b"
NAME = "Llama-3.3-70B-Instruct"
TRITON: dict[str, Any] = {**LLAMA, "engine": "triton"}
EVERYTHING: dict[str, Any] = {
    "served_name": "llama-70b",
    "dtype": "bfloat16",
    "context_tokens": 8192,
    "parallel_requests": 32,
    "tensor_parallel_size": 2,
    "pipeline_parallel_size": 2,
    "kv_cache_dtype": "fp8",
    "gpu_memory_utilization": 0.85,
    "extra_args": ["--tool-call-parser", "llama3"],
    "weights": {"uri": f"hf://meta-llama/Llama-3.3-70B-Instruct@{COMMIT}"},
    "adapters": [{"name": "sql", "uri": f"hf://acme/llama-sql@{COMMIT}"}],
    "max_lora_rank": 32,
}


def repository(container: dict[str, Any]) -> dict[str, Any]:
    """The files that it is started with, JSON read."""
    files: dict[str, str] = json.loads(env(container)["MODEL_REPOSITORY_FILES"])
    return {name: json.loads(text) if name.endswith(".json") else text for name, text in files.items()}


@pytest.mark.parametrize("more", [{}, EVERYTHING, {"tasks": ["embeddings"]}, {"offline": True}])
def test_every_object_is_valid_by_kubernetes_own_schemas(more: dict[str, Any]) -> None:
    for resource in planned(base=TRITON, **more):
        if resource.custom:
            kubernetes_validate.validate(revealed(resource.inputs), "1.36", strict=True)


def test_the_model_is_served_under_the_last_part_of_its_name() -> None:
    container = server(planned(base=TRITON))
    assert repository(container).keys() == {f"{NAME}/config.pbtxt", f"{NAME}/1/model.json"}
    assert repository(container)[f"{NAME}/1/model.json"] == {
        "model": "meta-llama/Llama-3.3-70B-Instruct",
        "dtype": "auto",
        "tensor_parallel_size": 4,
        "pipeline_parallel_size": 1,
        "gpu_memory_utilization": 0.9,
        "disable_log_stats": False,
    }
    assert container["args"][0] == FRONTEND
    assert following(container["args"], "--openai-port") == "8000"
    assert following(container["args"], "--tokenizer") == "meta-llama/Llama-3.3-70B-Instruct"
    # Its own default would end every answer after 16 tokens.
    assert following(container["args"], "--default-max-tokens") == "4096"
    assert container["image"] == "nvcr.io/nvidia/tritonserver:26.07-vllm-python-py3"
    assert pod(planned(base=TRITON))["securityContext"]["runAsUser"] == 1000


def test_everything_that_can_be_asked_arrives() -> None:
    plan = planned(base=TRITON, **EVERYTHING)
    container, files = server(plan), repository(server(plan))
    weights, adapter = f"/model-cache/weights/{COMMIT[:16]}", f"/model-cache/adapters/{COMMIT[:16]}"
    assert files["llama-70b/1/model.json"] == {
        "model": weights,
        "dtype": "bfloat16",
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 2,
        "gpu_memory_utilization": 0.85,
        "disable_log_stats": False,
        "max_model_len": 8192,
        "max_num_seqs": 32,
        "kv_cache_dtype": "fp8",
        "enable_lora": True,
        "max_lora_rank": 32,
        "max_loras": 1,
    }
    assert files["llama-70b/1/multi_lora.json"] == {"sql": adapter}
    assert following(container["args"], "--tokenizer") == weights
    assert following(container["args"], "--default-max-tokens") == "8192"
    assert container["args"][-2:] == ["--tool-call-parser", "llama3"]
    assert [c["name"] for c in pod(plan)["initContainers"]] == ["loader", "adapter-0"]
    assert env(container)["HF_HUB_OFFLINE"] == "1"
    embedder = server(planned(base=TRITON, tasks=["embeddings"]))
    assert "--tokenizer" not in embedder["args"]


def test_the_repository_is_written_and_then_the_frontend_runs_in_its_place(tmp_path: Path) -> None:
    frontend = tmp_path / "main.py"
    frontend.write_text("import os, sys; print(os.getpid(), *sys.argv[1:])")
    container = server(planned(base=TRITON, served_name="llama"))
    root = tmp_path / "models"
    told = {"MODEL_REPOSITORY": str(root), "MODEL_REPOSITORY_FILES": env(container)["MODEL_REPOSITORY_FILES"]}
    assert container["command"] == ["python3", "-c", LAUNCH]
    for _ in range(2):  # A container starts again with the same volumes.
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(frontend), "--openai-port", "8000"],
            env={**os.environ, **told},
            stdout=subprocess.PIPE,
            text=True,
        )
        output, _ = process.communicate(timeout=30)
        # The same process, so that SIGTERM reaches it.
        assert output.split() == [str(process.pid), "--openai-port", "8000"]
    assert (root / "llama" / "config.pbtxt").read_text().startswith('backend: "vllm"\n')
    assert json.loads((root / "llama" / "1" / "model.json").read_text())["tensor_parallel_size"] == 4
    assert [p.name for p in root.iterdir()] == ["llama"]


def test_it_is_asked_for_this_model_by_name_and_its_streams_may_end() -> None:
    plan = planned(base=TRITON, longest_stream_seconds=600)
    container = server(plan)
    assert container["readinessProbe"]["httpGet"]["path"] == f"/v1/models/{NAME}"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/ready"
    assert json.loads(container["startupProbe"]["exec"]["command"][-1])["model"] == NAME
    assert container["lifecycle"]["preStop"] == {"sleep": {"seconds": 10}}
    assert pod(plan)["terminationGracePeriodSeconds"] > 610


def test_a_router_asks_for_model_and_adapter_by_triton_s_names() -> None:
    backends: list[Any] = []

    def program() -> None:
        adapters = [{"name": "sql", "uri": f"hf://acme/llama-sql@{COMMIT}"}]
        llama = GpuModelServer("llama", {**LLAMA, "engine": "triton", "adapters": adapters})  # pyright: ignore[reportArgumentType] -- as YAML gives it
        backends.extend([llama.backend(), llama.backend(adapter="sql")])

    plan = plan_program(program)
    assert [b["model"] for b in backends] == [NAME, f"{NAME}:sql"]
    assert following(server(plan)["args"], "--lora-separator") == ":"


@pytest.mark.parametrize(
    ("wrong", "path", "says"),
    [
        ({"served_name": "meta/llama"}, "served_name", "with engine 'triton' it is a folder; give letters, digits"),
        ({"revision": "main"}, "revision", "does nothing with engine 'triton'"),
        ({"gguf": {"file": "a.gguf", "bytes": 1}}, "gguf", "does nothing with engine 'triton'"),
        ({"extra_args": ["--model-repository=/m"]}, "extra_args[0]", "use 'model', or 'weights'"),
        ({"extra_args": ["--enable-kserve-frontends"]}, "extra_args[0]", "the one port speaks OpenAI's API"),
        ({"extra_args": ["--openai-restricted-api", "inference", "k", "v"]}, "extra_args[0]", "no place for a secret"),
    ],
)
def test_what_it_does_not_take_is_refused_by_name(wrong: dict[str, Any], path: str, says: str) -> None:
    faults = refused(base=TRITON, **wrong)
    assert list(faults) == [path]
    assert says in faults[path]


def test_an_adapter_must_not_be_called_as_the_model_is() -> None:
    faults = refused(base=TRITON, adapters=[{"name": NAME, "uri": f"hf://acme/llama-sql@{COMMIT}"}])
    assert "as the model is called" in faults["adapters[0].name"]
