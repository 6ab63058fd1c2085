"""What a part of the stack becomes: its pod, with what this needs, and the StatefulSet or other workload around it."""

import hashlib
import json
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import restricted
from slipway.kubernetes.deletion import DeletionPolicy
from slipway.kubernetes.names import version_label
from slipway.kubernetes.network import opened
from slipway.kubernetes.observability.part import Front, Part, Place, Volume

IMAGE_SECONDS = 300
"""For what comes before the server starts: its image is pulled and its volume attached."""
GRACE_SECONDS = 120
"""For what is in memory to reach the volume."""


def deploy(part: Part, place: Place, before: Sequence[pulumi.Resource] = ()) -> k8s.apps.v1.StatefulSet:
    """Make a part.

    Args:
        part: What it is.
        place: Where.
        before: What has to be there before its pod.
    """
    pods, labels = restricted.selector(part.app, place.name), _labels(part, place)
    name, role = place.name, part.role
    there = service(part, place)
    needed, template = pod_template(part, place)
    spec: k8s.apps.v1.StatefulSetSpecArgsDict = {
        "service_name": f"{name}-{role}",
        "replicas": 1,
        "selector": {"match_labels": pods},
        "template": template,
    }
    if part.volume.gib:
        kept = "Retain" if place.deletion_policy.keeps else "Delete"
        spec["persistent_volume_claim_retention_policy"] = {"when_deleted": kept, "when_scaled": "Retain"}
        spec["volume_claim_templates"] = [_claim(part.volume)]
    patience = f"{GRACE_SECONDS + part.start_seconds + IMAGE_SECONDS}s"
    protected = place.deletion_policy is DeletionPolicy.PROTECT and part.volume.gib > 0
    return k8s.apps.v1.StatefulSet(
        f"{name}-{role}",
        metadata=place.meta(role, labels),
        spec=spec,
        opts=pulumi.ResourceOptions(
            parent=place.parent,
            depends_on=[*before, there, *needed],
            custom_timeouts=pulumi.CustomTimeouts(create=patience, update=patience),
            protect=True if protected else None,
        ),
    )


def service(part: Part, place: Place) -> k8s.core.v1.Service:
    """Its address."""
    return k8s.core.v1.Service(
        f"{place.name}-{part.role}-service",
        metadata=place.meta(part.role, _labels(part, place), {"pulumi.com/skipAwait": "true"}),
        spec={
            "selector": restricted.selector(part.app, place.name),
            "ports": [{"name": p, "port": port, "target_port": p, "protocol": "TCP"} for p, port in _ports(part).items()],
        },
        opts=pulumi.ResourceOptions(parent=place.parent),
    )


def pod_template(part: Part, place: Place) -> tuple[list[pulumi.Resource], k8s.core.v1.PodTemplateSpecArgsDict]:
    """The pods of a part, and what has to be there before them: their account, their network policy, their configuration."""
    labels = _labels(part, place)
    account = k8s.core.v1.ServiceAccount(
        f"{place.name}-{part.role}-account",
        metadata=place.meta(part.role, labels),
        automount_service_account_token=False,
        opts=pulumi.ResourceOptions(parent=place.parent),
    )
    policy = k8s.networking.v1.NetworkPolicy(
        f"{place.name}-{part.role}-network",
        metadata=place.meta(part.role, labels),
        spec=opened(restricted.selector(part.app, place.name), part.allow_from, part.egress),
        opts=pulumi.ResourceOptions(parent=place.parent),
    )
    needed: list[pulumi.Resource] = [account, policy]
    config: k8s.core.v1.ConfigMapVolumeSourceArgsDict | None = None
    if part.config_path:
        made, config = _config(part, place, labels)
        needed.append(made)
    return needed, {"metadata": {"labels": labels}, "spec": _pod(part, place, config)}


def _labels(part: Part, place: Place) -> dict[str, str]:
    return {**restricted.labels(part.app, place.name), **version_label(part.image)}


def _ports(part: Part) -> dict[str, int]:
    return {"http": part.port, **part.more_ports}


def _config(
    part: Part, place: Place, labels: Mapping[str, str]
) -> tuple[k8s.core.v1.ConfigMap, k8s.core.v1.ConfigMapVolumeSourceArgsDict]:
    """An immutable ConfigMap named by its content, so that a change starts the server anew, and one that fails can be undone; and
    the volume of it. Its keys cannot have a '/', so there they have '_'."""
    files = pulumi.Output.from_input(part.config)
    text = files.apply(lambda told: json.dumps({_key(path): content for path, content in told.items()}, sort_keys=True))
    ours = text.apply(lambda told: f"{place.name}-{part.role}-{hashlib.sha256(told.encode()).hexdigest()[:10]}")
    made = k8s.core.v1.ConfigMap(
        f"{place.name}-{part.role}-config",
        metadata={"name": ours, "namespace": place.namespace, "labels": labels},
        immutable=True,
        data=text.apply(json.loads),
        # As with AiApiService: an earlier one stays for `kubectl rollout undo`.
        opts=pulumi.ResourceOptions(parent=place.parent, retain_on_delete=True),
    )
    items = files.apply(_items)
    return made, {"name": made.metadata.name, "items": items}


def _items(files: Mapping[str, str]) -> list[pulumi.Input[k8s.core.v1.KeyToPathArgsDict]]:
    return [{"key": _key(path), "path": path} for path in sorted(files)]


