"""What a model server can be asked for beyond the table of components, admitted by a real API server at the restricted level and
rolled out by the real controllers. No container runs: that engines and loaders start is not proven here."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from tests.cluster.cases import WORKLOADS, Manifests, Object, pods_of, prepare, program, roll_out
from tests.cluster.cluster import Cluster

from slipway import GpuModelServer
from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LLAMA: dict[str, Any] = {"model": "meta-llama/Llama-3.1-8B-Instruct", "accelerator": "a100-80gb", "storage_class": "fast-ssd"}
SPOT = ("karpenter.sh/capacity-type", "spot")
ON_DISK = "node-disk"
LOCAL = "local-ssd"
"""Disks of the nodes themselves."""
TURNS = "nvidia.com/gpu.shared"
MIG = "nvidia.com/mig-3g.40gb"
ASKED: dict[str, dict[str, Any]] = {
    "sglang-shared-volume": {
        "engine": "sglang",
        "replicas": 2,
        "weights": {"uri": f"hf://meta-llama/Llama-3.1-8B-Instruct@{COMMIT}", "shared_volume": {"storage_class": "fast-ssd"}},
        "hub_token_secret": {"name": "hub", "key": "token"},
    },
    "tgi-image-availability": {
        "engine": "tgi",
        "rollout": "availability",
        "weights": {"uri": f"oci://ghcr.io/acme/llama@sha256:{'ab' * 32}"},
    },
    "bucket-adapters-spot": {
        "replicas": 3,
        "spot": {"on_demand": 1, "nodes": "karpenter"},
        "weights": {"uri": "s3://acme-models/llama", "sha256": "ab" * 32},
        "identity": {"aws_role_arn": "arn:aws:iam::123456789012:role/llama"},
        "adapters": [{"name": "sql", "uri": f"hf://acme/llama-sql@{COMMIT}"}],
    },
    "turns-to-zero": {
        "accelerator": "a100-80gb/shared",
        "gpu_memory_utilization": 0.4,
        "context_tokens": 8192,
        "scaling": {"min": 0, "max": 2, "prometheus_url": "http://prometheus.monitoring.svc:9090"},
    },
    ON_DISK: {
        "replicas": 2,
        "storage_class": LOCAL,
        "weights": {"uri": f"hf://meta-llama/Llama-3.1-8B-Instruct@{COMMIT}"},
    },
    "triton-claim": {"engine": "triton", "weights": {"uri": "pvc://llama-weights/8b"}},
    "slice-scaled": {
        "accelerator": "a100-80gb/3g.40gb",
        "context_tokens": 8192,
        "scaling": {
            "max": 4,
            "prometheus_url": "http://prometheus.monitoring.svc:9090",
            "schedule": [{"start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "timezone": "Europe/Vienna", "replicas": 2}],
        },
    },
}


@pytest.fixture(scope="module")
def nodes(cluster: Cluster) -> Iterator[Cluster]:
    """More nodes like that with A100s: on spot, with GPUs that are cut into slices, with GPUs on which pods take turns."""
    found = cluster.get("node", "gpu-a100-80gb")
    of_devices = {"sliced": {"nvidia.com/gpu": "0", MIG: "16"}, "turns": {"nvidia.com/gpu": "0", TURNS: "8"}}
    for name, label, devices in (("spot", dict([SPOT]), {}), *((n, {}, d) for n, d in of_devices.items())):
        meta = {"name": name, "labels": {**found["metadata"]["labels"], "kubernetes.io/hostname": name, **label}}
        kept = {k: v for k, v in found["metadata"]["annotations"].items() if k == "kwok.x-k8s.io/node"}
        size = {**found["status"]["allocatable"], **devices}
        cluster.create(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {**meta, "annotations": kept},
                "spec": {"taints": [t for t in found["spec"]["taints"] if t["key"] == "nvidia.com/gpu"]},
                "status": {"allocatable": size, "capacity": size},
            }
        )
    locals_ = list(_local_disks([n["metadata"]["name"] for n in cluster.items("nodes") if _is_a100(n)]))
    cluster.create(*locals_)
    yield cluster
    cluster.kubectl("delete", "node", "spot", *of_devices)
    cluster.kubectl("delete", *(f"{o['kind'].lower()}/{o['metadata']['name']}" for o in locals_))


def _is_a100(node: Object) -> bool:
    return node["metadata"]["labels"].get("nvidia.com/gpu.product") == "NVIDIA-A100-SXM4-80GB"


def _local_disks(nodes: list[str]) -> Iterator[Object]:
    """A storage class of the nodes' own disks, one volume on each: a claim binds its pod to one node."""
    yield {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": LOCAL},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    for node in nodes:
        term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
        yield {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{LOCAL}-{node}"},
            "spec": {
                "capacity": {"storage": "1Ti"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": LOCAL,
                "local": {"path": "/nonexistent"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
            },
        }


def _claim(namespace: str, name: str) -> Object:
    """What a user made and filled beforehand."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "storageClassName": "fast-ssd",
            "resources": {"requests": {"storage": "100Gi"}},
        },
    }


def manifests(case: str) -> Manifests:
    args = cast("GpuModelServerArgs", {**LLAMA, "namespace": case, **ASKED[case]})
    return program(lambda: GpuModelServer("llama", args))


@pytest.mark.parametrize("case", [case for case in ASKED if case != ON_DISK])
def test_it_is_admitted_rolls_out_and_does_not_change_by_itself(nodes: Cluster, case: str) -> None:
    made = manifests(case)
    prepare(nodes, made)
    if str(ASKED[case].get("weights", {}).get("uri")).startswith("pvc://"):
        nodes.create(_claim(case, "llama-weights"))
    nodes.apply(made.text)
    roll_out(nodes, made)
    assert nodes.run("diff", "--server-side", "--field-manager=slipway", "--filename=-", stdin=made.text).returncode == 0
    for workload in made.of(*WORKLOADS):
        for pod in pods_of(nodes, workload):
            if "spot" in ASKED[case]:
                on_spot = pod["spec"]["nodeName"] == "spot"
                assert on_spot == (pod["metadata"]["labels"].get("app.kubernetes.io/component") == "spot")
            limits = pod["spec"]["containers"][0]["resources"]["limits"]
            if MIG in limits or TURNS in limits:
                assert pod["spec"]["nodeName"] == ("sliced" if MIG in limits else "turns")
    nodes.kubectl("delete", "namespace", case, timeout=120)


def test_weights_on_a_node_s_own_disk_are_found_again_by_the_server_that_loaded_them(nodes: Cluster) -> None:
    case = ON_DISK
    made = manifests(case)
    prepare(nodes, made)
    nodes.apply(made.text)
    roll_out(nodes, made)
    (workload,) = made.of("StatefulSet")

    def places() -> dict[str, str]:
        return {p["metadata"]["name"]: p["spec"].get("nodeName", "") for p in pods_of(nodes, workload)}

    before = places()
    assert len(set(before.values())) == 2
    nodes.kubectl("delete", "pod", *before, "--namespace", case, timeout=120)
    roll_out(nodes, made)
    assert places() == before
    nodes.kubectl("delete", "namespace", case, timeout=120)
