"""SGLang's part of the pod. SGLang itself needs a GPU and is not run."""

import json
from typing import Any

import kubernetes_validate
import pytest
from tests.infra.kubernetes.model_server import LLAMA, env, following, planned, pod, refused, revealed, server

SGLANG: dict[str, Any] = {**LLAMA, "engine": "sglang"}
EVERYTHING: dict[str, Any] = {
    "served_name": "llama-70b",
    "revision": "main",
    "dtype": "bfloat16",
    "context_tokens": 8192,
    "parallel_requests": 32,
    "tensor_parallel_size": 2,
    "pipeline_parallel_size": 2,
    "kv_cache_dtype": "fp8",
    "gpu_memory_utilization": 0.85,
    "extra_args": ["--enable-torch-compile"],
}


@pytest.mark.parametrize("more", [{}, EVERYTHING, {"tasks": ["embeddings"]}, {"offline": True}])
def test_every_object_is_valid_by_kubernetes_own_schemas(more: dict[str, Any]) -> None:
    for resource in planned(base=SGLANG, **more):
        if resource.custom:
            kubernetes_validate.validate(revealed(resource.inputs), "1.36", strict=True)


def test_everything_that_can_be_asked_arrives() -> None:
    container = server(planned(base=SGLANG, **EVERYTHING))
    assert container["command"] == ["python3", "-m", "sglang.launch_server"]
    assert container["image"].startswith("lmsysorg/sglang:v")
    for flag, value in {
        "--model-path": "meta-llama/Llama-3.3-70B-Instruct",
        "--served-model-name": "llama-70b",
        "--revision": "main",
        "--dtype": "bfloat16",
        "--context-length": "8192",
        "--max-running-requests": "32",
        "--tp-size": "2",
        "--pp-size": "2",
        "--kv-cache-dtype": "fp8_e5m2",
        # Of 80 GiB: 0.85 less 2 GiB of overhead.
        "--mem-fraction-static": "0.825",
        "--port": "8000",
    }.items():
        assert following(container["args"], flag) == value
    assert container["args"][-1] == "--enable-torch-compile"
    assert "--is-embedding" in server(planned(base=SGLANG, tasks=["embeddings"]))["args"]


def test_a_busy_server_is_not_restarted_and_its_streams_may_end() -> None:
    plan = planned(base=SGLANG, longest_stream_seconds=600)
    container = server(plan)
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert env(container)["SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION"] == "false"
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models"
    question = container["startupProbe"]["exec"]["command"][-2:]
    assert question[0] == "http://127.0.0.1:8000/v1/completions"
    assert json.loads(question[1])["max_tokens"] == 1
    wait = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod(plan)["terminationGracePeriodSeconds"] > wait + 600


def test_it_runs_as_a_user_and_writes_to_the_volume() -> None:
    plan = planned(base=SGLANG)
    assert pod(plan)["securityContext"]["runAsUser"] == 10001
    written = {k: v for k, v in env(server(plan)).items() if k == "HOME" or k.endswith(("_DIR", "_HOME", "_BASE"))}
    assert len(written) >= 6
    assert all(path.startswith("/model-cache") for path in written.values())


@pytest.mark.parametrize(
    ("wrong", "path", "says"),
    [
        ({"gguf": {"file": "a.gguf", "bytes": 1}}, "gguf", "does nothing with engine 'sglang'"),
        ({"extra_args": ["--tp", "2"]}, "extra_args[0]", "use 'tensor_parallel_size'"),
        ({"extra_args": ["--mem_fraction_static=0.9"]}, "extra_args[0]", "use 'gpu_memory_utilization'"),
        ({"extra_args": ["--api-key", "hush"]}, "extra_args[0]", "a command line is no place for a secret"),
        ({"accelerator": None}, "accelerator", "is required with engine 'sglang'"),
        # It would end at its start, by an assertion.
        ({"served_name": "llama:70b"}, "served_name", "is 'llama:70b', and engine 'sglang' takes what is after ':' for an"),
        ({"model": "/models/llama:70b", "model_parameters_billion": 70}, "model", "give a 'served_name' without"),
    ],
)
def test_what_it_does_not_take_is_refused_by_name(wrong: dict[str, Any], path: str, says: str) -> None:
    faults = refused(base=SGLANG, **wrong)
    assert list(faults) == [path]
    assert says in faults[path]
