"""Scaling of model servers: what KEDA is told, held against its own schema, and what is refused.

That KEDA scales by it is not proven here: neither KEDA nor Prometheus runs.
"""

from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pytest
from tests.support.crds import crd_faults

from slipway.kubernetes.gpu_model_server import GpuModelServer
from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs
from slipway.plan import Plan, plan_program

PROMETHEUS = "http://prometheus-server.monitoring.svc:9090"
SCALING: Mapping[str, Any] = {"max": 6, "prometheus_url": PROMETHEUS}
OFFICE: Mapping[str, Any] = {"start": "0 8 * * 1-5", "end": "0 18 * * mon-fri", "timezone": "Europe/Vienna", "replicas": 4}
LLAMA: GpuModelServerArgs = {"model": "meta-llama/Llama-3.3-70B-Instruct", "namespace": "ai", "accelerator": "a100-80gb:4"}
SMALL: Mapping[str, Any] = {
    "model": "Qwen/Qwen2.5-1.5B-Instruct-GGUF",
    "namespace": "ai",
    "engine": "llama.cpp",
    "gguf": {"file": "qwen2.5-1.5b-instruct-q4_k_m.gguf", "bytes": 1_117_320_736},
}
EVERYTHING: Mapping[str, Any] = {
    "by": "keda",
    "min": 2,
    "max": 8,
    "prometheus_url": PROMETHEUS,
    "prometheus_authentication": "prometheus-login",
    "waiting_requests": 10,
    "kv_cache_percent": 75,
    "scale_down_seconds": 120,
    "fallback_replicas": 3,
    "schedule": [OFFICE],
}


def planned(scaling: Mapping[str, Any] = SCALING, base: Mapping[str, Any] = LLAMA, **more: Any) -> Plan:
    args = cast("GpuModelServerArgs", {**base, "scaling": scaling, **more})
    return plan_program(lambda: cast("None", GpuModelServer("llama", args)))


def scaler(plan: Plan) -> dict[str, Any]:
    return cast("dict[str, Any]", plan["llama-scaler"].inputs["spec"])


@pytest.mark.parametrize(
    ("scaling", "base"),
    [(SCALING, LLAMA), (EVERYTHING, LLAMA), (SCALING, SMALL), ({**SCALING, "min": 0.0 + 2, "max": 3.0}, LLAMA)],
)
def test_kedas_own_schema_takes_it(scaling: Mapping[str, Any], base: Mapping[str, Any]) -> None:
    assert crd_faults(planned(scaling, base)["llama-scaler"].inputs) == []


def test_the_number_follows_from_queue_and_cache_of_all_servers_together() -> None:
    plan = planned()
    assert plan["llama-scaler"].type == "kubernetes:keda.sh/v1alpha1:ScaledObject"
    assert plan["llama-scaler"].inputs["metadata"]["name"] == "llama-scaler"
    spec = scaler(plan)
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "llama-server"}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (1, 6)
    waiting, cache = spec["triggers"]
    assert waiting["metadata"] == {
        "serverAddress": PROMETHEUS,
        "query": 'sum(vllm:num_requests_waiting{namespace="ai",pod=~"llama-server-[0-9]+"})',
        "threshold": "4",
        "ignoreNullValues": "false",
    }
    assert cache["metadata"]["query"] == 'sum(vllm:kv_cache_usage_perc{namespace="ai",pod=~"llama-server-[0-9]+"})'
    assert cache["metadata"]["threshold"] == "0.8"
    assert {t["metricType"] for t in spec["triggers"]} == {"AverageValue"}
    # As long as a start takes: 1,980 s.
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 1980
    # A Prometheus that is away takes no server away.
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher"}


