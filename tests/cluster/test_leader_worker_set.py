"""A server of several nodes on a real API server, which has LeaderWorkerSet's definition and not its controller: so its two kinds
of pods are kept by StatefulSets, made here as the controller makes them. That the controller does so is not proven here."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
import yaml
from tests.cluster.cases import Manifests, Object, pods_of, prepare, program
from tests.cluster.cluster import Cluster, eventually

from slipway import GpuModelServer

NAMESPACE = "groups"
INDEX = "leaderworkerset.sigs.k8s.io/worker-index"


def manifests(**more: Any) -> Manifests:
    given: Any = {
        "namespace": NAMESPACE,
        "model": "meta-llama/Llama-3.1-405B-Instruct",
        "accelerator": "a100-80gb:8",
        "nodes": 2,
        "context_tokens": 4096,
        "storage_class": "fast-ssd",
        "node_selector": {"type": "kwok"},
        **more,
    }
    return program(lambda: GpuModelServer("llama", given))


@pytest.fixture(scope="module")
def applied(cluster: Cluster) -> Iterator[tuple[Cluster, Manifests]]:
    made = manifests(replicas=2)
    prepare(cluster, made)
    cluster.apply(made.text)
    yield cluster, made
    cluster.kubectl("delete", "namespace", NAMESPACE, timeout=120)


def kept(cluster: Cluster, group: Object, kind: str, name: str, ordinal: int) -> Object:
    """A StatefulSet as LeaderWorkerSet's controller makes it, of leaders or of one group's workers."""
    members, labels = group["spec"]["leaderWorkerTemplate"], {INDEX: str(ordinal), "group": name}
    template = members[f"{kind}Template"]
    template["metadata"]["labels"] = {**template["metadata"].get("labels", {}), **labels}
    made = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "serviceName": "llama-server",
            "replicas": 1,
            "ordinals": {"start": ordinal},
            "selector": {"matchLabels": labels},
            "template": template,
            "volumeClaimTemplates": members["volumeClaimTemplates"],
        },
    }
    cluster.apply(yaml.safe_dump(made))
    cluster.kubectl("rollout", "status", f"statefulset/{name}", "--namespace", NAMESPACE, "--timeout=60s", timeout=70)
    return made


def test_it_is_admitted_and_does_not_change_by_itself(applied: tuple[Cluster, Manifests]) -> None:
    cluster, made = applied
    (group,) = made.of("LeaderWorkerSet")
    there = cluster.get("leaderworkerset", "llama-server", "--namespace", NAMESPACE)
    assert there["spec"]["replicas"] == 2
    assert there["spec"]["leaderWorkerTemplate"]["size"] == 2
    assert there["spec"].keys() >= group["spec"].keys()
    assert cluster.run("diff", "--server-side", "--field-manager=slipway", "--filename=-", stdin=made.text).returncode == 0


def test_a_change_is_taken(applied: tuple[Cluster, Manifests]) -> None:
    cluster, _ = applied
    changed = manifests(replicas=3, rollout="availability", longest_stream_seconds=120)
    words = ("apply", "--server-side", "--dry-run=server", "--field-manager=slipway", "--filename=-")
    done = cluster.run(*words, stdin=changed.text)
    assert done.returncode == 0, done.stderr


def test_its_pods_are_let_in_find_their_nodes_and_only_the_leader_is_served(applied: tuple[Cluster, Manifests]) -> None:
    cluster, made = applied
    (group,) = made.of("LeaderWorkerSet")
    sets = [kept(cluster, group, "leader", "llama-server", 0), kept(cluster, group, "worker", "llama-server-0", 1)]
    pods = [pod for one in sets for pod in pods_of(cluster, one)]
    assert [pod["metadata"]["name"] for pod in pods] == ["llama-server-0", "llama-server-0-1"]
    # Eight GPUs each: no node has room for both, and they are of the model asked for.
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 2
    assert all(pod["spec"]["nodeName"].startswith("gpu-a100-80gb") for pod in pods)
    # Both are the policy's, and reach each other.
    (policy,) = made.of("NetworkPolicy")
    wanted = policy["spec"]["podSelector"]["matchLabels"].items()
    assert all(wanted <= pod["metadata"]["labels"].items() for pod in pods)

    def served() -> list[str]:
        slices = cluster.items("endpointslices", "--namespace", NAMESPACE, "--selector=kubernetes.io/service-name=llama")
        found = [e for s in slices for e in cast("list[Object]", s.get("endpoints") or [])]
        return [e["targetRef"]["name"] for e in found]

    eventually(lambda: served() == ["llama-server-0"], what="an endpoint of the leader alone")
