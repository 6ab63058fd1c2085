"""What only controllers show: scaling, evictions, quotas, and what a change leaves behind."""

import json
from typing import Any

import pytest
from tests.cluster.cases import Manifests, Object, missing_references, mounted, pods_of, prepare, program, roll_out
from tests.cluster.cluster import Cluster, ClusterError, eventually
from tests.cluster.components import OPENAI, VLLM
from tests.cluster.contents import FILLED, GPUS
from tests.cluster.network import may_connect

from slipway import AiApiService, AiNamespace, GpuModelServer, RedisCache
from slipway.plan import plan_program
from slipway.plan.render import render

pytestmark = pytest.mark.timeout(900)


def router(namespace: str, **more: Any) -> Manifests:
    args: Any = {"namespace": namespace, "image": "slipway/router:0.1.0", "backends": [OPENAI], **more}
    return program(lambda: AiApiService("api", args))


def server(namespace: str, **more: Any) -> Manifests:
    args: Any = {**VLLM, "namespace": namespace, **more}
    return program(lambda: GpuModelServer("llama", args))


def up(cluster: Cluster, manifests: Manifests) -> Manifests:
    prepare(cluster, manifests)
    cluster.apply(manifests.text)
    roll_out(cluster, manifests)
    return manifests


def pods(cluster: Cluster, manifests: Manifests) -> list[Object]:
    (workload,) = manifests.of("Deployment", "StatefulSet")
    return [pod for pod in pods_of(cluster, workload) if "deletionTimestamp" not in pod["metadata"]]


def use(cluster: Cluster, manifests: Manifests, cpu: str) -> None:
    """Let kwok tell metrics-server that each pod uses this much CPU."""
    for pod in pods(cluster, manifests):
        meta = pod["metadata"]
        where = ("--namespace", meta["namespace"], f"pod/{meta['name']}")
        # A pod may end meanwhile, where the autoscaler acts on the first ones already.
        cluster.run("annotate", "--overwrite", *where, f"kwok.x-k8s.io/usage-cpu={cpu}")


def autoscaler(cluster: Cluster, namespace: str) -> Object:
    return cluster.get("horizontalpodautoscaler/api-hpa", "--namespace", namespace)


def conditions(scaler: Object) -> dict[str, str]:
    return {c["type"]: c["status"] for c in scaler["status"].get("conditions", [])}


def test_a_router_scales_on_cpu_even_where_its_requests_cannot_be_read(cluster: Cluster) -> None:
    scaling = {
        f"scaling-{requests}": {"min": 2, "max": 5, "cpu_percent": 70, "requests_per_second": requests} for requests in (0, 100)
    }
    routers = {namespace: up(cluster, router(namespace, scaling=given)) for namespace, given in scaling.items()}

    def act() -> bool:
        for manifests in routers.values():
            use(cluster, manifests, "1")  # twice what it requests
        return all(autoscaler(cluster, namespace)["status"]["desiredReplicas"] == 5 for namespace in routers)

    # metrics-server takes two readings, 10 s apart, before it tells anything.
    eventually(act, seconds=90, what="5 replicas of each under load")
    for namespace, manifests in routers.items():
        scaler = autoscaler(cluster, namespace)
        assert conditions(scaler)["ScalingActive"] == "True"
        (cpu,) = [m["resource"] for m in scaler["status"]["currentMetrics"] if m.get("type") == "Resource"]
        assert cpu["current"]["averageUtilization"] >= 100
        eventually(lambda m=manifests: len(pods(cluster, m)) == 5)
        # An update in the meantime leaves the number to the autoscaler.
        cluster.apply(router(namespace, scaling=scaling[namespace], settings={"max_body_mib": 16}).text)
        assert cluster.get("deployment/api-router", "--namespace", namespace)["spec"]["replicas"] == 5


def test_a_second_eviction_is_refused_while_the_first_is_not_made_good(cluster: Cluster) -> None:
    manifests = up(cluster, router("evictions", replicas=2))
    one, two = sorted(pod["metadata"]["name"] for pod in pods(cluster, manifests))

    def evict(pod: str) -> str:
        meta = {"name": pod, "namespace": "evictions"}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
        where = f"/api/v1/namespaces/evictions/pods/{pod}/eviction"
        return cluster.kubectl("create", "--raw", where, "--filename=-", stdin=json.dumps(eviction))

    def allowed() -> int:
        return cluster.get("poddisruptionbudget/api-pdb", "--namespace", "evictions")["status"]["disruptionsAllowed"]

    eventually(lambda: allowed() == 1)
    nodes = [node["metadata"]["name"] for node in cluster.items("nodes")]
    cluster.kubectl("cordon", *nodes)  # nothing can take the place of what goes
    try:
        evict(one)
        eventually(lambda: allowed() == 0)
        with pytest.raises(ClusterError, match="disruption budget"):
            evict(two)
    finally:
        cluster.kubectl("uncordon", *nodes)
    eventually(lambda: allowed() == 1, what="a replica in the place of the one that went")
    evict(two)


