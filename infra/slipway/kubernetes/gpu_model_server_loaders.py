"""What runs before a model server: the init containers that bring weights and adapters, and the volumes that they write to."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import restricted
from slipway.kubernetes.bucket import RCLONE_IMAGE
from slipway.kubernetes.gpu_model_server_settings import GpuModelServerSettings
from slipway.kubernetes.loaders import script
from slipway.kubernetes.model_engine import CACHE, EngineContainer
from slipway.kubernetes.weights_source import MOUNT, WeightsSource

CACHE_VOLUME = "model-cache"
WEIGHTS_VOLUME = "weights"
TOKEN_ENV = "HF_TOKEN"  # noqa: S105 -- the name of a variable
_MOUNTS: Sequence[k8s.core.v1.VolumeMountArgsDict] = (
    {"name": CACHE_VOLUME, "mount_path": CACHE},
    {"name": "tmp", "mount_path": "/tmp"},  # noqa: S108 -- a mount
)


def loaders(
    settings: GpuModelServerSettings, parts: EngineContainer, token: tuple[pulumi.Input[str], str] | None
) -> list[k8s.core.v1.ContainerArgsDict]:
    """All of them, in the order in which they run.

    Args:
        settings: What was decided.
        parts: The engine's part of the pod, which may have a loader of its own.
        token: Name of the Secret with the hub's token, and the key within it.
    """
    model = _engine_loader(settings, parts, token) or _source_loader(settings, token)
    return [*model, *_adapter_loaders(settings, token)]


def environment(plain: Mapping[str, str], token: tuple[pulumi.Input[str], str] | None) -> Sequence[k8s.core.v1.EnvVarArgsDict]:
    """Variables of a container, the hub's token by reference."""
    env: list[k8s.core.v1.EnvVarArgsDict] = [{"name": name, "value": value} for name, value in plain.items()]
    if token:
        env.append({"name": TOKEN_ENV, "value_from": {"secret_key_ref": {"name": token[0], "key": token[1]}}})
    return env


def weights_mount(settings: GpuModelServerSettings, *, read_only: bool) -> list[k8s.core.v1.VolumeMountArgsDict]:
    """Where weights are mounted that are on none of the server's own volumes."""
    source = settings.source
    if source is None or (source.loads and not source.shared_volume):
        return []
    return [{"name": WEIGHTS_VOLUME, "mount_path": MOUNT, "read_only": read_only}]


def adapter_mounts(settings: GpuModelServerSettings) -> list[k8s.core.v1.VolumeMountArgsDict]:
    """Where the adapters are mounted that no loader brings."""
    return [
        {"name": f"adapter-{i}", "mount_path": adapter.mount, "read_only": True}
        for i, adapter in enumerate(settings.adapters)
        if not adapter.source.loads
    ]


def mounted(name: str, source: WeightsSource) -> list[k8s.core.v1.VolumeArgsDict]:
    """The volume of what is mounted from where it is; none of what is loaded."""
    if source.scheme == "oci":
        return [{"name": name, "image": {"reference": source.place, "pull_policy": "IfNotPresent"}}]
    if source.scheme == "pvc":
        return [{"name": name, "persistent_volume_claim": {"claim_name": source.place, "read_only": True}}]
    return []


def _source_loader(
    settings: GpuModelServerSettings, token: tuple[pulumi.Input[str], str] | None
) -> list[k8s.core.v1.ContainerArgsDict]:
    """The container that brings the weights from where they are, before the server starts."""
    source = settings.source
    if source is None or not source.loads:
        return []
    env = source.loader_env(settings.server.hub_endpoint, source.target, make_room=not source.shared_volume)
    container = _fetch(settings, "loader", source, env, token)
    container["volume_mounts"] = [*_MOUNTS, *weights_mount(settings, read_only=False)]
    return [container]


def _adapter_loaders(
    settings: GpuModelServerSettings, token: tuple[pulumi.Input[str], str] | None
) -> list[k8s.core.v1.ContainerArgsDict]:
    """No room is made: nothing else is beside them that could be taken for an older version."""
    return [
        _fetch(
            settings,
            f"adapter-{i}",
            a.source,
            a.source.loader_env(settings.server.hub_endpoint, a.adapter.path, make_room=False),
            token,
        )
        for i, a in enumerate(settings.adapters)
        if a.source.loads
    ]


def _fetch(
    settings: GpuModelServerSettings,
    name: str,
    source: WeightsSource,
    env: Mapping[str, str],
    token: tuple[pulumi.Input[str], str] | None,
) -> k8s.core.v1.ContainerArgsDict:
    # The engine's image has the hub's library.
    hub = source.scheme == "hf"
    container = _load(
        name,
        settings.image if hub else RCLONE_IMAGE,
        ["python3", "-c", script("hub.py")] if hub else ["/bin/sh", "-c", script("bucket.sh")],
        environment(env, token if hub else None),
    )
    if source.credentials_secret:
        container["env_from"] = [{"secret_ref": {"name": source.credentials_secret}}]
    return container


def _load(
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
        "volume_mounts": _MOUNTS,
    }


def _engine_loader(
    settings: GpuModelServerSettings, parts: EngineContainer, token: tuple[pulumi.Input[str], str] | None
) -> list[k8s.core.v1.ContainerArgsDict]:
    if not parts.loader:
        return []
    return [
        {
            "name": "loader",
            "image": settings.image,
            "command": parts.loader,
            "env": environment(parts.loader_env, token),
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
            "security_context": restricted.container_security(),
            "volume_mounts": _MOUNTS,
        }
    ]
