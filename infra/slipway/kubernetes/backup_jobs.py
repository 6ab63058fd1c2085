"""Backups of a store: a CronJob that makes them, one that is suspended and restores them, and where they are kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import restricted
from slipway.kubernetes.backup_args import BackupSettings
from slipway.kubernetes.backups import script
from slipway.kubernetes.bucket import RCLONE_IMAGE
from slipway.kubernetes.data_store import SKIP_AWAIT, DataStore, server_egress, volume
from slipway.kubernetes.deletion import DeletionPolicy
from slipway.kubernetes.identity import account_annotations, associate
from slipway.kubernetes.network import Peer, isolate

BACKUPS = "/backups"
"""Where backups are mounted."""
TMP = "/tmp"  # noqa: S108 -- a mount
LATE_SECONDS = 3600
"""How much later than its time a backup may begin, where the cluster could not in time."""
LONGEST_SECONDS = 6 * 3600
"""After which a backup or a restore that does not end is ended."""
KEPT_SECONDS = 7 * 24 * 3600
"""How long the logs of a restore stay."""


@dataclass(frozen=True)
class BackupTool:
    """How a store's backups are made and restored."""

    image: pulumi.Input[str]
    """Image with the store's own tools."""
    user: int
    """User of that image."""
    functions: str
    """The shell's functions `dump FILE`, which makes one, and `restore FILE`, which restores it into an empty store."""
    suffix: str
    """What the name of a backup ends with."""
    env: Sequence[k8s.core.v1.EnvVarArgsDict]
    """Where the store is, and how it is told who asks."""
    memory: str
    """Most memory that it takes."""


def backup_peer(store: DataStore) -> Peer:
    """The pods that make and restore backups, as the store's network policy needs to know them."""
    return {"pod_labels": _selector(store)}


def declare_backups(
    store: DataStore, backup: BackupSettings, tool: BackupTool, port: int, server: pulumi.Resource
) -> pulumi.Output[str | None]:
    """Declare everything about backups.

    Args:
        store: Whose they are.
        backup: What was asked for.
        tool: How they are made.
        port: The server's port.
        server: What they need to be there.

    Returns:
        The command that restores one, from the shell of whoever may make Jobs in the namespace.
    """
    name, parent = store.name, store.parent
    before: list[pulumi.Resource] = [
        store.account(f"{name}-backup-account", account_annotations(backup.identity)),
        store.policy(
            f"{name}-backup-network",
            isolate(_selector(store), port, [], [*server_egress(store, port), *backup.egress]),
        ),
    ]
    if backup.identity is not None:
        account, opts = f"{name}-backup-account", pulumi.ResourceOptions(parent=parent)
        before += associate(f"{name}-backup", backup.identity, store.namespace, account, opts)
    if backup.bucket is None:
        policy = backup.deletion_policy
        before.append(
            k8s.core.v1.PersistentVolumeClaim(
                f"{name}-backups",
                # Many classes bind a volume only once a pod asks for it.
                metadata=store.meta(f"{name}-backups", SKIP_AWAIT),
                spec=volume(backup.gib, backup.storage_class),
                opts=pulumi.ResourceOptions(
                    parent=parent,
                    retain_on_delete=policy.keeps or None,
                    protect=True if policy is DeletionPolicy.PROTECT else None,
                ),
            )
        )
    for role, suspended in (("backup", False), ("restore", True)):
        work: k8s.batch.v1.JobSpecArgsDict = {
            "active_deadline_seconds": LONGEST_SECONDS,
            # What was restored in part is refused the second time: somebody must look.
            "backoff_limit": 0 if suspended else 3,
            "template": {
                "metadata": {"labels": {**store.labels, **_selector(store)}},
                "spec": _pod(store, backup, tool, restores=suspended),
            },
        }
        if suspended:
            work["ttl_seconds_after_finished"] = KEPT_SECONDS
        k8s.batch.v1.CronJob(
            f"{name}-{role}",
            metadata=store.meta(f"{name}-{role}"),
            spec={
                "schedule": backup.schedule,
                "time_zone": backup.timezone,
                # The one that restores is only what Jobs are made of, by hand.
                "suspend": suspended,
                "concurrency_policy": "Forbid",
                "starting_deadline_seconds": LATE_SECONDS,
                "successful_jobs_history_limit": 1,
                "failed_jobs_history_limit": 3,
                "job_template": {"spec": work},
            },
            opts=pulumi.ResourceOptions(parent=parent, depends_on=[*before, server]),
        )
    restore = pulumi.Output.concat(
        "kubectl create job --namespace ", store.namespace, f" --from=cronjob/{name}-restore {name}-restore-1"
    )
    return restore.apply(lambda text: text)


def _selector(store: DataStore) -> dict[str, str]:
    return restricted.selector(f"{store.component}-backup", store.name)


def _pod(store: DataStore, backup: BackupSettings, tool: BackupTool, *, restores: bool) -> k8s.core.v1.PodSpecArgsDict:
    told: list[k8s.core.v1.EnvVarArgsDict] = [
        {"name": "BACKUPS", "value": BACKUPS},
        {"name": "NAME", "value": store.name},
        {"name": "SUFFIX", "value": tool.suffix},
        {"name": "KEEP", "value": str(backup.keep)},
        # Where nothing else can be written to.
        {"name": "HOME", "value": TMP},
        {"name": "SCRATCH", "value": TMP},
    ]
    if backup.restore_file and restores:
        told.append({"name": "RESTORE_FILE", "value": backup.restore_file})
    mounts: list[k8s.core.v1.VolumeMountArgsDict] = [
        {"name": "backups", "mount_path": BACKUPS},
        {"name": "tmp", "mount_path": TMP},
    ]
    own: k8s.core.v1.ContainerArgsDict = {
        "name": "restore" if restores else "backup",
        "image": tool.image,
        "command": ["sh", "-c", f"{tool.functions}\n{script('restore.sh' if restores else 'backup.sh')}"],
        "env": [*told, *tool.env],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": tool.memory}},
        "security_context": restricted.container_security(),
        "volume_mounts": mounts,
    }
    containers = [own]
    if backup.bucket is not None:
        bucket: k8s.core.v1.ContainerArgsDict = {
            "name": "download" if restores else "upload",
            "image": RCLONE_IMAGE,
            "command": ["/bin/sh", "-c", script("download.sh" if restores else "upload.sh")],
            "env": [*told, *({"name": key, "value": value} for key, value in backup.bucket_env.items())],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
            "security_context": restricted.container_security(),
            "volume_mounts": mounts,
        }
        if "credentials_secret" in backup.bucket:
            bucket["env_from"] = [{"secret_ref": {"name": backup.bucket["credentials_secret"]}}]
        containers = [bucket, own] if restores else [own, bucket]
    spec: k8s.core.v1.PodSpecArgsDict = {
        "restart_policy": "Never",
        "service_account_name": f"{store.name}-backup-account",
        "automount_service_account_token": False,
        "enable_service_links": False,
        "security_context": restricted.pod_security(tool.user),
        "containers": containers[-1:],
        "volumes": [
            {"name": "backups", "persistent_volume_claim": {"claim_name": f"{store.name}-backups"}}
            if backup.bucket is None
            else {"name": "backups", "empty_dir": {"size_limit": f"{backup.gib}Gi"}},
            {"name": "tmp", "empty_dir": {"size_limit": "1Gi"}},
        ],
    }
    if containers[:-1]:
        spec["init_containers"] = containers[:-1]
    return spec
