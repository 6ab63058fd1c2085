"""What KEDA is told of a model server, held against its own schema, with its questions answered by Prometheus' own promtool.

That KEDA scales by it is not proven here: it does not run. What is refused is in test_model_scaling.py.
"""

import re
from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pytest
from tests.infra.kubernetes.model_server import LLAMA, SMALL
from tests.support.crds import crd_faults
from tests.support.promql import promql_faults

from slipway.backend import router_backend
from slipway.kubernetes.gpu_model_server import GpuModelServer
from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs
from slipway.kubernetes.model_scaler import Keeper, ScaleTarget
from slipway.plan import Plan, plan_program
from slipway_router.config import Config
from slipway_router.router import Router

PROMETHEUS = "http://prometheus-server.monitoring.svc:9090"
SCALING: Mapping[str, Any] = {"max": 6, "prometheus_url": PROMETHEUS}
TO_ZERO: Mapping[str, Any] = {**SCALING, "min": 0}
OFFICE: Mapping[str, Any] = {"start": "0 8 * * 1-5", "end": "0 18 * * mon-fri", "timezone": "Europe/Vienna", "replicas": 4}
EVERYTHING: Mapping[str, Any] = {
    "by": "keda",
    "min": 2,
    "max": 8,
    "prometheus_url": PROMETHEUS,
    "prometheus_authentication": "prometheus-login",
    "waiting_requests": 10,
    "running_requests": 40,
    "kv_cache_percent": 75,
    "scale_down_seconds": 120,
    "fallback_replicas": 3,
    "schedule": [OFFICE],
}
TRITON: Mapping[str, Any] = {**LLAMA, "engine": "triton"}
BY_RUNNING: Mapping[str, Any] = {**SCALING, "running_requests": 8}


def planned(scaling: Mapping[str, Any] = SCALING, base: Mapping[str, Any] = LLAMA, **more: Any) -> Plan:
    args = cast("GpuModelServerArgs", {**base, "scaling": scaling, **more})
    return plan_program(lambda: cast("None", GpuModelServer("llama", args)))


def scaler(plan: Plan) -> dict[str, Any]:
    return cast("dict[str, Any]", plan["llama-scaler"].inputs["spec"])


def queries(plan: Plan) -> dict[str, str]:
    return {t["name"]: t["metadata"]["query"] for t in scaler(plan)["triggers"] if t["type"] == "prometheus"}


