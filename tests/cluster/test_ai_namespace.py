"""What an AiNamespace does to pods and Services on a real API server. There is no network here that its policy could close."""

from typing import Any

import pytest
from tests.cluster.cases import program
from tests.cluster.cluster import Cluster, ClusterError, eventually

from slipway import AiNamespace

NAMESPACE = "closed"


@pytest.fixture(scope="module")
def closed(cluster: Cluster) -> Cluster:
    quota: Any = {"load_balancers": 0, "extended_resources": {"nvidia.com/mig-3g.40gb": 0}}
    bounds: Any = {"memory": "2Gi"}
    cluster.apply(program(lambda: AiNamespace(NAMESPACE, {"quota": quota, "container_max": bounds})).text)
    there = ("get", "--namespace", NAMESPACE)
    eventually(lambda: cluster.run(*there, "serviceaccount/default").returncode == 0)
    # A quota refuses everything until its controller has counted what is there.
    eventually(lambda: cluster.get("resourcequota", f"{NAMESPACE}-quota", "--namespace", NAMESPACE).get("status", {}).get("used"))
    return cluster


def pod(name: str, resources: dict[str, Any], **security: Any) -> dict[str, Any]:
    locked: dict[str, Any] = {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}}
    context = {**locked, "seccompProfile": {"type": "RuntimeDefault"}, **security}
    container = {"name": "it", "image": "it:1", "resources": resources, "securityContext": context}
    meta = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}


def test_a_container_that_says_nothing_gets_small_requests_and_the_bound_as_its_limit(closed: Cluster) -> None:
    closed.create(pod("silent", {}))
    (container,) = closed.get("pod", "silent", "--namespace", NAMESPACE)["spec"]["containers"]
    assert container["resources"] == {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "2Gi"}}


@pytest.mark.parametrize(
    ("resources", "security", "reason"),
    [
        ({"limits": {"memory": "3Gi"}}, {}, "maximum memory usage per Container is 2Gi"),
        ({"limits": {"nvidia.com/mig-3g.40gb": 1}}, {}, "exceeded quota: closed-quota"),
        ({}, {"runAsNonRoot": False}, 'violates PodSecurity "restricted:latest"'),
    ],
)
def test_a_pod_that_it_does_not_allow_is_refused(
    closed: Cluster, resources: dict[str, Any], security: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ClusterError, match=reason):
        closed.create(pod("wrong", resources, **security))


def test_a_load_balancer_is_refused(closed: Cluster) -> None:
    meta, spec = {"name": "open", "namespace": NAMESPACE}, {"type": "LoadBalancer", "ports": [{"port": 80}]}
    with pytest.raises(ClusterError, match="exceeded quota: closed-quota, requested: services"):
        closed.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
