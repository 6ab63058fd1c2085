"""The jobs that back a VectorStore up, and restore it."""

from collections.abc import Mapping

import pulumi_kubernetes as k8s

from slipway.kubernetes import restricted
from slipway.kubernetes.backups import script
from slipway.kubernetes.vector_store_args import BackupSettings, VectorSettings

IMAGE = "python:3.11.14-slim-bookworm"
"""The scripts need Python's own library and no more."""
BACKUPS = "/backups"
LONGEST_SECONDS = 6 * 3600
"""A backup that takes longer has failed."""


def command(settings: VectorSettings, what: str) -> list[str]:
    """What a job runs: `what` is 'backup' or 'restore'."""
    return ["python3", "-c", script(f"{settings.engine.value}.py"), what]


def job(
    settings: VectorSettings,
    backup: BackupSettings,
    what: str,
    *,
    url: str,
    labels: Mapping[str, str],
    account: str,
    claim: str,
    key: tuple[str, str] | None,
) -> k8s.batch.v1.CronJobSpecArgsDict:
    """A CronJob: `backup` runs by itself, `restore` only when somebody makes a Job of it.

    Args:
        settings: What was decided.
        backup: What was decided of its backups.
        what: 'backup' or 'restore'.
        url: Address of the store within its namespace.
        labels: All labels of the pods.
        account: Name of the ServiceAccount.
        claim: Name of the claim of the backups' volume.
        key: Name of the Secret with the API key, and the key within it.
    """
    env: list[k8s.core.v1.EnvVarArgsDict] = [
        {"name": "STORE_URL", "value": url},
        {"name": "BACKUPS", "value": BACKUPS},
        {"name": "KEEP", "value": str(backup.keep)},
    ]
    if key is not None:
        env.append({"name": "API_KEY", "value_from": {"secret_key_ref": {"name": key[0], "key": key[1]}}})
    pod: k8s.core.v1.PodSpecArgsDict = {
        "restart_policy": "Never",
        "service_account_name": account,
        "automount_service_account_token": False,
        "enable_service_links": False,
        "security_context": restricted.pod_security(),
        "containers": [
            {
                "name": what,
                "image": IMAGE,
                "command": command(settings, what),
                "env": env,
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
                "security_context": restricted.container_security(),
                "volume_mounts": [{"name": "backups", "mount_path": BACKUPS}],
            }
        ],
        "volumes": [{"name": "backups", "persistent_volume_claim": {"claim_name": claim}}],
    }
    return {
        "schedule": backup.schedule,
        "time_zone": backup.timezone,
        "suspend": what != "backup",
        # Two at a time would write to one folder, or to one store.
        "concurrency_policy": "Forbid",
        "starting_deadline_seconds": 3600,
        "successful_jobs_history_limit": 1,
        "failed_jobs_history_limit": 3,
        "job_template": {
            "spec": {
                "backoff_limit": 2 if what == "backup" else 0,
                "active_deadline_seconds": LONGEST_SECONDS,
                "template": {"metadata": {"labels": labels}, "spec": pod},
            }
        },
    }