@pytest.mark.parametrize(
    ("scaling", "base"),
    [
        (SCALING, LLAMA),
        (EVERYTHING, LLAMA),
        (SCALING, SMALL),
        ({**SCALING, "min": 0.0 + 2, "max": 3.0}, LLAMA),
        (TO_ZERO, LLAMA),
        ({**TO_ZERO, "idle_seconds": 900, "wake": {"backends": ["a", "b.c"], "namespace": "edge"}, "schedule": [OFFICE]}, SMALL),
        ({**TO_ZERO, "running_requests": 8}, TRITON),
    ],
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
    # As long as a start takes: 1,994 s.
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 1994
    # A Prometheus that is away takes no server away.
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher"}
    assert not {"idleReplicaCount", "cooldownPeriod", "initialCooldownPeriod"} & spec.keys()


def test_everything_that_can_be_asked_arrives() -> None:
    spec = scaler(planned(EVERYTHING))
    waiting, running, cache, office = spec["triggers"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"], spec["fallback"]["replicas"]) == (2, 8, 3)
    assert [t["metadata"]["threshold"] for t in (waiting, running, cache)] == ["10", "40", "0.75"]
    assert all(t["authenticationRef"] == {"name": "prometheus-login"} for t in (waiting, running, cache))
    assert office == {
        "type": "cron",
        "metadata": {"timezone": "Europe/Vienna", "start": "0 8 * * 1-5", "end": "0 18 * * mon-fri", "desiredReplicas": "4"},
    }
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 120


@pytest.mark.parametrize(
    ("base", "scaling", "metrics"),
    [
        (LLAMA, SCALING, {"waiting-requests": "vllm:num_requests_waiting", "kv-cache-usage": "vllm:kv_cache_usage_perc"}),
        (LLAMA, {**SCALING, "waiting_requests": 0}, {"kv-cache-usage": "vllm:kv_cache_usage_perc"}),
        (
            LLAMA,
            {**BY_RUNNING, "waiting_requests": 0, "kv_cache_percent": 0},
            {"running-requests": "vllm:num_requests_running"},
        ),
        (
            {**LLAMA, "engine": "sglang"},
            BY_RUNNING,
            {
                "waiting-requests": "sglang:num_queue_reqs",
                "running-requests": "sglang:num_running_reqs",
                "kv-cache-usage": "sglang:token_usage",
            },
        ),
        (
            {**LLAMA, "engine": "tgi"},
            BY_RUNNING,
            {"waiting-requests": "tgi_queue_size", "running-requests": "tgi_batch_current_size"},
        ),
        (
            SMALL,
            BY_RUNNING,
            {"waiting-requests": "llamacpp:requests_deferred", "running-requests": "llamacpp:requests_processing"},
        ),
        (TRITON, BY_RUNNING, {"running-requests": "vllm:e2e_request_latency_seconds_sum"}),
    ],
)
def test_an_engine_is_scaled_on_what_it_tells(
    base: Mapping[str, Any], scaling: Mapping[str, Any], metrics: Mapping[str, str]
) -> None:
    asked = queries(planned(scaling, base))
    assert {role: re.sub(r"\{.*|sum\(|rate\(", "", query) for role, query in asked.items()} == metrics


def test_what_prometheus_makes_of_it() -> None:
    waiting = queries(planned())["waiting-requests"]
    series = {
        'vllm:num_requests_waiting{namespace="ai",pod="llama-server-0"}': "3x20",
        'vllm:num_requests_waiting{namespace="ai",pod="llama-server-1"}': "4x20",
        # Of a component called 'llama-server', and of another namespace.
        'vllm:num_requests_waiting{namespace="ai",pod="llama-server-server-0"}': "50x20",
        'vllm:num_requests_waiting{namespace="dev",pod="llama-server-0"}': "60x20",
    }
    assert promql_faults(waiting, series, 7) == ""
    # A missing series is a failed reading, so that the fallback holds.
    assert promql_faults(waiting, {}, None) == ""
    running = queries(planned(BY_RUNNING, TRITON))["running-requests"]
    # Two servers whose answers take 180 and 240 seconds a minute: 3 and 4 are under way.
    series = {
        'vllm:e2e_request_latency_seconds_sum{namespace="ai",pod="llama-server-0"}': "0+180x20",
        'vllm:e2e_request_latency_seconds_sum{namespace="ai",pod="llama-server-1"}': "0+240x20",
    }
    assert promql_faults(running, series, 7) == ""


def test_from_zero_it_is_woken_by_what_the_routers_count() -> None:
    plan = planned(TO_ZERO, parallel_requests=32, tokens_per_request=1000, context_tokens=8192)
    spec = scaler(plan)
    # KEDA scales to the idle number while no trigger is active, and to the least once one is.
    assert (spec["idleReplicaCount"], spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 1, 6)
    wake, waiting, _ = spec["triggers"]
    assert wake["metadata"] == {
        "serverAddress": PROMETHEUS,
        "query": 'sum(slipway_router_backend_wanted{namespace="ai",backend=~"llama"})',
        "threshold": "32",
        "ignoreNullValues": "false",
    }
    assert spec["pollingInterval"] == 5
    # 1,994 s to start. A node, the image and the start come before anybody can want it, and then it stays for 5 minutes.
    assert spec["cooldownPeriod"] == 1994
    assert spec["initialCooldownPeriod"] == 1200 + 1994 + 300
    # A Prometheus that is away keeps a server.
    assert spec["fallback"]["replicas"] == 1
    assert waiting["metadata"]["query"].endswith(" or vector(0)")
    # Pulumi would wait for servers that are not to be.
    assert plan["llama-server"].inputs["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}


def test_what_prometheus_makes_of_it_at_zero() -> None:
    sql = {"name": "s.q", "uri": f"hf://acme/sql@{'0' * 40}"}
    wanted, waiting = list(queries(planned(TO_ZERO, adapters=[sql])).values())[:2]
    wants = "slipway_router_backend_wanted"
    series = {
        f'{wants}{{namespace="ai",pod="api-router-a",backend="llama"}}': "0x4 2x20",
        f'{wants}{{namespace="ai",pod="api-router-b",backend="llama-s.q"}}': "0x4 1x20",
        f'{wants}{{namespace="ai",pod="api-router-b",backend="llama-seq"}}': "9x20",
        f'{wants}{{namespace="ai",pod="api-router-b",backend="gpt"}}': "9x20",
        f'{wants}{{namespace="dev",pod="api-router-a",backend="llama"}}': "9x20",
    }
    assert promql_faults(wanted, series, 0, at="2m") == ""
    assert promql_faults(wanted, series, 3) == ""
    # No router: nobody knows, and the fallback holds. No server: nothing waits.
    assert promql_faults(wanted, {}, None) == ""
    assert promql_faults(waiting, {}, 0) == ""
    told = {**TO_ZERO, "wake": {"backends": ["a", "b.c"], "namespace": "edge"}, "idle_seconds": 600}
    spec = scaler(planned(told))
    assert spec["triggers"][0]["metadata"]["query"] == f'sum({wants}{{namespace="edge",backend=~"a|b\\\\.c"}})'
    assert spec["cooldownPeriod"] == 600
    # vLLM's own number of requests at a time.
    assert spec["triggers"][0]["metadata"]["threshold"] == "256"


def test_a_router_is_told_that_it_may_be_away_and_counts_what_keda_asks_for() -> None:
    backends: list[Any] = []

    def program() -> None:
        for name, scaling in (("llama", TO_ZERO), ("steady", SCALING)):
            args = cast("GpuModelServerArgs", {**LLAMA, "scaling": scaling})
            backends.append(GpuModelServer(name, args).backend(url="http://127.0.0.1:8101/v1", replicas=None))

    plan = plan_program(program)
    told = [{k: b.get(k) for k in ("min_replicas", "max_replicas", "cold_start_seconds")} for b in backends]
    assert told == [
        {"min_replicas": 0, "max_replicas": 6, "cold_start_seconds": 1200 + 1994},
        {"min_replicas": 1, "max_replicas": 6, "cold_start_seconds": None},
    ]
    # The router's own metric, from its start on, by the name that is asked for.
    text = Router(Config.parse({"backends": [router_backend(b) for b in backends]}), {}).metrics.text().decode()
    asked = re.match(r'sum\((\w+)\{namespace="ai",backend=~"(\w+)"\}\)$', queries(plan)["wanted"])
    assert asked
    assert re.search(rf'^{asked[1]}{{backend="{asked[2]}"}} 0.0$', text, re.MULTILINE)


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
    ("kind", "pod", "its"),
    [
        ("StatefulSet", "llama-server-0", True),
        ("StatefulSet", "llama-server-12", True),
        # That of a component called 'llama-server'.
        ("StatefulSet", "llama-server-server-0", False),
        # A group's leader tells for all its pods.
        ("LeaderWorkerSet", "llama-server-1", True),
        ("LeaderWorkerSet", "llama-server-1-2", False),
        ("Deployment", "llama-server-6d4b75cb6d-hwv7x", True),
        # Kubernetes cuts long names where the end of the pod's begins.
        ("Deployment", "llama-server-6d4b7hwv7x", True),
        ("Deployment", "llama-server-server-0", False),
        ("Deployment", "llama-server-server-6d4b75cb6d-hwv7x", False),
    ],
)
def test_its_metrics_are_told_from_those_of_a_like_name(kind: str, pod: str, its: bool) -> None:
    # Prometheus matches whole values.
    assert bool(re.fullmatch(ScaleTarget(Keeper(kind), "llama-server", "ai", []).pods, pod)) is its
