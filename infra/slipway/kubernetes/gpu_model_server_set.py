"""The StatefulSet of a model server: how its pods are kept, replaced and given their volumes."""

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes.gpu_model_server_pod import claim, pod
from slipway.kubernetes.gpu_model_server_settings import GpuModelServerSettings
from slipway.kubernetes.model_engine import PORT


def stateful_set(
    settings: GpuModelServerSettings,
    name: str,
    pods: Mapping[str, str],
    labels: Mapping[str, str],
    token: tuple[pulumi.Input[str], str] | None,
) -> k8s.apps.v1.StatefulSetSpecArgsDict:
    """Its specification.

    Args:
        settings: What was decided.
        name: The component's name.
        pods: Labels that select the pods of this server.
        labels: All labels of the pods.
        token: Name of the Secret with the hub's token, and the key within it.
    """
    spec: k8s.apps.v1.StatefulSetSpecArgsDict = {
        "service_name": f"{name}-headless",
        "selector": {"match_labels": pods},
        # Servers need not know of each other. And a change that repairs a server which never became ready is rolled
        # out, where the ordered policy would wait for that server (Kubernetes, "StatefulSets", forced rollback).
        "pod_management_policy": "Parallel",
        "update_strategy": {"type": "RollingUpdate", "rolling_update": {"partition": 0}},
        "min_ready_seconds": 10,
        "revision_history_limit": 5,
        "persistent_volume_claim_retention_policy": {
            "when_deleted": "Retain" if settings.keep_cache else "Delete",
            # A replica that comes back finds its weights.
            "when_scaled": "Retain",
        },
        "template": {
            "metadata": {
                "labels": labels,
                "annotations": {
                    "prometheus.io/scrape": "true",
                    "prometheus.io/port": str(PORT),
                    "prometheus.io/path": "/metrics",
                },
            },
            "spec": pod(settings, pods, f"{name}-account", f"{name}-weights", token),
        },
        "volume_claim_templates": [claim(settings)],
    }
    if settings.replicas is not None:
        # Not said with scaling, or each `up` would set back what the load asked for.
        spec["replicas"] = settings.replicas
    return spec
