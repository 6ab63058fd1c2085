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
    revealed,
    server,
    stateful_set,
)

from slipway.backend import router_config
from slipway.kubernetes.ai_api_service import AiApiService
from slipway.kubernetes.gpu_model_server import GpuModelServer
from slipway.plan import Plan, Secret, plan_program
from slipway_router.config import Config

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


def test_pulumi_waits_as_long_as_the_rollout_may_take() -> None:
    timeouts = planned(replicas=2)["llama-server"].options["customTimeouts"]
    # Twice: grace 10 + 900 + 15, node and image 1,200, start 1,994.
    assert timeouts["update"] == timeouts["create"] == f"{2 * (925 + 1200 + 1994)}s"


def test_services_are_not_waited_for_since_weights_take_longer_than_pulumi_waits() -> None:
    plan = planned()
    for name in ("llama-service", "llama-headless"):
        assert plan[name].inputs["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}
    assert "annotations" not in stateful_set(plan)["metadata"]
    assert stateful_set(planned(replicas=0))["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}


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


@pytest.mark.parametrize("rollout", ["resource-aware", "availability"])
def test_a_router_finds_each_of_several_servers_and_may_connect_to_it(rollout: str) -> None:
    def program() -> None:
        given: dict[str, Any] = {**LLAMA, "namespace": pulumi.Output.from_input("ai"), "replicas": 2, "rollout": rollout}
        llama = GpuModelServer("llama", cast("Any", given))
        spare = GpuModelServer("spare", {**LLAMA, "namespace": "ai"})
        AiApiService("api", {"image": "router:1.0", "namespace": "ai", "backends": [llama.backend(), spare.backend()]})
        pulumi.export("config", router_config({}, [llama.backend(), spare.backend()]))

    plan = plan_program(program)
    several, single = Config.parse(plan.outputs["config"]).backends
    assert several.replicas is not None
    assert f"room for {several.replicas.kv_tokens:,} tokens" in plan["llama"].outputs["explain"]
    assert several.replicas.service == "llama-headless.ai.svc"
    assert single.replicas is None
    found, asked = (plan[f"llama-{role}"].inputs["spec"] for role in ("headless", "service"))
    assert found["clusterIP"] == "None"
    assert (found["selector"], found["ports"]) == (asked["selector"], asked["ports"])
    # A server that is not ready has no record.
    assert not found.get("publishNotReadyAddresses", False)
    # Policies see pods, not Services: the way to the Service is the way to each pod.
    (way,) = [r for r in plan["api-network"].inputs["spec"]["egress"] if "llama" in str(r)]
    assert way["to"][0]["podSelector"]["matchLabels"].items() >= found["selector"].items()
    assert way["ports"] == [{"protocol": "TCP", "port": 8000}]
    assert any({"protocol": "UDP", "port": 53} in r["ports"] for r in plan["api-network"].inputs["spec"]["egress"])


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
            "min_replicas": 1,
            "max_replicas": 1,
            "domain": "kubernetes/a100-80gb",
            "abilities": ["json_schema", "logprobs"],
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
