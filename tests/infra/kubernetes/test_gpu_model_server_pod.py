"""A model server's pod: how it starts, answers and ends, and what it may write. No container runs here."""

import json
from collections.abc import Mapping
from typing import Any, cast

import pytest
from tests.infra.kubernetes.model_server import LLAMA, SMALL, env, following, planned, pod, server, stateful_set

from slipway.kubernetes.ai_api_service import AiApiService
from slipway.kubernetes.drain import Drain
from slipway.kubernetes.engines import ENGINES
from slipway.kubernetes.gpu_model_server import GpuModelServer
from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs
from slipway.kubernetes.model_engine import ModelEngine
from slipway.plan import plan_program


def test_a_rollout_frees_gpus_before_it_asks_for_them_and_cannot_dead_lock() -> None:
    plan = planned()
    spec = stateful_set(plan)["spec"]
    # RollingUpdate of a StatefulSet deletes before it creates; Parallel lets a fixed version replace one that never got ready.
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["podManagementPolicy"] == "Parallel"
    assert "llama-pdb" not in plan
    assert planned(replicas=2)["llama-pdb"].inputs["spec"]["maxUnavailable"] == 1


BASES: Mapping[ModelEngine, Mapping[str, Any]] = {
    kind: {**LLAMA, "engine": kind.value} if engine.on_gpus else SMALL for kind, engine in ENGINES.items()
}


@pytest.mark.parametrize("kind", ModelEngine)
@pytest.mark.parametrize("longest", [1, 900, 3600])
def test_the_grace_period_is_above_the_wait_and_the_longest_stream(kind: ModelEngine, longest: int) -> None:
    plan = planned(base=BASES[kind], longest_stream_seconds=longest)
    stop, grace = server(plan)["lifecycle"]["preStop"], pod(plan)["terminationGracePeriodSeconds"]
    # The same sum for every engine, and for the router in front of it.
    assert grace == Drain(10, longest).grace_seconds > 10 + longest
    if "exec" in stop:
        # It would cut its streams on SIGTERM, so they are waited for before.
        wait, streams = stop["exec"]["command"][-4:-2]
        assert (int(wait), int(streams)) == (10, longest)
    else:
        assert stop == {"sleep": {"seconds": 10}}
    if kind is ModelEngine.VLLM:
        assert following(server(plan)["args"], "--shutdown-timeout") == str(longest)
    assert plan["llama-service"].inputs["spec"]["ports"] == [{"name": "http", "port": 8000, "targetPort": "http"}]


@pytest.mark.parametrize("kind", ModelEngine)
def test_a_router_waits_for_its_longest_answer_and_stops_no_sooner(kind: ModelEngine) -> None:
    def program() -> None:
        args = cast("GpuModelServerArgs", {**BASES[kind], "longest_stream_seconds": 1234})
        AiApiService("api", {"namespace": "ai", "image": "r:1", "backends": [GpuModelServer("llama", args).backend()]})

    plan = plan_program(program)
    config = json.loads(next(iter(next(r for r in plan if r.type.endswith(":ConfigMap")).inputs["data"].values())))
    assert config["backends"][0]["timeouts"]["total"] == 1234
    router = plan["api-router"].inputs["spec"]["template"]["spec"]
    assert router["terminationGracePeriodSeconds"] == Drain(10, 1234).grace_seconds == pod(plan)["terminationGracePeriodSeconds"]


def test_the_startup_budget_is_that_of_the_weights() -> None:
    # 141,108 MB / 100 + 141,108 / 500 + 300 = 1,994 s, in steps of 10.
    probe = server(planned())["startupProbe"]
    assert (probe["periodSeconds"], probe["failureThreshold"]) == (10, 200)
    slow = server(planned(download_mb_per_second=50))["startupProbe"]
    assert slow["failureThreshold"] == 341
    # The loader downloads before the server starts: 140,000 / 500 + 300 = 580 s, below the floor of 600.
    large = planned(base=SMALL, gguf={"file": "m.gguf", "bytes": 140_000_000_000})
    assert server(large)["startupProbe"]["failureThreshold"] == 60


def test_readiness_asks_for_the_model_and_liveness_does_not() -> None:
    container = server(planned())
    assert container["startupProbe"]["exec"]["command"][-2:] == [
        "http://127.0.0.1:8000/v1/completions",
        json.dumps({"model": "meta-llama/Llama-3.3-70B-Instruct", "prompt": "a", "max_tokens": 1}),
    ]
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    # A server that reads 128k tokens of prompt must not be restarted for it.
    assert container["livenessProbe"]["failureThreshold"] * container["livenessProbe"]["periodSeconds"] >= 120
    embedder = server(planned(tasks=["embeddings"]))
    assert embedder["startupProbe"]["exec"]["command"][-2] == "http://127.0.0.1:8000/v1/embeddings"
    # While llama.cpp loads, its /v1/models says 200 already and its /health 503.
    assert server(planned(base=SMALL))["readinessProbe"]["httpGet"]["path"] == "/health"


@pytest.mark.parametrize("base", [LLAMA, SMALL])
def test_pods_are_restricted_and_all_that_is_written_goes_to_volumes(base: Mapping[str, Any]) -> None:
    plan = planned(base=base)
    spec = pod(plan)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"/model-cache", "/tmp"} <= {m["mountPath"] for m in container["volumeMounts"]}
    written = [v for k, v in env(server(plan)).items() if k == "HOME" or k.endswith(("_DIR", "_ROOT", "_HOME"))]
    assert written
    assert all(path.startswith("/model-cache") for path in written)


def test_only_who_downloads_gets_the_token() -> None:
    plan = planned(base=SMALL, hub_token_secret={"name": "hub", "key": "hf"})
    loader = pod(plan)["initContainers"][0]
    assert env(loader)["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "hf"}}
    assert "HF_TOKEN" not in env(server(plan))
    assert "llama-hub-token" not in plan
