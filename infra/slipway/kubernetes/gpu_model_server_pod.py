"""The pod of a model server and the volume that goes with it."""

import math
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import restricted
from slipway.kubernetes.disruption import spread
from slipway.kubernetes.gpu_model_server_args import GpuToleration, Rollout
from slipway.kubernetes.gpu_model_server_settings import STARTUP_PERIOD_SECONDS, GpuModelServerSettings
from slipway.kubernetes.loaders import script
from slipway.kubernetes.model_engine import CACHE, PORT, EngineContainer
from slipway.kubernetes.spot import ServerGroup
from slipway.kubernetes.weights_source import BUCKET_IMAGE, MOUNT, SharedVolume

CACHE_VOLUME = "model-cache"
WEIGHTS_VOLUME = "weights"
TOKEN_ENV = "HF_TOKEN"  # noqa: S105 -- the name of a variable
TMP_GIB = 4


def pod(
    settings: GpuModelServerSettings,
    group: ServerGroup,
    pods: Mapping[str, str],
    account: str,
    claim_name: str,
    token: tuple[pulumi.Input[str], str] | None,
) -> k8s.core.v1.PodSpecArgsDict:
    """The pod's specification.

    Args:
        settings: What was decided.
        group: Which of its servers.
        pods: Labels that select the pods of this server.
        account: Name of the ServiceAccount.
        claim_name: Name of the claim of the volume that all replicas share, where they do.
        token: Name of the Secret with the hub's token, and the key within it.
    """
    parts = settings.engine.container(settings.server)
    loader = _loader(settings, parts, token) or _source_loader(settings, token)
    loaders = [*loader, *_adapter_loaders(settings, token)]
    # Only who downloads gets the token.
    server_token = None if loader or settings.source else token
    spec: k8s.core.v1.PodSpecArgsDict = {
        "service_account_name": account,
        "automount_service_account_token": False,
        # A Service called 'vllm' would set VLLM_PORT in every pod of the namespace, which vLLM takes for its own setting.
        "enable_service_links": False,
        "termination_grace_period_seconds": settings.server.drain.grace_seconds,
        "security_context": restricted.pod_security(settings.engine.user),
        "node_selector": settings.node_selector,
        "tolerations": [*_tolerations(settings), *group.tolerations],
        "topology_spread_constraints": _spread(settings, pods),
        "containers": [_server(settings, parts, server_token)],
        "volumes": [
            {"name": "shm", "empty_dir": {"medium": "Memory", "size_limit": f"{settings.shm_gib}Gi"}},
            {"name": "tmp", "empty_dir": {"size_limit": f"{TMP_GIB}Gi"}},
            *_cache_volume(settings),
            *_weights_volume(settings, claim_name),
        ],
    }
    if group.affinity:
        spec["affinity"] = group.affinity
    if loaders:
        spec["init_containers"] = loaders
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
    gpus = {settings.gpu_resource: str(settings.gpus)} if settings.gpus else {}
    return {
        "name": "server",
        "image": settings.image,
        "command": parts.command,
        "args": parts.args,
        "env": _env(parts.env, token),
        "ports": [{"name": "http", "container_port": PORT}],
        "resources": {
            "requests": {**settings.requests, **gpus},
            "limits": {**settings.limits, **gpus},
        },
        "startup_probe": {
            **parts.startup,
            "period_seconds": STARTUP_PERIOD_SECONDS,
            "failure_threshold": settings.startup_failures,
        },
        "readiness_probe": {**parts.readiness, "period_seconds": 5, "timeout_seconds": 5, "failure_threshold": 3},
        # Patient: a restart costs minutes of loading, so a busy server must not look dead.
        "liveness_probe": {**parts.liveness, "period_seconds": 15, "timeout_seconds": 10, "failure_threshold": 8},
        "lifecycle": {"pre_stop": parts.pre_stop},
        "security_context": restricted.container_security(),
        "volume_mounts": [
            {"name": CACHE_VOLUME, "mount_path": CACHE},
            {"name": "shm", "mount_path": "/dev/shm"},  # noqa: S108 -- a mount
            {"name": "tmp", "mount_path": "/tmp"},  # noqa: S108 -- a mount
            *_weights_mount(settings, read_only=True),
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
    if source.scheme == "oci":
        return [{"name": WEIGHTS_VOLUME, "image": {"reference": source.place, "pull_policy": "IfNotPresent"}}]
    if source.scheme == "pvc":
        return [{"name": WEIGHTS_VOLUME, "persistent_volume_claim": {"claim_name": source.place, "read_only": True}}]
    return []


def _weights_mount(settings: GpuModelServerSettings, *, read_only: bool) -> list[k8s.core.v1.VolumeMountArgsDict]:
    source = settings.source
    if source is None or (source.loads and not source.shared_volume):
        return []
    return [{"name": WEIGHTS_VOLUME, "mount_path": MOUNT, "read_only": read_only}]


def _source_loader(
    settings: GpuModelServerSettings, token: tuple[pulumi.Input[str], str] | None
) -> list[k8s.core.v1.ContainerArgsDict]:
    """The container that brings the weights from where they are, before the server starts."""
    source = settings.source
    if source is None or not source.loads:
        return []
    # The engine's image has the hub's library.
    hub = source.scheme == "hf"
    container = _load(
        settings,
        "loader",
        settings.image if hub else BUCKET_IMAGE,
        ["python3", "-c", script("hub.py")] if hub else ["/bin/sh", "-c", script("bucket.sh")],
        _env(source.loader_env(settings.server.hub_endpoint), token),
    )
    if source.credentials_secret:
        container["env_from"] = [{"secret_ref": {"name": source.credentials_secret}}]
    return [container]


def _adapter_loaders(
    settings: GpuModelServerSettings, token: tuple[pulumi.Input[str], str] | None
) -> list[k8s.core.v1.ContainerArgsDict]:
    command = ["python3", "-c", script("hub.py")]
    told = [_env(source.loader_env(settings.server.hub_endpoint), token) for source in settings.adapters]
    return [_load(settings, f"adapter-{i}", settings.image, command, env) for i, env in enumerate(told)]


def _load(
    settings: GpuModelServerSettings,
    name: str,
    image: pulumi.Input[str],
    command: Sequence[str],
    env: Sequence[k8s.core.v1.EnvVarArgsDict],
) -> k8s.core.v1.ContainerArgsDict:
    return {
        "name": name,
        "image": image,
        "command": command,
        "env": env,
        "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "4Gi"}},
        "security_context": restricted.container_security(),
        "volume_mounts": [
            {"name": CACHE_VOLUME, "mount_path": CACHE},
            {"name": "tmp", "mount_path": "/tmp"},  # noqa: S108 -- a mount
            *_weights_mount(settings, read_only=False),
        ],
    }


def _loader(
    settings: GpuModelServerSettings, parts: EngineContainer, token: tuple[pulumi.Input[str], str] | None
) -> list[k8s.core.v1.ContainerArgsDict]:
    if not parts.loader:
        return []
    return [
        {
            "name": "loader",
            "image": settings.image,
            "command": parts.loader,
            "env": _env(parts.loader_env, token),
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
            "security_context": restricted.container_security(),
            "volume_mounts": [
                {"name": CACHE_VOLUME, "mount_path": CACHE},
                {"name": "tmp", "mount_path": "/tmp"},  # noqa: S108 -- a mount
            ],
        }
    ]


def _env(plain: Mapping[str, str], token: tuple[pulumi.Input[str], str] | None) -> Sequence[k8s.core.v1.EnvVarArgsDict]:
    env: list[k8s.core.v1.EnvVarArgsDict] = [{"name": name, "value": value} for name, value in plain.items()]
    if token:
        env.append({"name": TOKEN_ENV, "value_from": {"secret_key_ref": {"name": token[0], "key": token[1]}}})
    return env


def _tolerations(settings: GpuModelServerSettings) -> list[k8s.core.v1.TolerationArgsDict]:
    # GKE, EKS and NVIDIA's GPU Operator keep other pods off GPU nodes by this taint.
    gpu: list[k8s.core.v1.TolerationArgsDict] = (
        [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}] if settings.gpus else []
    )
    return [*gpu, *(_toleration(t) for t in settings.tolerations)]


def _toleration(asked: GpuToleration) -> k8s.core.v1.TolerationArgsDict:
    made: k8s.core.v1.TolerationArgsDict = {"key": asked["key"], "operator": "Exists"}
    if "value" in asked:
        made = {"key": asked["key"], "operator": "Equal", "value": asked["value"]}
    if "effect" in asked:
        made["effect"] = asked["effect"]
    return made


def _spread(settings: GpuModelServerSettings, pods: Mapping[str, str]) -> list[k8s.core.v1.TopologySpreadConstraintArgsDict]:
    if settings.most_replicas < 2:
        return []
    if settings.rollout is Rollout.AVAILABILITY:
        return spread(pods)
    # The label by which a StatefulSet's pods tell their revision.
    return [{**constraint, "match_label_keys": ["controller-revision-hash"]} for constraint in spread(pods)]
