"""What keeps the pods of a model server, replaces them and gives them their volumes: a StatefulSet or a Deployment."""

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes.gpu_model_server_pod import claim, pod
from slipway.kubernetes.gpu_model_server_settings import GpuModelServerSettings
from slipway.kubernetes.model_engine import PORT
from slipway.kubernetes.spot import ServerGroup

Token = tuple[pulumi.Input[str], str] | None
MIN_READY_SECONDS = 10


def stateful_set(
    settings: GpuModelServerSettings,
    name: str,
    group: ServerGroup,
    pods: Mapping[str, str],
    labels: Mapping[str, str],
    token: Token,
) -> k8s.apps.v1.StatefulSetSpecArgsDict:
    """Stops a server before it starts the next, so that a new version gets the GPUs that the old one leaves.

    Args:
        settings: What was decided.
        name: The component's name.
        group: Which of its servers.
        pods: Labels that select the pods of this server.
        labels: All labels of the pods.
        token: Name of the Secret with the hub's token, and the key within it.
    """
    spec: k8s.apps.v1.StatefulSetSpecArgsDict = {
        "service_name": f"{name}-headless",
        "selector": {"match_labels": {**pods, **group.labels}},
        # Servers need not know of each other. And a change that repairs a server which never became ready is rolled
        # out, where the ordered policy would wait for that server (Kubernetes, "StatefulSets", forced rollback).
        "pod_management_policy": "Parallel",
        "update_strategy": {"type": "RollingUpdate", "rolling_update": {"partition": 0}},
        "min_ready_seconds": MIN_READY_SECONDS,
        "revision_history_limit": 5,
        "persistent_volume_claim_retention_policy": {
            "when_deleted": "Retain" if settings.keep_cache else "Delete",
            # A replica that comes back finds its weights.
            "when_scaled": "Retain",
        },
        "template": _template(settings, name, group, pods, labels, token),
        "volume_claim_templates": [claim(settings)],
    }
    if group.replicas is not None:
        # Not said with scaling, or each `up` would set back what the load asked for.
        spec["replicas"] = group.replicas
    return spec


def deployment(
    settings: GpuModelServerSettings,
    name: str,
    group: ServerGroup,
    pods: Mapping[str, str],
    labels: Mapping[str, str],
    token: Token,
) -> k8s.apps.v1.DeploymentSpecArgsDict:
    """Starts a server before it stops another, on GPUs that must be free. Arguments as for `stateful_set`."""
    made: k8s.apps.v1.DeploymentSpecArgsDict = {
        "selector": {"match_labels": {**pods, **group.labels}},
        "strategy": {"type": "RollingUpdate", "rolling_update": {"max_surge": 1, "max_unavailable": 0}},
        "min_ready_seconds": MIN_READY_SECONDS,
        "revision_history_limit": 5,
        # Kubernetes' own 10 minutes are over before weights are loaded.
        "progress_deadline_seconds": settings.server_seconds,
        "template": _template(settings, name, group, pods, labels, token),
    }
    if group.replicas is not None:
        # As for a StatefulSet.
        made["replicas"] = group.replicas
    return made


def _template(
    settings: GpuModelServerSettings,
    name: str,
    group: ServerGroup,
    pods: Mapping[str, str],
    labels: Mapping[str, str],
    token: Token,
) -> k8s.core.v1.PodTemplateSpecArgsDict:
    return {
        "metadata": {
            "labels": {**labels, **group.labels},
            "annotations": {
                "prometheus.io/scrape": "true",
                "prometheus.io/port": str(PORT),
                "prometheus.io/path": "/metrics",
            },
        },
        "spec": pod(settings, group, pods, f"{name}-account", f"{name}-weights", token),
    }
