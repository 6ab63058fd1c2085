"""The pod of a VectorStore, and how its backups are made."""

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import restricted
from slipway.kubernetes.backup_jobs import BackupTool
from slipway.kubernetes.backups import python_functions
from slipway.kubernetes.data_store import store_pod
from slipway.kubernetes.vector_engine import DATA
from slipway.kubernetes.vector_store_args import SUFFIX, VectorSettings

USER = 1000
GRACE_SECONDS = 60
"""For writes to reach the volume."""
STARTUP_SECONDS = 1800
"""How long a store may read its vectors back before it counts as dead."""
BACKUP_IMAGE = "python:3.11.14-slim-bookworm"
"""The programs that make and restore backups need Python's own library and no more."""


def pod(settings: VectorSettings, account: str, key: tuple[str, str] | None) -> k8s.core.v1.PodSpecArgsDict:
    """The pod's specification.

    Args:
        settings: What was decided.
        account: Name of the ServiceAccount.
        key: Name of the Secret with the API key, and the key within it; `None`: there is none.
    """
    facts = settings.facts
    env: list[k8s.core.v1.EnvVarArgsDict] = [{"name": name, "value": value} for name, value in facts.env.items()]
    if key is not None:
        env.append(_key_env(facts.key_env, key))
    ready: k8s.core.v1.ProbeArgsDict = {"http_get": {"path": facts.ready, "port": "http"}, "timeout_seconds": 5}
    live: k8s.core.v1.ProbeArgsDict = {"http_get": {"path": facts.live, "port": "http"}, "timeout_seconds": 10}
    container: k8s.core.v1.ContainerArgsDict = {
        "name": settings.engine.value,
        "image": settings.store.image,
        "command": facts.command,
        "working_dir": facts.working_dir,
        "env": env,
        "ports": [{"name": n, "container_port": port, "protocol": "TCP"} for n, port in facts.ports.items()],
        "startup_probe": {**ready, "period_seconds": 5, "failure_threshold": STARTUP_SECONDS // 5},
        "readiness_probe": {**ready, "period_seconds": 5, "failure_threshold": 3},
        "liveness_probe": {**live, "period_seconds": 10, "failure_threshold": 6},
        "volume_mounts": [
            {"name": "data", "mount_path": DATA},
            {"name": "tmp", "mount_path": "/tmp"},  # noqa: S108 -- a mount
        ],
    }
    spec = store_pod(settings.store, account, USER, GRACE_SECONDS, container)
    spec["volumes"] = [{"name": "tmp", "empty_dir": {"size_limit": "1Gi"}}]
    return spec


def backup_tool(settings: VectorSettings, url: pulumi.Input[str], key: tuple[str, str] | None) -> BackupTool:
    """How backups are made: of Qdrant's own snapshots, or of Chroma's records."""
    env: list[k8s.core.v1.EnvVarArgsDict] = [{"name": "STORE_URL", "value": url}]
    if key is not None:
        env.append(_key_env("API_KEY", key))
    return BackupTool(BACKUP_IMAGE, restricted.USER, python_functions(f"{settings.engine.value}.py"), SUFFIX, env, "1Gi")


def _key_env(variable: str, key: tuple[str, str]) -> k8s.core.v1.EnvVarArgsDict:
    return {"name": variable, "value_from": {"secret_key_ref": {"name": key[0], "key": key[1]}}}
