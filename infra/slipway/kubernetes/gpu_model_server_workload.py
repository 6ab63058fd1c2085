"""What keeps the pods of a model server, replaces them and gives them their volumes: a StatefulSet, a Deployment or a
LeaderWorkerSet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import leader_worker_set
from slipway.kubernetes.camel import camel
from slipway.kubernetes.gpu_model_server_args import Rollout
from slipway.kubernetes.gpu_model_server_pod import claim, pod
from slipway.kubernetes.gpu_model_server_settings import GpuModelServerSettings
from slipway.kubernetes.mesh_pods import account_of, in_mesh, sidecar_annotations, sidecar_labels
from slipway.kubernetes.model_engine import PORT
from slipway.kubernetes.model_scaler import Keeper
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

    @property
    def annotations(self) -> Mapping[str, str]:
        """Of the object itself."""
        return leader_worker_set.ANNOTATIONS if self.settings.keeper is Keeper.LEADER_WORKER_SET else {}

    def register(self, metadata: k8s.meta.v1.ObjectMetaArgsDict, opts: pulumi.ResourceOptions) -> pulumi.Resource:
        """Make it, as `NAME-ROLE`."""
        name = f"{self.name}-{self.group.role}"
        match self.settings.keeper:
            case Keeper.STATEFUL_SET:
                return k8s.apps.v1.StatefulSet(name, metadata=metadata, spec=self.stateful_set(), opts=opts)
            case Keeper.DEPLOYMENT:
                return k8s.apps.v1.Deployment(name, metadata=metadata, spec=self.deployment(), opts=opts)
            case Keeper.LEADER_WORKER_SET:
                return k8s.apiextensions.CustomResource(
                    name,
                    api_version=leader_worker_set.API_VERSION,
                    kind=leader_worker_set.KIND,
                    metadata=metadata,
                    spec=self.leader_worker_set(),
                    opts=opts,
                )

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
            "persistent_volume_claim_retention_policy": self._retention(),
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

    def leader_worker_set(self) -> Mapping[str, Any]:
        """Groups of pods, each of them a server; by `rollout` one stops before another starts, or the other way round."""
        surge = int(self.settings.rollout is Rollout.AVAILABILITY)
        members: dict[str, Any] = {
            "size": self.settings.server.nodes,
            "restart_policy": "RecreateGroupOnPodRestart",
            "leader_template": self._template(),
            "worker_template": self._template(worker=True),
        }
        if not surge:
            members["volume_claim_templates"] = [claim(self.settings)]
            members["persistent_volume_claim_retention_policy"] = self._retention()
        spec: dict[str, Any] = {
            "leader_worker_template": members,
            "rollout_strategy": {
                "type": "RollingUpdate",
                "rolling_update_configuration": {"max_surge": surge, "max_unavailable": 1 - surge},
            },
            "startup_policy": "LeaderCreated",
        }
        if self.group.replicas is not None:
            # As for a StatefulSet.
            spec["replicas"] = self.group.replicas
        return camel(spec)

    def _retention(self) -> k8s.apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicyArgsDict:
        # A replica that comes back finds its weights.
        return {"when_deleted": "Retain" if self.settings.keep_cache else "Delete", "when_scaled": "Retain"}

    def _template(self, *, worker: bool = False) -> k8s.core.v1.PodTemplateSpecArgsDict:
        mesh = self.settings.mesh
        account, weights = account_of(self.name, mesh), f"{self.name}-weights"
        spec = pod(self.settings, self.group, self.pods, account, weights, self.token, worker=worker)
        labels = {**self.labels, **self.group.labels, **sidecar_labels(mesh)}
        made: k8s.core.v1.PodTemplateSpecArgsDict = {"metadata": {"labels": labels}, "spec": in_mesh(spec, mesh)}
        if not worker:
            made["metadata"] = {
                "labels": labels,
                "annotations": {
                    "prometheus.io/scrape": "true",
                    "prometheus.io/port": str(PORT),
                    "prometheus.io/path": "/metrics",
                    **sidecar_annotations(mesh, self.name, PORT, self.settings.server.drain),
                },
            }
        return made
