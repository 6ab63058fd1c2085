"""The pod of a RedisCache, and how its backups are made."""

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes.backup_jobs import BackupTool
from slipway.kubernetes.backups import script
from slipway.kubernetes.data_store import store_pod
from slipway.kubernetes.redis_cache_args import SUFFIX, RedisSettings

PORT = 6379
USER = 999
"""User of the official image."""
DATA = "/data"
GRACE_SECONDS = 60
"""For the last writes to reach the volume; Redis itself waits 10 s at most for replicas, and here are none."""

STARTUP_SECONDS = 600
"""How long Redis may read its file back, while it answers LOADING, before it counts as dead."""


def command(settings: RedisSettings) -> list[str]:
    """How Redis is started: with its whole configuration by standard input, so that the password, which it takes from the
    environment, is in no file and on no command line."""
    script = f"""exec redis-server - <<CONF
port {PORT}
dir {DATA}
maxmemory {settings.max_memory_mib}mb
maxmemory-policy {settings.eviction_policy.value}
appendonly {"yes" if settings.store.storage_gib else "no"}
appendfsync everysec
save ""
requirepass $REDISCLI_AUTH
CONF
"""
    return ["sh", "-c", script]


def pod(settings: RedisSettings, account: str, secret: str, key: str) -> k8s.core.v1.PodSpecArgsDict:
    """The pod's specification.

    Args:
        settings: What was decided.
        account: Name of the ServiceAccount.
        secret: Name of the Secret with the password.
        key: Key within it.
    """
    # redis-cli takes the password from the environment too. It exits with 0 whatever the answer is, so that is compared.
    ping = ["sh", "-c", f'[ "$(redis-cli -p {PORT} ping)" = PONG ]']
    probe: k8s.core.v1.ProbeArgsDict = {"exec_": {"command": ping}, "timeout_seconds": 5}
    container: k8s.core.v1.ContainerArgsDict = {
        "name": "redis",
        "image": settings.store.image,
        "command": command(settings),
        "env": [password_env(secret, key)],
        "ports": [{"name": "redis", "container_port": PORT, "protocol": "TCP"}],
        "startup_probe": {**probe, "period_seconds": 5, "failure_threshold": STARTUP_SECONDS // 5},
        "readiness_probe": {**probe, "period_seconds": 5, "failure_threshold": 3},
        "liveness_probe": {**probe, "period_seconds": 10, "failure_threshold": 6},
        "volume_mounts": [{"name": "data", "mount_path": DATA}],
    }
    spec = store_pod(settings.store, account, USER, GRACE_SECONDS, container)
    if not settings.store.storage_gib:
        spec["volumes"] = [{"name": "data", "empty_dir": {}}]
    return spec


def backup_tool(settings: RedisSettings, host: pulumi.Input[str], secret: str, key: str) -> BackupTool:
    """How backups are made: as a replica is given its data. A restore holds all keys once more."""
    env: list[k8s.core.v1.EnvVarArgsDict] = [
        {"name": "HOST", "value": host},
        {"name": "PORT", "value": str(PORT)},
        password_env(secret, key),
    ]
    memory = f"{settings.max_memory_mib + 64}Mi"
    return BackupTool(settings.store.image, USER, script("redis.sh"), SUFFIX, env, memory)


def password_env(secret: str, key: str) -> k8s.core.v1.EnvVarArgsDict:
    """The password as Redis' own tools look for it."""
    return {"name": "REDISCLI_AUTH", "value_from": {"secret_key_ref": {"name": secret, "key": key}}}