def test_everything_that_can_be_asked_arrives() -> None:
    spec = scaler(planned(EVERYTHING))
    waiting, cache, office = spec["triggers"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"], spec["fallback"]["replicas"]) == (2, 8, 3)
    assert (waiting["metadata"]["threshold"], cache["metadata"]["threshold"]) == ("10", "0.75")
    assert waiting["authenticationRef"] == cache["authenticationRef"] == {"name": "prometheus-login"}
    assert office == {
        "type": "cron",
        "metadata": {"timezone": "Europe/Vienna", "start": "0 8 * * 1-5", "end": "0 18 * * mon-fri", "desiredReplicas": "4"},
    }
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 120


def test_an_engine_is_scaled_on_what_it_tells() -> None:
    (only,) = scaler(planned(base=SMALL))["triggers"]
    assert only["metadata"]["query"].startswith("sum(llamacpp:requests_deferred{")
    (only,) = scaler(planned(engine="tgi"))["triggers"]
    assert only["metadata"]["query"].startswith("sum(tgi_queue_size{")
    waiting, cache = scaler(planned(engine="sglang"))["triggers"]
    assert waiting["metadata"]["query"].startswith("sum(sglang:num_queue_reqs{")
    assert cache["metadata"]["query"].startswith("sum(sglang:token_usage{")
    (cache,) = scaler(planned({**SCALING, "waiting_requests": 0}))["triggers"]
    assert cache["metadata"]["query"].startswith("sum(vllm:kv_cache_usage_perc{")


def test_pulumi_does_not_say_the_number_that_keda_sets() -> None:
    plan = planned()
    assert "replicas" not in plan["llama-server"].inputs["spec"]
    assert plan["llama-server"].urn in plan["llama-scaler"].options["dependsOn"]
    # There can be several, so they are spread, and go one at a time.
    assert "llama-pdb" in plan
    assert len(plan["llama-server"].inputs["spec"]["template"]["spec"]["topologySpreadConstraints"]) == 2
    assert "llama-pdb" not in planned({**SCALING, "max": 1})


def test_a_namespace_from_another_resource_arrives_in_the_query() -> None:
    def program() -> None:
        args = {**LLAMA, "namespace": pulumi.Output.from_input("ml"), "scaling": SCALING}
        GpuModelServer("llama", cast("GpuModelServerArgs", args))

    assert 'namespace="ml"' in scaler(plan_program(program))["triggers"][0]["metadata"]["query"]


@pytest.mark.parametrize(
    ("wrong", "path", "says"),
    [
        ({"by": "hpa"}, "by", "give 'keda', the only one: a HorizontalPodAutoscaler reads the engine's metrics only through"),
        ({"min": 0}, "min", "give 1 or more: nothing would wake a server up again"),
        ({"min": 7}, "min", "is 7, above scaling.max = 6"),
        ({"max": None}, "max", "is required"),
        ({"max": 0}, "max", "give 1 or more"),
        ({"max": 2.5}, "max", "give a whole number"),
        ({"maxi": 3}, "maxi", "did you mean 'max'?"),
        ({"prometheus_url": None}, "prometheus_url", "is required"),
        ({"prometheus_url": "prometheus:9090"}, "prometheus_url", "give an address such as 'http://prometheus-server"),
        ({"prometheus_url": "http://u:p@prometheus"}, "prometheus_url", "without user, password"),
        ({"prometheus_url": "http://prometheus/?a=b"}, "prometheus_url", "or query"),
        ({"prometheus_authentication": "Login"}, "prometheus_authentication", "lower case"),
        ({"waiting_requests": -1}, "waiting_requests", "or 0 not to scale on it"),
        ({"kv_cache_percent": 101}, "kv_cache_percent", "give 1 to 100"),
        ({"scale_down_seconds": 4000}, "scale_down_seconds", "give 0 to 3600"),
        ({"fallback_replicas": 7}, "fallback_replicas", "from scaling.min = 1 to scaling.max = 6"),
        ({"fallback_replicas": 0}, "fallback_replicas", "from scaling.min = 1"),
        ({"schedule": [{**OFFICE, "start": "0 8 * *"}]}, "schedule[0].start", "a cron line of five fields"),
        ({"schedule": [{**OFFICE, "start": "0 24 * * *"}]}, "schedule[0].start", "is '0 24 * * *'"),
        ({"schedule": [{**OFFICE, "end": "60 8 * * *"}]}, "schedule[0].end", "is '60 8 * * *'"),
        ({"schedule": [{**OFFICE, "end": "0 8 * * 5-1"}]}, "schedule[0].end", "is '0 8 * * 5-1'"),
        ({"schedule": [{**OFFICE, "end": "*/0 8 * * *"}]}, "schedule[0].end", "is '*/0 8 * * *'"),
        ({"schedule": [{**OFFICE, "end": OFFICE["start"]}]}, "schedule[0].end", "when the window begins"),
        ({"schedule": [OFFICE, {**OFFICE, "timezone": "Vienna"}]}, "schedule[1].timezone", "such as 'Europe/Vienna'"),
        ({"schedule": [{**OFFICE, "replicas": 1}]}, "schedule[0].replicas", "more than scaling.min = 1, up to scaling.max = 6"),
        ({"schedule": [{**OFFICE, "replicas": 9}]}, "schedule[0].replicas", "up to scaling.max = 6"),
    ],
)
def test_what_cannot_scale_is_refused_with_its_path_and_the_choice(wrong: dict[str, Any], path: str, says: str) -> None:
    assert_refused({**SCALING, **wrong}, LLAMA, f"scaling.{path}", says)


def test_what_would_scale_on_nothing_is_refused() -> None:
    nothing = {**SCALING, "waiting_requests": 0, "kv_cache_percent": 0}
    assert_refused(nothing, LLAMA, "scaling", "scales on no load; give 'waiting_requests'")
    assert_refused({**SCALING, "kv_cache_percent": 50}, SMALL, "scaling.kv_cache_percent", "is not told by this engine")


def test_two_owners_of_the_number_are_refused() -> None:
    assert_refused(SCALING, {**LLAMA, "replicas": 2}, "replicas", "cannot go with 'scaling'")


def assert_refused(scaling: Mapping[str, Any], base: Mapping[str, Any], path: str, says: str) -> None:
    with pytest.raises(pulumi.InputPropertiesError) as error:
        planned(scaling, base)
    (fault,) = error.value.errors or []
    assert fault["property_path"] == f"args.{path}"
    assert says in fault["reason"]