def test_a_quota_refuses_the_pod_too_many(cluster: Cluster) -> None:
    quota: Any = {"gpus": 1}
    closed = program(lambda: AiNamespace("quota", {"quota": quota}))
    for o in closed.objects:
        cluster.create(o)
    manifests = server("quota")
    prepare(cluster, manifests)
    cluster.apply(manifests.text)

    def refusals() -> list[str]:
        events = cluster.items("events", "--namespace", "quota", "--field-selector=reason=FailedCreate")
        return [
            e["message"] for e in events if "exceeded quota: quota-quota, requested: requests.nvidia.com/gpu=1" in e["message"]
        ]

    eventually(refusals, what="a pod refused by the quota")
    eventually(lambda: [pod["status"]["phase"] for pod in pods(cluster, manifests)] == ["Running"], what="the other pod")
    cluster.apply(server("quota", replicas=1).text)
    roll_out(cluster, server("quota", replicas=1))


def test_a_changed_setting_makes_a_new_configmap_rolls_and_can_be_undone(cluster: Cluster) -> None:
    before = up(cluster, router("settings", replicas=2))
    old = {pod["metadata"]["name"] for pod in pods(cluster, before)}
    after = up(cluster, router("settings", replicas=2, settings={"max_body_mib": 16}))
    names = [m.of("ConfigMap")[0]["metadata"]["name"] for m in (before, after)]
    assert names[0] != names[1]
    there = {o["metadata"]["name"] for o in cluster.items("configmaps", "--namespace", "settings")}
    assert set(names) <= there
    eventually(lambda: not old & {pod["metadata"]["name"] for pod in pods(cluster, after)}, what="no pod of the old version")
    assert mounted(pods(cluster, after)) == {names[1]}
    cluster.kubectl("rollout", "undo", "deployment/api-router", "--namespace", "settings")
    roll_out(cluster, before)
    eventually(lambda: mounted(pods(cluster, before)) == {names[0]}, what="the first version back")


def test_routers_share_a_redis_that_they_alone_may_reach(cluster: Cluster) -> None:
    """The others in the namespace: a router that is told of no Redis, and a pod that nobody's policies know."""

    def declare() -> None:
        kept: Any = {"namespace": "shared", "eviction_policy": "noeviction"}
        given: Any = {"namespace": "shared", "image": "slipway/router:0.1.0", "backends": [OPENAI], "replicas": 2}
        keys: Any = {"redis": RedisCache("limits", kept).broker(), "settings": {"redis": {"keys": True}}}
        shares: Any = {**given, **keys}
        AiApiService("api", shares)
        AiApiService("other", given)

    manifests = up(cluster, Manifests(render(plan_program(declare), skip_secrets=True).files))
    workloads = {w["metadata"]["name"]: w for w in manifests.of("Deployment", "StatefulSet")}
    first = {name: pods_of(cluster, workload)[0] for name, workload in workloads.items()}
    api, other, redis = first["api-router"], first["other-router"], first["limits-redis"]
    assert may_connect(cluster, api, redis, 6379)
    assert not may_connect(cluster, api, redis, 6380)
    assert not may_connect(cluster, other, redis, 6379)
    assert not may_connect(cluster, redis, api, 8000)
    stranger: Object = {"metadata": {"namespace": "shared", "labels": {"app": "stranger"}}}
    assert not may_connect(cluster, stranger, redis, 6379)
    # What the pods are told, and where their password is.
    assert missing_references(cluster, workloads["api-router"]) == []
    (name,) = mounted([api])
    told = json.loads(next(iter(cluster.get(f"configmap/{name}", "--namespace", "shared")["data"].values())))["redis"]
    assert told == {"url": "redis://limits.shared.svc:6379/0", "keys": True, "password_env": "REDIS_PASSWORD"}
    variables = {e["name"]: e for c in api["spec"]["containers"] for e in c["env"]}
    assert variables["REDIS_PASSWORD"]["valueFrom"]["secretKeyRef"]["name"] == "limits-password"


def test_a_server_on_gpus_changes_without_a_gpu_too_many(cluster: Cluster) -> None:
    """Eight GPUs of one product, all taken: a Deployment's new pod would wait for ever for a ninth."""
    manifests = up(cluster, server("full", accelerator=f"{FILLED}:{GPUS}", replicas=1))
    up(cluster, server("full", accelerator=f"{FILLED}:{GPUS}", replicas=1, longest_stream_seconds=120))
    (pod,) = pods(cluster, manifests)
    assert pod["spec"]["nodeName"] == f"gpu-{FILLED}"
    assert pod["status"]["phase"] == "Running"
