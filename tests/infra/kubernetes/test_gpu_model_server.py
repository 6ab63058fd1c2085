"""GpuModelServer: what it registers, held against Kubernetes' own schemas, and what it refuses.

That an engine starts from these manifests is not proven here: no GPU is needed.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import kubernetes_validate
import pulumi
import pytest
from tests.infra.kubernetes.model_server import (
    LLAMA,
    SMALL,
    env,
    following,
    planned,
    pod,
    refused,
    revealed,
    server,
    stateful_set,
)

from slipway.backend import router_config
from slipway.kubernetes.ai_api_service import AiApiService
from slipway.kubernetes.gpu_model_server import GpuModelServer
from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs
from slipway.kubernetes.gpu_model_server_settings import GpuModelServerSettings
from slipway.plan import Plan, Secret, plan_program

KUBERNETES = "1.36"
TOKEN = "hub-secret-8f2a"
EVERYTHING: Mapping[str, Any] = {
    "engine": "vllm",
    "image": "registry.example/vllm:v0.30.0@sha256:" + "0" * 64,
    "revision": "6f6073b423013f6a7d4d9f39144961bfbfbc386b",
    "served_name": "llama-70b",
    "tasks": ["chat"],
    "dtype": "bfloat16",
    "context_tokens": 8192,
    "parallel_requests": 64,
    "tokens_per_request": 6000,
    "gpu_memory_utilization": 0.92,
    "kv_cache_dtype": "fp8",
    "layers": 80,
    "kv_heads": 8,
    "head_dim": 128,
    "tensor_parallel_size": 2,
    "pipeline_parallel_size": 2,
    "extra_args": ["--enable-prefix-caching", "--seed", "1"],
    "model_parameters_billion": 70.6,
    "replicas": 2,
    "longest_stream_seconds": 300,
    "resources": {"requests": {"cpu": "16", "memory": "64Gi"}, "limits": {"memory": "400Gi"}},
    "cache_gib": 500,
    "storage_class": "fast-ssd",
    "keep_cache": True,
    "hub_token": TOKEN,
    "hub_endpoint": "https://hub.example:8443",
    "allow_from": [{"namespace": "edge", "pod_labels": {"app": "router"}}, {"cidr": "10.1.0.0/16"}],
    "node_labels": "gke",
    "node_selector": {"pool": "inference"},
    "tolerations": [{"key": "dedicated", "value": "ml", "effect": "NoExecute"}, {"key": "spot"}],
    "download_mb_per_second": 400,
    "load_mb_per_second": 2000,
}


@pytest.mark.parametrize(
    ("base", "more"),
    [
        (LLAMA, {}),
        (LLAMA, EVERYTHING),
        (LLAMA, {"replicas": 0, "offline": True}),
        (SMALL, {}),
        (SMALL, {"hub_token_secret": {"name": "hub", "key": "token"}, "replicas": 3, "revision": "main"}),
        (SMALL, {"offline": True, "allow_from": []}),
    ],
)
def test_every_object_is_valid_by_kubernetes_own_schemas(base: Mapping[str, Any], more: Mapping[str, Any]) -> None:
    objects = [r for r in planned(base=base, **more) if r.type.startswith("kubernetes:")]
    assert len(objects) >= 5
    for resource in objects:
        kubernetes_validate.validate(revealed(resource.inputs), KUBERNETES, strict=True)


def test_the_seeds_example_comes_out_as_in_the_seed() -> None:
    plan = planned(cache_gib=500, storage_class="fast-ssd")
    container, spec = server(plan), pod(plan)
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "4", "memory": "320Gi"}
    assert container["resources"]["requests"]["nvidia.com/gpu"] == "4"
    assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}} in spec["volumes"]
    assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
    claim = stateful_set(plan)["spec"]["volumeClaimTemplates"][0]
    assert claim["metadata"]["name"] == "model-cache"
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast-ssd",
        "resources": {"requests": {"storage": "500Gi"}},
    }
    assert following(container["args"], "--tensor-parallel-size") == "4"
    assert container["args"][0] == "meta-llama/Llama-3.3-70B-Instruct"
    assert container["image"] == "vllm/vllm-openai:v0.30.0"


def test_everything_that_can_be_asked_arrives() -> None:
    plan = planned(**EVERYTHING)
    container, spec, whole = server(plan), pod(plan), stateful_set(plan)["spec"]
    for flag, value in {
        "--served-model-name": "llama-70b",
        "--dtype": "bfloat16",
        "--max-model-len": "8192",
        "--max-num-seqs": "64",
        "--tensor-parallel-size": "2",
        "--pipeline-parallel-size": "2",
        "--revision": "6f6073b423013f6a7d4d9f39144961bfbfbc386b",
        "--port": "8000",
        "--shutdown-timeout": "300",
        "--gpu-memory-utilization": "0.92",
        "--kv-cache-dtype": "fp8",
    }.items():
        assert following(container["args"], flag) == value
    assert container["args"][-3:] == EVERYTHING["extra_args"]
    assert container["image"] == EVERYTHING["image"]
    assert container["resources"] == {
        "requests": {"cpu": "16", "memory": "64Gi", "nvidia.com/gpu": "4"},
        "limits": {"memory": "400Gi", "nvidia.com/gpu": "4"},
    }
    assert spec["nodeSelector"] == {"cloud.google.com/gke-accelerator": "nvidia-a100-80gb", "pool": "inference"}
    assert spec["tolerations"][1:] == [
        {"key": "dedicated", "operator": "Equal", "value": "ml", "effect": "NoExecute"},
        {"key": "spot", "operator": "Exists"},
    ]
    assert env(container)["HF_ENDPOINT"] == "https://hub.example:8443"
    assert whole["replicas"] == 2
    assert whole["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert len(spec["topologySpreadConstraints"]) == 2
    policy = plan["llama-network"].inputs["spec"]
    assert policy["ingress"][0]["from"] == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "edge"}},
            "podSelector": {"matchLabels": {"app": "router"}},
        },
        {"ipBlock": {"cidr": "10.1.0.0/16"}},
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
        },
    ]
    assert [rule["ports"] for rule in policy["egress"][1:]] == [[{"protocol": "TCP", "port": 8443}]] * 2


def test_a_rollout_frees_gpus_before_it_asks_for_them_and_cannot_dead_lock() -> None:
    plan = planned()
    spec = stateful_set(plan)["spec"]
    # RollingUpdate of a StatefulSet deletes before it creates; Parallel lets a fixed version replace one that never got ready.
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["podManagementPolicy"] == "Parallel"
    assert "llama-pdb" not in plan
    assert planned(replicas=2)["llama-pdb"].inputs["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("base", [LLAMA, SMALL])
@pytest.mark.parametrize("longest", [1, 900, 3600])
def test_the_grace_period_is_above_the_wait_and_the_longest_stream(base: Mapping[str, Any], longest: int) -> None:
    plan = planned(base=base, longest_stream_seconds=longest)
    stop, grace = server(plan)["lifecycle"]["preStop"], pod(plan)["terminationGracePeriodSeconds"]
    if base is LLAMA:
        assert grace > stop["sleep"]["seconds"] + longest
        assert following(server(plan)["args"], "--shutdown-timeout") == str(longest)
    else:
        wait, streams = stop["exec"]["command"][-4:-2]
        assert (int(wait), int(streams)) == (10, longest)
        assert grace > int(wait) + longest


def test_the_startup_budget_is_that_of_the_weights() -> None:
    # 140,000 MB / 100 + 140,000 / 500 + 300 = 1,980 s, in steps of 10.
    probe = server(planned())["startupProbe"]
    assert (probe["periodSeconds"], probe["failureThreshold"]) == (10, 198)
    slow = server(planned(download_mb_per_second=50))["startupProbe"]
    assert slow["failureThreshold"] == 338
    # The loader downloads before the server starts: 140,000 / 500 + 300 = 580 s, below the floor of 600.
    large = planned(base=SMALL, gguf={"file": "m.gguf", "bytes": 140_000_000_000})
    assert server(large)["startupProbe"]["failureThreshold"] == 60


def test_pulumi_waits_as_long_as_the_rollout_may_take() -> None:
    timeouts = planned(replicas=2)["llama-server"].options["customTimeouts"]
    # Twice: grace 10 + 900 + 15, node and image 1,200, start 1,980.
    assert timeouts["update"] == timeouts["create"] == f"{2 * (925 + 1200 + 1980)}s"


def test_services_are_not_waited_for_since_weights_take_longer_than_pulumi_waits() -> None:
    plan = planned()
    for name in ("llama-service", "llama-headless"):
        assert plan[name].inputs["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}
    assert "annotations" not in stateful_set(plan)["metadata"]
    assert stateful_set(planned(replicas=0))["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}


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


def test_the_token_is_in_one_secret_and_nowhere_in_the_clear() -> None:
    plan = planned(hub_token=TOKEN)
    assert revealed(plan["llama-hub-token"].inputs)["stringData"] == {"token": TOKEN}
    assert env(server(plan))["HF_TOKEN"] == {"secretKeyRef": {"name": "llama-hub-token", "key": "token"}}
    assert TOKEN not in json.dumps(plan_json(plan))
    # The component's own inputs are state too.
    assert isinstance(plan["llama"].inputs["hub_token"], Secret)


def plan_json(plan: Plan) -> Any:
    """All inputs as they are shown: secrets by their repr."""
    return [json.loads(json.dumps(r.inputs, default=repr)) for r in plan]


def test_only_who_downloads_gets_the_token() -> None:
    plan = planned(base=SMALL, hub_token_secret={"name": "hub", "key": "hf"})
    loader = pod(plan)["initContainers"][0]
    assert env(loader)["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "hf"}}
    assert "HF_TOKEN" not in env(server(plan))
    assert "llama-hub-token" not in plan


def test_llama_cpp_gets_its_file_and_the_memory_for_it() -> None:
    plan = planned(base=SMALL, context_tokens=8192, parallel_requests=4, served_name="qwen")
    container, loader = server(plan), pod(plan)["initContainers"][0]
    target = "/model-cache/gguf/main/qwen2.5-1.5b-instruct-q4_k_m.gguf"
    assert env(loader) == {
        "URL": "https://huggingface.co/Qwen/Qwen2.5-1.5B-Instruct-GGUF/resolve/main/qwen2.5-1.5b-instruct-q4_k_m.gguf",
        "TARGET": target,
        "BYTES": "1117320736",
        "SHA256": "",
    }
    args = container["args"]
    assert (following(args, "--model"), following(args, "--alias")) == (target, "qwen")
    # Divided among four slots it is 8,192 for each.
    assert (following(args, "--ctx-size"), following(args, "--parallel")) == ("32768", "4")
    assert following(args, "--threads") == container["resources"]["requests"]["cpu"] == "4"
    # 1.04 GiB of weights + 1 + 32,768 x 28 KiB = 0.875.
    assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"] == "3Gi"
    stranger = server(planned(base=SMALL, model="acme/stranger-GGUF", context_tokens=8192, parallel_requests=4))
    # 128 KiB a token, as of a model with 8 billion parameters.
    assert stranger["resources"]["limits"]["memory"] == "7Gi"
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert pod(plan)["nodeSelector"] == {}
    assert container["image"] == loader["image"]


def test_llama_cpp_for_embeddings_takes_a_whole_text_in_one_batch() -> None:
    args = server(planned(base=SMALL, tasks=["embeddings"], context_tokens=512))["args"]
    assert args[-5:] == ["--embeddings", "--batch-size", "512", "--ubatch-size", "512"]


def test_a_changed_checksum_is_another_file() -> None:
    gguf = {**SMALL["gguf"], "sha256": "ab" * 32}
    loader = pod(planned(base=SMALL, gguf=gguf))["initContainers"][0]
    assert env(loader)["TARGET"] == f"/model-cache/gguf/{'ab' * 8}/{gguf['file']}"


def test_offline_has_no_way_out_at_all() -> None:
    plan = planned(offline=True)
    policy = plan["llama-network"].inputs["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "Egress" in policy["policyTypes"]
    assert "egress" not in policy
    assert env(server(plan))["HF_HUB_OFFLINE"] == "1"
    assert "initContainers" not in pod(planned(base=SMALL, offline=True))


def test_by_default_its_clients_are_our_own_pods_and_prometheus() -> None:
    plan = planned()
    policy = plan["llama-network"].inputs["spec"]
    assert policy["podSelector"]["matchLabels"] == {
        "app.kubernetes.io/name": "model-server",
        "app.kubernetes.io/instance": "llama",
    }
    (rule,) = policy["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8000}]
    assert rule["from"][0] == {"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "slipway"}}}
    (only,) = planned(allow_from=[], prometheus={"namespace": "metrics"})["llama-network"].inputs["spec"]["ingress"]
    assert [peer["namespaceSelector"]["matchLabels"] for peer in only["from"]] == [{"kubernetes.io/metadata.name": "metrics"}]


def test_two_servers_share_nothing() -> None:
    def program() -> None:
        GpuModelServer("a", LLAMA)
        GpuModelServer("b", LLAMA)

    plan = plan_program(program)
    names = [(r.type, r.inputs["metadata"]["name"]) for r in plan if r.custom]
    assert len(names) == len(set(names)) == 10
    selectors = [plan[f"{n}-service"].inputs["spec"]["selector"] for n in "ab"]
    assert selectors[0] != selectors[1]
    for n in "ab":
        labels = stateful_set(plan, n)["spec"]["template"]["metadata"]["labels"]
        assert plan[f"{n}-service"].inputs["spec"]["selector"].items() <= labels.items()
        assert stateful_set(plan, n)["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_objects_are_called_by_their_logical_name_but_the_service_that_is_the_address() -> None:
    plan = planned(replicas=2, hub_token=TOKEN)
    for resource in plan:
        if resource.custom:
            assert resource.parent == plan["llama"].urn
            assert resource.inputs["metadata"]["name"] == ("llama" if resource.name == "llama-service" else resource.name)
    assert stateful_set(plan)["spec"]["serviceName"] == "llama-headless"
    assert plan["llama-headless"].urn in plan["llama-server"].options["dependsOn"]


def test_a_router_takes_it_as_a_backend() -> None:
    def program() -> None:
        namespace = pulumi.Output.from_input("ai")
        llama = GpuModelServer("llama", {**LLAMA, "namespace": namespace, "context_tokens": 8192, "longest_stream_seconds": 60})
        backend = llama.backend(quality="high")
        pulumi.export("backend", backend)
        pulumi.export("config", router_config({}, [backend]))
        pulumi.export("url", llama.url)

    outputs = plan_program(program).outputs
    assert outputs["backend"]["egress"] == {
        "pod_labels": {"app.kubernetes.io/name": "model-server", "app.kubernetes.io/instance": "llama"},
        "namespace": "ai",
        "port": 8000,
    }
    assert outputs["url"] == "http://llama.ai.svc:8000/v1"
    assert outputs["config"]["backends"] == [
        {
            "name": "llama",
            "url": "http://llama.ai.svc:8000/v1",
            "model": "meta-llama/Llama-3.3-70B-Instruct",
            "tasks": ["chat", "completions"],
            "self_hosted": True,
            "timeouts": {"total": 60},
            "resource": "llama",
            "context_tokens": 8192,
            "quality": "high",
        }
    ]


def test_a_router_beside_it_may_connect_to_it_and_knows_the_way() -> None:
    def program() -> None:
        llama = GpuModelServer("llama", LLAMA)
        AiApiService("api", {"image": "router:1.0", "namespace": "ai", "backends": [llama.backend()]})

    plan = plan_program(program)
    router = plan["api-router"].inputs["spec"]["template"]["metadata"]["labels"]
    let_in = plan["llama-network"].inputs["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    assert let_in.items() <= router.items()
    served = stateful_set(plan)["spec"]["template"]["metadata"]["labels"]
    ways_out = [
        rule
        for rule in plan["api-network"].inputs["spec"]["egress"]
        if rule["ports"] == [{"protocol": "TCP", "port": 8000}]
        and rule["to"][0]["podSelector"]["matchLabels"].items() <= served.items()
    ]
    assert len(ways_out) == 1


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
            "and the weights alone take 130.4 GiB: 70 billion parameters x 2 bytes (dtype 'auto') = 130.4 GiB. Give at least 2"
        ),
    ),
    ({"model": "deepseek-ai/DeepSeek-V3"}, "model_parameters_billion", "does not tell how many"),
    ({"model": "two words"}, "model", "OWNER/NAME"),
    ({"accelerator": "t4:16", "dtype": "bfloat16"}, "dtype", "needs compute capability 8.0"),
    ({"dtype": "bf16"}, "dtype", "'bfloat16'"),
    ({"engine": "triton"}, "engine", "'vllm', 'sglang', 'tgi', 'llama.cpp'"),
    ({"image": "vllm/vllm-openai:latest"}, "image", "'latest' moves"),
    ({"image": "vllm/vllm-openai"}, "image", "means ':latest'"),
    ({"extra_args": ["--tensor_parallel_size=4"]}, "extra_args[0]", "use 'tensor_parallel_size'"),
    ({"extra_args": ["--seed", "1", "-tp", "2"]}, "extra_args[2]", "use 'tensor_parallel_size'"),
    ({"extra_args": ["--api-key", "hush"]}, "extra_args[0]", "a command line is no place for a secret"),
    ({"cache_gib": 100}, "cache_gib", "the weights take 130.4 GiB"),
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
    ({"context_tokens": 2_000_000}, "context_tokens", "There is room for 490,257 tokens"),
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
]


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


def test_where_a_sum_is_wrong_the_user_sets_it_right() -> None:
    assert "accelerator" in refused(model="openai/gpt-oss-120b", accelerator="h100-80gb")
    plan = planned(model="openai/gpt-oss-120b", accelerator="h100-80gb", weight_bits=4)
    # 60e9 bytes: 2 x 55.9 GiB and 10.
    assert stateful_set(plan)["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "122Gi"


def test_the_plan_says_how_memory_is_shared_out() -> None:
    def program() -> None:
        pulumi.export("known", GpuModelServer("known", {**LLAMA, "context_tokens": 16_384}).explain)
        stranger: GpuModelServerArgs = {**LLAMA, "model": "acme/stranger-70b"}
        pulumi.export("stranger", GpuModelServer("stranger", stranger).explain)
        pulumi.export("small", GpuModelServer("small", cast("GpuModelServerArgs", SMALL)).explain)

    told = plan_program(program).outputs
    # 80 x 0.9 - 140e9 / 2^30 / 4 - 2 = 37.4 GiB; of 320 KiB a token each GPU keeps a quarter.
    assert told["known"].split("\n") == [
        "meta-llama/Llama-3.3-70B-Instruct on vllm, 4 x NVIDIA A100 80GB SXM4 (tensor parallel 4 x pipeline parallel 1)",
        "memory of a GPU: 80.0 GiB x 0.9 = 72.0 GiB",
        "  weights: 32.6 GiB (70 billion parameters x 2 bytes (dtype 'auto') = 130.4 GiB, over 4 GPUs)",
        "  overhead: 2 GiB (an estimate: activations, CUDA graphs, NCCL)",
        "  key-value cache: 37.4 GiB",
        (
            "key-value cache: 2 x 80 layers x 8 KV heads x 128 x 2 bytes = 327,680 bytes per token "
            "(config.json of llama-3.3-70b); room for 490,257 tokens at a time"
        ),
        "  that is 29 requests of 16,384 tokens",
        (
            "start: 140000 MB / 100 MB/s to download + 140000 MB / 500 MB/s to load + 300 s to warm up, at least 600 s = 1980 s, "
            "beside 1200 s for a node and the image"
        ),
        "stop: 10 s until it is left out + 900 s for the longest answer, killed after 925 s",
    ]
    assert "only the weights were checked" in told["stranger"]
    assert "memory: 3Gi for weights of 1.0 GiB" in told["small"]


SMALLER: Mapping[str, Any] = {**LLAMA, "model": "meta-llama/Llama-3.1-8B-Instruct", "context_tokens": 8192}


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


def test_a_model_must_fit_its_part_of_a_gpu() -> None:
    # 16e9 bytes are 14.9 GiB; 19.5 x 0.9 - 2 = 15.55, which leaves 0.65 GiB: 5,315 tokens of 128 KiB.
    assert "There is room for 5,315" in refused(base=SMALLER, accelerator="a100-80gb/2g.20gb")["context_tokens"]
    assert "larger ones" in refused(base=SMALLER, accelerator="a100-80gb/1g.10gb")["accelerator"]
    assert "nothing keeps them apart" in refused(base=SMALLER, accelerator="h100-80gb/shared")["gpu_memory_utilization"]


def test_what_must_be_plain_is_refused_from_another_resource() -> None:
    def program() -> None:
        replicas: Any = pulumi.Output.from_input(2)
        GpuModelServer("llama", {**LLAMA, "replicas": replicas})

    assert "args.replicas: comes from another resource" in str(refusal(program))


def test_numbers_from_other_languages_arrive_as_floats() -> None:
    plan = planned(replicas=2.0, tensor_parallel_size=4.0, context_tokens=8192.0)
    assert stateful_set(plan)["spec"]["replicas"] == 2
    assert following(server(plan)["args"], "--max-model-len") == "8192"


def refusal(program: Callable[[], None]) -> BaseException:
    with pytest.raises(pulumi.InputPropertiesError) as error:
        plan_program(program)
    return error.value
