"""The pod of a model server and the volume that goes with it."""

import math
from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import restricted
from slipway.kubernetes.disruption import spread
from slipway.kubernetes.gpu_model_server_args import Rollout
from slipway.kubernetes.gpu_model_server_loaders import (
    CACHE_VOLUME,
    WEIGHTS_VOLUME,
    adapter_mounts,
    environment,
    loaders,
    mounted,
    weights_mount,
)
from slipway.kubernetes.gpu_model_server_settings import STARTUP_PERIOD_SECONDS, GpuModelServerSettings
from slipway.kubernetes.gpu_nodes import tolerations
from slipway.kubernetes.leader_worker_set import GROUP_KEY, RENDEZVOUS_PORT, WAIT_FOR_LEADER
from slipway.kubernetes.model_engine import CACHE, PORT, EngineContainer
from slipway.kubernetes.spot import ServerGroup
from slipway.kubernetes.weights_source import SharedVolume

TMP_GIB = 4


def pod(
    settings: GpuModelServerSettings,
    group: ServerGroup,
    pods: Mapping[str, str],
    account: str,
    claim_name: str,
    token: tuple[pulumi.Input[str], str] | None,
    *,
    worker: bool = False,
) -> k8s.core.v1.PodSpecArgsDict:
    """The pod's specification.

    Args:
        settings: What was decided.
        group: Which of its servers.
        pods: Labels that select the pods of this server.
        account: Name of the ServiceAccount.
        claim_name: Name of the claim of the volume that all replicas share, where they do.
        token: Name of the Secret with the hub's token, and the key within it.
        worker: Whether it only computes with another pod, which answers for both.
    """
    parts = settings.engine.container(settings.server)
    # Only who downloads from the hub gets the token.
    server_token = None if parts.loader or settings.source else token
    spec: k8s.core.v1.PodSpecArgsDict = {
        "service_account_name": account,
        "automount_service_account_token": False,
        # A Service called 'vllm' would set VLLM_PORT in every pod of the namespace, which vLLM takes for its own setting.
        "enable_service_links": False,
        "termination_grace_period_seconds": settings.server.drain.grace_seconds,
        "security_context": restricted.pod_security(settings.engine.user),
        "node_selector": settings.node_selector,
        "tolerations": [*tolerations(settings.gpus, settings.tolerations), *group.tolerations],
        "topology_spread_constraints": _spread(settings, pods),
        "containers": [_worker(settings, parts, server_token) if worker else _server(settings, parts, server_token)],
        "volumes": [
            {"name": "shm", "empty_dir": {"medium": "Memory", "size_limit": f"{settings.shm_gib}Gi"}},
            {"name": "tmp", "empty_dir": {"size_limit": f"{TMP_GIB}Gi"}},
            *_cache_volume(settings),
            *_weights_volume(settings, claim_name),
            *(volume for i, a in enumerate(settings.adapters) for volume in mounted(f"adapter-{i}", a.source)),
        ],
    }
    if settings.server.nodes > 1:
        spec["affinity"] = _together(pods)
    if group.affinity:
        spec["affinity"] = group.affinity
    if first := loaders(settings, parts, token):
        spec["init_containers"] = first
    return spec


def claim(settings: GpuModelServerSettings) -> k8s.core.v1.PersistentVolumeClaimArgsDict:
    """The volume of each replica: weights that several replicas write at once would be broken, so none is shared."""
    return {"metadata": {"name": CACHE_VOLUME}, "spec": _claim_spec(settings)}


def _claim_spec(settings: GpuModelServerSettings) -> k8s.core.v1.PersistentVolumeClaimSpecArgsDict:
    spec: k8s.core.v1.PersistentVolumeClaimSpecArgsDict = {
        "access_modes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{settings.cache_gib}Gi"}},
    }
    if settings.storage_class is not None:
        spec["storage_class_name"] = settings.storage_class
    return spec


def shared_claim(settings: GpuModelServerSettings, shared: SharedVolume) -> k8s.core.v1.PersistentVolumeClaimSpecArgsDict:
    """The volume with the weights of all replicas: one loads at a time, under a lock, and the others find what it loaded."""
    size = shared.get("gib") or math.ceil(2 * settings.server.weights.gib)
    return {
        "access_modes": ["ReadWriteMany"],
        "storage_class_name": shared["storage_class"],
        "resources": {"requests": {"storage": f"{size}Gi"}},
    }