def _key(path: str) -> str:
    return path.replace("/", "_")


def _pod(part: Part, place: Place, config: k8s.core.v1.ConfigMapVolumeSourceArgsDict | None) -> k8s.core.v1.PodSpecArgsDict:
    volumes: list[k8s.core.v1.VolumeArgsDict] = []
    mounts: list[k8s.core.v1.VolumeMountArgsDict] = []
    private: list[k8s.core.v1.VolumeMountArgsDict] = []
    scratch: list[k8s.core.v1.VolumeMountArgsDict] = []
    if config is not None:
        volumes.append({"name": "config", "config_map": config})
        mounts.append({"name": "config", "mount_path": part.config_path, "read_only": True})
    for i, (path, (secret, keys)) in enumerate(part.secrets.items()):
        items: list[k8s.core.v1.KeyToPathArgsDict] = [{"key": key, "path": key} for key in keys]
        volumes.append({"name": f"secret-{i}", "secret": {"secret_name": secret, "items": items, "default_mode": 0o440}})
        private.append({"name": f"secret-{i}", "mount_path": path, "read_only": True})
    for i, (path, most) in enumerate(part.scratch.items()):
        volumes.append({"name": f"scratch-{i}", "empty_dir": {"size_limit": most}})
        scratch.append({"name": f"scratch-{i}", "mount_path": path})
    if not part.volume.gib:
        volumes.append({"name": "data", "empty_dir": {"size_limit": "10Gi"}})
    env: list[k8s.core.v1.EnvVarArgsDict] = [{"name": key, "value": value} for key, value in part.env.items()]
    for key, (secret, held) in part.env_secrets.items():
        env.append({"name": key, "value_from": {"secret_key_ref": {"name": secret, "key": held}}})
    ports: list[k8s.core.v1.ContainerPortArgsDict] = [
        {"name": p, "container_port": port, "protocol": "TCP"} for p, port in _ports(part).items()
    ]
    container: k8s.core.v1.ContainerArgsDict = {
        "name": part.role,
        "image": part.image,
        "resources": part.resources,
        "startup_probe": {**part.ready, "period_seconds": 5, "failure_threshold": max(1, part.start_seconds // 5)},
        "readiness_probe": {**part.ready, "period_seconds": 10, "failure_threshold": 3},
        "liveness_probe": {**part.alive, "period_seconds": 15, "failure_threshold": 6},
        "security_context": restricted.container_security(),
    }
    containers = [container]
    data: k8s.core.v1.VolumeMountArgsDict = {"name": "data", "mount_path": part.volume.path}
    if part.front is None:
        container["ports"] = ports
        container["volume_mounts"] = [data, *mounts, *private, *scratch]
    else:
        container["volume_mounts"] = [data, *mounts, *scratch]
        containers.append(_front(part.front, ports, [*mounts, *private, *scratch]))
    if part.args:
        container["args"] = part.args
    if env:
        container["env"] = env
    spec: k8s.core.v1.PodSpecArgsDict = {
        "service_account_name": f"{place.name}-{part.role}",
        "automount_service_account_token": part.asks_kubernetes,
        "enable_service_links": False,
        "termination_grace_period_seconds": GRACE_SECONDS,
        "security_context": restricted.pod_security(part.user),
        "containers": containers,
    }
    if part.prepare is not None:
        spec["init_containers"] = [_prepare(part, part.prepare, [*mounts, *private], scratch)]
    if volumes:
        spec["volumes"] = volumes
    if place.node_selector:
        spec["node_selector"] = place.node_selector
    return spec


def _prepare(
    part: Part,
    told: tuple[str, str, Sequence[str]],
    read: list[k8s.core.v1.VolumeMountArgsDict],
    scratch: list[k8s.core.v1.VolumeMountArgsDict],
) -> k8s.core.v1.ContainerArgsDict:
    folder, elsewhere, command = told
    filled: list[k8s.core.v1.VolumeMountArgsDict] = [
        {**mount, "mount_path": elsewhere} for mount in scratch if mount["mount_path"] == folder
    ]
    return {
        "name": "prepare",
        "image": part.image,
        "command": command,
        "resources": part.resources,
        "security_context": restricted.container_security(),
        "volume_mounts": [*read, *filled],
    }


def _front(
    front: Front, ports: list[k8s.core.v1.ContainerPortArgsDict], mounts: list[k8s.core.v1.VolumeMountArgsDict]
) -> k8s.core.v1.ContainerArgsDict:
    return {
        "name": front.name,
        "image": front.image,
        "command": front.command,
        "ports": ports,
        "resources": front.resources,
        "readiness_probe": {**front.ready, "period_seconds": 10, "failure_threshold": 3},
        "liveness_probe": {**front.alive, "period_seconds": 15, "failure_threshold": 6},
        "security_context": restricted.container_security(),
        "volume_mounts": mounts,
    }


def _claim(volume: Volume) -> k8s.core.v1.PersistentVolumeClaimArgsDict:
    spec: k8s.core.v1.PersistentVolumeClaimSpecArgsDict = {
        "access_modes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{volume.gib}Gi"}},
    }
    if volume.storage_class is not None:
        spec["storage_class_name"] = volume.storage_class
    return {"metadata": {"name": "data"}, "spec": spec}
