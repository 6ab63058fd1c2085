"""What a model server can be asked for beyond the table of components, admitted by a real API server at the restricted level and
rolled out by the real controllers. No container runs: that engines and loaders start is not proven here."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from tests.cluster.cases import WORKLOADS, Manifests, pods_of, prepare, program, roll_out
from tests.cluster.cluster import Cluster

from slipway import GpuModelServer
from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs

pytestmark = pytest.mark.xdist_group("cluster")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LLAMA: dict[str, Any] = {"model": "meta-llama/Llama-3.1-8B-Instruct", "accelerator": "a100-80gb", "storage_class": "fast-ssd"}
SPOT = ("karpenter.sh/capacity-type", "spot")
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
    """Two more nodes like that with A100s: one on spot, one whose GPUs are cut into slices."""
    found = cluster.get("node", "gpu-a100-80gb")
    for name, label, devices in (("spot", dict([SPOT]), {}), ("sliced", {}, {"nvidia.com/gpu": "0", MIG: "16"})):
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
    yield cluster
    cluster.kubectl("delete", "node", "spot", "sliced")


def manifests(case: str) -> Manifests:
    args = cast("GpuModelServerArgs", {**LLAMA, "namespace": case, **ASKED[case]})
    return program(lambda: GpuModelServer("llama", args))


@pytest.mark.parametrize("case", ASKED)
def test_it_is_admitted_rolls_out_and_does_not_change_by_itself(nodes: Cluster, case: str) -> None:
    made = manifests(case)
    prepare(nodes, made)
    nodes.apply(made.text)
    roll_out(nodes, made)
    assert nodes.run("diff", "--server-side", "--field-manager=slipway", "--filename=-", stdin=made.text).returncode == 0
    for workload in made.of(*WORKLOADS):
        for pod in pods_of(nodes, workload):
            if "spot" in ASKED[case]:
                on_spot = pod["spec"]["nodeName"] == "spot"
                assert on_spot == (pod["metadata"]["labels"].get("app.kubernetes.io/component") == "spot")
            if MIG in pod["spec"]["containers"][0]["resources"]["limits"]:
                assert pod["spec"]["nodeName"] == "sliced"
    nodes.kubectl("delete", "namespace", case, timeout=120)
