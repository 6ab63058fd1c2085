"""What a test cluster has from the start: nodes, volumes, and the way to its metrics."""

from collections.abc import Iterator
from typing import Any

from slipway.accelerators import GpuNodeLabels, catalogue

CPU_NODES = 3
GPUS = 8
"""GPUs of each node that has some."""
GPU_NODES = 4
"""Nodes for every accelerator of the catalogue: what one test leaves running must not keep the next one waiting."""
FILLED = "l40s"
"""The accelerator that has one node only, for the test that fills it."""
STORAGE_CLASSES = ("standard", "fast-ssd")
VOLUMES = 250
"""Volumes of each class: one that a test has left is not used again. They are made beforehand and hold nothing, so that nothing
is written to this machine."""
_METRICS = {"name": "metrics-server", "namespace": "kube-system"}


def nodes() -> Iterator[dict[str, Any]]:
    """Nodes as kwok plays them, labelled as NVIDIA's GPU Feature Discovery labels those with GPUs."""
    for i in range(CPU_NODES):
        yield _node(f"cpu-{i}", i, {}, {})
    for i, accelerator in enumerate(catalogue().values()):
        labels = accelerator.labels.get(GpuNodeLabels.GPU_FEATURE_DISCOVERY)
        if labels:
            for n in range(1 if accelerator.name == FILLED else GPU_NODES):
                name = f"gpu-{accelerator.name}" + (f"-{n}" if n else "")
                yield _node(name, i + n, {"nvidia.com/gpu.present": "true", **labels}, {"nvidia.com/gpu": str(GPUS)})


def _node(name: str, i: int, labels: dict[str, str], devices: dict[str, str]) -> dict[str, Any]:
    size = {"cpu": "128", "memory": "2Ti", "pods": "110", "ephemeral-storage": "4Ti", **devices}
    usual = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    annotations = {
        "kwok.x-k8s.io/node": "fake",
        "metrics.k8s.io/resource-metrics-path": f"/metrics/nodes/{name}/metrics/resource",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"type": "kwok", **usual, "topology.kubernetes.io/zone": f"zone-{i % 3}", **labels},
            "annotations": annotations,
        },
        # As GKE, EKS and NVIDIA's GPU Operator do.
        "spec": {"taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}] if devices else []},
        "status": {"allocatable": size, "capacity": size},
    }


def storage() -> Iterator[dict[str, Any]]:
    """Storage classes with their volumes."""
    for i, name in enumerate(STORAGE_CLASSES):
        default = {"storageclass.kubernetes.io/is-default-class": "true"} if i == 0 else {}
        yield {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name, "annotations": default},
            "provisioner": "kubernetes.io/no-provisioner",
        }
        for n in range(VOLUMES):
            yield {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"{name}-{n}"},
                "spec": {
                    "capacity": {"storage": "10Ti"},
                    "accessModes": ["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "storageClassName": name,
                    # Never mounted: kwok's pods have no containers.
                    "hostPath": {"path": "/nonexistent"},
                },
            }


def metrics_service(port: int) -> dict[str, Any]:
    """How the API server finds metrics-server, which runs beside it."""
    spec = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _METRICS, "spec": spec}


def metrics_api(port: int) -> dict[str, Any]:
    """The API that autoscalers ask."""
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "service": {**_METRICS, "port": port},
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