def _server(
    settings: GpuModelServerSettings, parts: EngineContainer, token: tuple[pulumi.Input[str], str] | None
) -> k8s.core.v1.ContainerArgsDict:
    return {
        **_engine(settings, parts, token),
        "ports": [{"name": "http", "container_port": PORT}],
        "startup_probe": {
            **parts.startup,
            "period_seconds": STARTUP_PERIOD_SECONDS,
            "failure_threshold": settings.startup_failures,
        },
        "readiness_probe": {**parts.readiness, "period_seconds": 5, "timeout_seconds": 5, "failure_threshold": 3},
        # Patient: a restart costs minutes of loading, so a busy server must not look dead.
        "liveness_probe": {**parts.liveness, "period_seconds": 15, "timeout_seconds": 10, "failure_threshold": 8},
        "lifecycle": {"pre_stop": parts.pre_stop},
    }


def _worker(
    settings: GpuModelServerSettings, parts: EngineContainer, token: tuple[pulumi.Input[str], str] | None
) -> k8s.core.v1.ContainerArgsDict:
    """Nobody asks it anything, kubelet neither: its leader fails without it, and then the whole group starts anew."""
    drain = settings.server.drain
    wait = [str(RENDEZVOUS_PORT), str(drain.pre_stop_seconds + drain.stream_seconds)]
    return {
        **_engine(settings, parts, token),
        "args": [*parts.args, *parts.worker_args],
        "lifecycle": {"pre_stop": {"exec_": {"command": ["python3", "-c", WAIT_FOR_LEADER, *wait]}}},
    }


def _engine(
    settings: GpuModelServerSettings, parts: EngineContainer, token: tuple[pulumi.Input[str], str] | None
) -> k8s.core.v1.ContainerArgsDict:
    gpus = {settings.gpu_resource: str(settings.gpus)} if settings.gpus else {}
    return {
        "name": "server",
        "image": settings.image,
        "command": parts.command,
        "args": parts.args,
        "env": environment(parts.env, token),
        "resources": {
            "requests": {**settings.requests, **gpus},
            "limits": {**settings.limits, **gpus},
        },
        "security_context": restricted.container_security(),
        "volume_mounts": [
            {"name": CACHE_VOLUME, "mount_path": CACHE},
            {"name": "shm", "mount_path": "/dev/shm"},  # noqa: S108 -- a mount
            {"name": "tmp", "mount_path": "/tmp"},  # noqa: S108 -- a mount
            *weights_mount(settings, read_only=True),
            *adapter_mounts(settings),
        ],
    }


def _cache_volume(settings: GpuModelServerSettings) -> list[k8s.core.v1.VolumeArgsDict]:
    """A Deployment's pods get theirs with the pod; a StatefulSet has templates of its own for them."""
    if settings.rollout is Rollout.RESOURCE_AWARE:
        return []
    return [{"name": CACHE_VOLUME, "ephemeral": {"volume_claim_template": {"spec": _claim_spec(settings)}}}]


def _weights_volume(settings: GpuModelServerSettings, claim_name: str) -> list[k8s.core.v1.VolumeArgsDict]:
    """The volume for weights that are on none of the server's own."""
    source = settings.source
    if source is None:
        return []
    if source.shared_volume:
        return [{"name": WEIGHTS_VOLUME, "persistent_volume_claim": {"claim_name": claim_name}}]
    return mounted(WEIGHTS_VOLUME, source)


def _spread(settings: GpuModelServerSettings, pods: Mapping[str, str]) -> list[k8s.core.v1.TopologySpreadConstraintArgsDict]:
    if settings.most_replicas < 2 or settings.server.nodes > 1:
        return []
    if settings.rollout is Rollout.AVAILABILITY:
        return spread(pods)
    # The label by which a StatefulSet's pods tell their revision.
    return [{**constraint, "match_label_keys": ["controller-revision-hash"]} for constraint in spread(pods)]


def _together(pods: Mapping[str, str]) -> k8s.core.v1.AffinityArgsDict:
    """The pods of one group in one zone, where there is room: from zone to zone every token would wait for the network."""
    term: k8s.core.v1.PodAffinityTermArgsDict = {
        "topology_key": "topology.kubernetes.io/zone",
        "label_selector": {"match_labels": pods},
        "match_label_keys": [GROUP_KEY],
    }
    preferred: k8s.core.v1.WeightedPodAffinityTermArgsDict = {"weight": 100, "pod_affinity_term": term}
    return {"pod_affinity": {"preferred_during_scheduling_ignored_during_execution": [preferred]}}
