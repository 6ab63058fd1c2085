"""The pod of a RedisCache and its volume."""

import pulumi_kubernetes as k8s

from slipway.kubernetes import restricted
from slipway.kubernetes.redis_cache_args import RedisSettings

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
appendonly {"yes" if settings.storage_gib else "no"}
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
    spec: k8s.core.v1.PodSpecArgsDict = {
        "service_account_name": account,
        "automount_service_account_token": False,
        "enable_service_links": False,
        "termination_grace_period_seconds": GRACE_SECONDS,
        "security_context": restricted.pod_security(USER),
        "containers": [
            {
                "name": "redis",
                "image": settings.image,
                "command": command(settings),
                "env": [{"name": "REDISCLI_AUTH", "value_from": {"secret_key_ref": {"name": secret, "key": key}}}],
                "ports": [{"name": "redis", "container_port": PORT, "protocol": "TCP"}],
                "resources": settings.resources,
                "startup_probe": {**probe, "period_seconds": 5, "failure_threshold": STARTUP_SECONDS // 5},
                "readiness_probe": {**probe, "period_seconds": 5, "failure_threshold": 3},
                "liveness_probe": {**probe, "period_seconds": 10, "failure_threshold": 6},
                "security_context": restricted.container_security(),
                "volume_mounts": [{"name": "data", "mount_path": DATA}],
            }
        ],
    }
    if settings.node_selector:
        spec["node_selector"] = settings.node_selector
    if not settings.storage_gib:
        spec["volumes"] = [{"name": "data", "empty_dir": {}}]
    return spec


def claim(settings: RedisSettings) -> k8s.core.v1.PersistentVolumeClaimArgsDict:
    """The volume for the append-only file."""
    spec: k8s.core.v1.PersistentVolumeClaimSpecArgsDict = {
        "access_modes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{settings.storage_gib}Gi"}},
    }
    if settings.storage_class is not None:
        spec["storage_class_name"] = settings.storage_class
    return {"metadata": {"name": "data"}, "spec": spec}
