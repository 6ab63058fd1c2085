"""What keeps the pods of a model server, replaces them and gives them their volumes: a StatefulSet or a Deployment."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes.gpu_model_server_pod import claim, pod
from slipway.kubernetes.gpu_model_server_settings import GpuModelServerSettings
from slipway.kubernetes.model_engine import PORT
from slipway.kubernetes.spot import ServerGroup

MIN_READY_SECONDS = 10


@dataclass(frozen=True)
class Workload:
    """Servers of one group, whatever keeps them."""

    settings: GpuModelServerSettings
    name: str
    """The component's name."""
    group: ServerGroup
    pods: Mapping[str, str]
    """Labels that select the pods of all groups."""
    labels: Mapping[str, str]
    """All labels of the pods, but for the group's own."""
    token: tuple[pulumi.Input[str], str] | None
    """Name of the Secret with the hub's token, and the key within it."""

    def stateful_set(self) -> k8s.apps.v1.StatefulSetSpecArgsDict:
        """Stops a server before it starts the next, so that a new version gets the GPUs that the old one leaves."""
        spec: k8s.apps.v1.StatefulSetSpecArgsDict = {
            "service_name": f"{self.name}-headless",
            "selector": {"match_labels": {**self.pods, **self.group.labels}},
            # Servers need not know of each other. And a change that repairs a server which never became ready is rolled
            # out, where the ordered policy would wait for that server (Kubernetes, "StatefulSets", forced rollback).
            "pod_management_policy": "Parallel",
            "update_strategy": {"type": "RollingUpdate", "rolling_update": {"partition": 0}},
            "min_ready_seconds": MIN_READY_SECONDS,
            "revision_history_limit": 5,
            "persistent_volume_claim_retention_policy": {
                "when_deleted": "Retain" if self.settings.keep_cache else "Delete",
                # A replica that comes back finds its weights.
                "when_scaled": "Retain",
            },
            "template": self._template(),
            "volume_claim_templates": [claim(self.settings)],
        }
        if self.group.replicas is not None:
            # Not said with scaling, or each `up` would set back what the load asked for.
            spec["replicas"] = self.group.replicas
        return spec

    def deployment(self) -> k8s.apps.v1.DeploymentSpecArgsDict:
        """Starts a server before it stops another, on GPUs that must be free."""
        spec: k8s.apps.v1.DeploymentSpecArgsDict = {
            "selector": {"match_labels": {**self.pods, **self.group.labels}},
            "strategy": {"type": "RollingUpdate", "rolling_update": {"max_surge": 1, "max_unavailable": 0}},
            "min_ready_seconds": MIN_READY_SECONDS,
            "revision_history_limit": 5,
            # Kubernetes' own 10 minutes are over before weights are loaded.
            "progress_deadline_seconds": self.settings.server_seconds,
            "template": self._template(),
        }
        if self.group.replicas is not None:
            # As for a StatefulSet.
            spec["replicas"] = self.group.replicas
        return spec

    def _template(self) -> k8s.core.v1.PodTemplateSpecArgsDict:
        return {
            "metadata": {
                "labels": {**self.labels, **self.group.labels},
                "annotations": {
                    "prometheus.io/scrape": "true",
                    "prometheus.io/port": str(PORT),
                    "prometheus.io/path": "/metrics",
                },
            },
            "spec": pod(self.settings, self.group, self.pods, f"{self.name}-account", f"{self.name}-weights", self.token),
        }
