"""Servers that span several nodes, held against LeaderWorkerSet's definition. Neither its controller nor an engine runs here."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from typing import Any, cast

import kubernetes_validate
import pulumi
import pytest
from tests.infra.kubernetes.model_server import LLAMA, env, following, planned, refused, revealed
from tests.support.crds import crd_faults

from slipway.kubernetes.gpu_model_server import GpuModelServer
from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs
from slipway.kubernetes.leader_worker_set import WAIT_FOR_LEADER
from slipway.plan import Plan, plan_program

LARGE: dict[str, Any] = {
    "model": "meta-llama/Llama-3.1-405B-Instruct",
    "namespace": "ai",
    "accelerator": "h100-80gb:8",
    "nodes": 2,
    "context_tokens": 8192,
}
SGLANG = {**LARGE, "engine": "sglang"}
SCALING = {"min": 0, "max": 3, "prometheus_url": "http://prometheus"}


def group(plan: Plan) -> dict[str, Any]:
    return cast("dict[str, Any]", plan["llama-server"].inputs["spec"]["leaderWorkerTemplate"])


def pods(plan: Plan) -> tuple[dict[str, Any], dict[str, Any]]:
    """The leader's and a worker's specification."""
    made = group(plan)
    return made["leaderTemplate"]["spec"], made["workerTemplate"]["spec"]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"engine": "sglang", "replicas": 3},
        {"rollout": "availability", "replicas": 2},
        {"replicas": 0, "offline": True},
        {"scaling": SCALING},
        {
            "weights": {"uri": f"hf://a/b@{'0' * 40}", "shared_volume": {"storage_class": "efs"}},
            "node_selector": {"my_pool": "a_b"},
        },
    ],
)
def test_its_own_definition_takes_it_and_kubernetes_its_pods(more: dict[str, Any]) -> None:
    plan = planned(base=LARGE, **more)
    assert plan["llama-server"].type == "kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet"
    assert crd_faults(revealed(plan["llama-server"].inputs)) == []
    for spec in pods(plan):
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}
        kubernetes_validate.validate(revealed(whole), "1.36", strict=True)
    for resource in plan:
        if resource.type.startswith("kubernetes:") and resource.name not in ("llama-server", "llama-scaler"):
            kubernetes_validate.validate(revealed(resource.inputs), "1.36", strict=True)


def test_its_pods_are_what_they_would_be_in_a_stateful_set_but_for_the_group() -> None:
    more = {"accelerator": "h100-80gb:16", "node_selector": {"my_pool": "a_b"}, "replicas": 2, "hub_token": "hush"}
    alone = planned(base={**LARGE, "nodes": 1, **more})["llama-server"].inputs["spec"]["template"]
    leader = group(planned(base={**LARGE, **more, "pipeline_parallel_size": 1}))["leaderTemplate"]
    assert leader["metadata"] == alone["metadata"]
    differ = {key for key in alone["spec"].keys() | leader["spec"].keys() if alone["spec"].get(key) != leader["spec"].get(key)}
    assert differ == {"affinity", "topologySpreadConstraints", "containers"}
    ours, its = alone["spec"]["containers"][0], leader["spec"]["containers"][0]
    assert {key for key in ours.keys() | its.keys() if ours.get(key) != its.get(key)} == {"args", "startupProbe"}


def test_a_group_of_pods_is_one_server_split_over_its_nodes() -> None:
    plan = planned(base=LARGE, replicas=2)
    spec = plan["llama-server"].inputs["spec"]
    assert (spec["replicas"], group(plan)["size"]) == (2, 2)
    assert group(plan)["restartPolicy"] == "RecreateGroupOnPodRestart"
    leader, worker = pods(plan)
    args = leader["containers"][0]["args"]
    # Between nodes goes only what one pipeline stage gives the next.
    assert (following(args, "--tensor-parallel-size"), following(args, "--pipeline-parallel-size")) == ("8", "2")
    assert following(args, "--nnodes") == "2"
    assert following(args, "--node-rank") == "$(LWS_WORKER_INDEX)"
    assert following(args, "--master-addr") == "$(LWS_LEADER_ADDRESS)"
    assert worker["containers"][0]["args"] == [*args, "--headless"]
    for pod in (leader, worker):
        assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "8"
        # Each has its own copy of the weights.
        assert "/model-cache" in {m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    assert group(plan)["volumeClaimTemplates"][0]["metadata"]["name"] == "model-cache"
    assert group(plan)["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Delete", "whenScaled": "Retain"}


def test_sglang_is_told_in_its_own_words() -> None:
    leader, worker = pods(planned(base=SGLANG))
    args = leader["containers"][0]["args"]
    assert following(args, "--dist-init-addr") == "$(LWS_LEADER_ADDRESS):29501"
    assert (following(args, "--nnodes"), following(args, "--node-rank")) == ("2", "$(LWS_WORKER_INDEX)")
    assert (following(args, "--tp-size"), following(args, "--pp-size")) == ("8", "2")
    assert worker["containers"][0]["args"] == args


def test_only_the_leader_is_asked_and_served() -> None:
    plan = planned(base=LARGE)
    leader, worker = pods(plan)
    assert {"startupProbe", "readinessProbe", "livenessProbe", "ports"} <= leader["containers"][0].keys()
    assert not {"startupProbe", "readinessProbe", "livenessProbe", "ports"} & worker["containers"][0].keys()
    assert plan["llama-service"].inputs["spec"]["selector"] == {
        "app.kubernetes.io/name": "model-server",
        "app.kubernetes.io/instance": "llama",
        "leaderworkerset.sigs.k8s.io/worker-index": "0",
    }
    assert "prometheus.io/scrape" in group(plan)["leaderTemplate"]["metadata"]["annotations"]
    assert "annotations" not in group(plan)["workerTemplate"]["metadata"]
    # LeaderWorkerSet makes its own.
    assert "llama-headless" not in plan


def test_its_pods_reach_each_other_and_nobody_else_more() -> None:
    for offline in (False, True):
        spec = planned(base={**LARGE, "offline": offline})["llama-network"].inputs["spec"]
        ours = {"podSelector": {"matchLabels": spec["podSelector"]["matchLabels"]}}
        assert {"from": [ours]} in spec["ingress"]
        assert {"to": [ours]} in spec["egress"]
        assert any(rule.get("ports", [{}])[0].get("port") == 53 for rule in spec["egress"])
        assert len(spec["ingress"]) == 2


def test_a_start_waits_for_every_node_and_a_lone_leader_does_not_start_the_group_anew() -> None:
    plan = planned(base=LARGE)
    probe, alone = pods(plan)[0]["containers"][0]["startupProbe"], planned()["llama-server"].inputs
    # 8,100 s to load by 100 MB/s, 1,620 s from the volume, 300 s to warm up; a node and the image before that.
    assert (
        probe["failureThreshold"] * probe["periodSeconds"]
        > alone["spec"]["template"]["spec"]["containers"][0]["startupProbe"]["failureThreshold"] * 10 + 1200
    )
    annotations = plan["llama-server"].inputs["metadata"]["annotations"]
    assert annotations["leaderworkerset.sigs.k8s.io/experimental-recreate-group-after-start"] == "true"
    assert annotations["pulumi.com/waitFor"] == "condition=Available"
    idle = planned(base=LARGE, replicas=0)["llama-server"].inputs["metadata"]["annotations"]
    assert idle == {"pulumi.com/skipAwait": "true"}


@pytest.mark.parametrize(("rollout", "surge"), [("resource-aware", 0), ("availability", 1)])
def test_a_rollout_goes_group_by_group_and_cannot_dead_lock(rollout: str, surge: int) -> None:
    plan = planned(base=LARGE, rollout=rollout, replicas=2)
    strategy = plan["llama-server"].inputs["spec"]["rolloutStrategy"]["rollingUpdateConfiguration"]
    assert strategy == {"maxSurge": surge, "maxUnavailable": 1 - surge}
    volumes = [v["name"] for v in pods(plan)[0]["volumes"]]
    assert ("volumeClaimTemplates" in group(plan)) != ("model-cache" in volumes)


def test_it_is_scaled_group_by_group() -> None:
    spec = planned(base=LARGE, scaling=SCALING)["llama-scaler"].inputs["spec"]
    assert spec["scaleTargetRef"] == {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "name": "llama-server",
    }
    assert 'pod=~"llama-server-[0-9]+"' in spec["triggers"][1]["metadata"]["query"]


def test_the_whole_group_s_memory_counts() -> None:
    def program() -> None:
        pulumi.export("explain", GpuModelServer("llama", cast("GpuModelServerArgs", LARGE)).explain)

    told = plan_program(program).outputs["explain"]
    assert "16 x NVIDIA H100 80GB SXM5 on 2 nodes (tensor parallel 8 x pipeline parallel 2)" in told
    # 405e9 parameters x 2 bytes = 754.4 GiB, and one node has 8 x 70.
    assert "accelerator" in refused(base={**LARGE, "nodes": 1})
    fault = refused(base={**LARGE, "accelerator": "h100-80gb:4"})["accelerator"]
    assert fault.startswith("is 'h100-80gb:4' on 2 nodes with 8 x ")


@pytest.mark.parametrize(
    ("wrong", "path", "says"),
    [
        ({"nodes": 0}, "nodes", "is 0; give 1 or more"),
        ({"nodes": 1.5}, "nodes", "give a whole number"),
        ({"engine": "tgi"}, "nodes", "does nothing with engine 'tgi'"),
        ({"engine": "triton"}, "nodes", "does nothing with engine 'triton'"),
        ({"replicas": 3, "spot": {"on_demand": 1, "nodes": "gke"}}, "spot", "cannot go with 'nodes'"),
        (
            {"tensor_parallel_size": 16, "pipeline_parallel_size": 2},
            "tensor_parallel_size",
            "= 32 GPUs, but 'h100-80gb:8' on 2 nodes has 16; give sizes that make 16",
        ),
        ({"tensor_parallel_size": 5}, "tensor_parallel_size", "= 15 GPUs"),
        ({"nodes": 200}, "nodes", "makes 200 pipeline stages of the model's 126 layers"),
        (
            {"model": "meta-llama/Llama-3.1-8B-Instruct", "accelerator": "a100-80gb/3g.40gb"},
            "nodes",
            "parts of GPUs such as 'a100-80gb/3g.40gb' cannot work together",
        ),
        ({"extra_args": ["--headless"]}, "extra_args[0]", "use 'nodes'"),
        ({"engine": "sglang", "extra_args": ["--nnodes=2"]}, "extra_args[0]", "use 'nodes'"),
    ],
)
def test_what_cannot_be_is_refused_with_its_path_and_the_choice(wrong: dict[str, Any], path: str, says: str) -> None:
    faults = refused(base={**LARGE, **wrong})
    assert list(faults) == [path]
    assert says in faults[path]


def test_a_name_leaves_room_for_the_group_s_number() -> None:
    assert "at most 41" in refused(base=LARGE, name="a" * 42)["name"]
    assert planned(base=LARGE, name="a" * 41)


def test_tensor_parallel_ranks_may_span_nodes_if_asked() -> None:
    args = pods(planned(base=LARGE, tensor_parallel_size=16))[0]["containers"][0]["args"]
    assert (following(args, "--tensor-parallel-size"), following(args, "--pipeline-parallel-size")) == ("16", "1")


def wait_for_leader(port: int, seconds: float) -> "subprocess.Popen[bytes]":
    told = {**os.environ, "LWS_LEADER_ADDRESS": "127.0.0.1"}
    return subprocess.Popen([sys.executable, "-c", WAIT_FOR_LEADER, str(port), str(seconds)], env=told)


def test_a_worker_goes_when_its_leader_has_gone_and_not_before() -> None:
    worker = pods(planned(base=LARGE, longest_stream_seconds=600))[1]
    command = worker["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert command == ["python3", "-c", WAIT_FOR_LEADER, "29501", "610"]
    assert worker["terminationGracePeriodSeconds"] > 610
    with socket.create_server(("127.0.0.1", 0)) as leader:
        met: list[float] = []

        def answer() -> None:
            try:
                while True:
                    leader.accept()[0].close()
                    met.append(time.monotonic())
            except OSError:
                return

        threading.Thread(target=answer, daemon=True).start()
        waiting = wait_for_leader(leader.getsockname()[1], 60)
        while len(met) < 3:
            assert waiting.poll() is None
            time.sleep(0.1)
        leader.shutdown(socket.SHUT_RDWR)
    assert waiting.wait(timeout=15) == 0


def test_a_worker_waits_no_longer_than_the_longest_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as leader:
        assert wait_for_leader(leader.getsockname()[1], 1.5).wait(timeout=15) == 0


def test_the_token_reaches_every_pod_by_reference() -> None:
    plan = planned(base=LARGE, hub_token="hush-hush")
    for pod in pods(plan):
        assert env(pod["containers"][0])["HF_TOKEN"] == {"secretKeyRef": {"name": "llama-hub-token", "key": "token"}}
    assert "hush-hush" not in json.dumps(plan["llama-server"].inputs, default=repr)


def test_one_node_is_as_before() -> None:
    assert planned(base=LLAMA, nodes=1)["llama-server"].inputs == planned(base=LLAMA)["llama-server"].inputs
