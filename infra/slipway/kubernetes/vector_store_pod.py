"""The pod of a VectorStore."""

import pulumi_kubernetes as k8s

from slipway.kubernetes import restricted
from slipway.kubernetes.vector_engine import DATA
from slipway.kubernetes.vector_store_args import VectorSettings

USER = 1000
GRACE_SECONDS = 60
"""For writes to reach the volume."""
STARTUP_SECONDS = 1800
"""How long a store may read its vectors back before it counts as dead."""


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
        env.append({"name": facts.key_env, "value_from": {"secret_key_ref": {"name": key[0], "key": key[1]}}})
    ready: k8s.core.v1.ProbeArgsDict = {"http_get": {"path": facts.ready, "port": "http"}, "timeout_seconds": 5}
    live: k8s.core.v1.ProbeArgsDict = {"http_get": {"path": facts.live, "port": "http"}, "timeout_seconds": 10}
    spec: k8s.core.v1.PodSpecArgsDict = {
        "service_account_name": account,
        "automount_service_account_token": False,
        # A Service called 'qdrant' would set QDRANT_PORT in every pod of the namespace.
        "enable_service_links": False,
        "termination_grace_period_seconds": GRACE_SECONDS,
        "security_context": restricted.pod_security(USER),
        "containers": [
            {
                "name": settings.engine.value,
                "image": settings.image,
                "command": facts.command,
                "working_dir": facts.working_dir,
                "env": env,
                "ports": [{"name": n, "container_port": port, "protocol": "TCP"} for n, port in facts.ports.items()],
                "resources": settings.resources,
                "startup_probe": {**ready, "period_seconds": 5, "failure_threshold": STARTUP_SECONDS // 5},
                "readiness_probe": {**ready, "period_seconds": 5, "failure_threshold": 3},
                "liveness_probe": {**live, "period_seconds": 10, "failure_threshold": 6},
                "security_context": restricted.container_security(),
                "volume_mounts": [
                    {"name": "data", "mount_path": DATA},
                    {"name": "tmp", "mount_path": "/tmp"},  # noqa: S108 -- a mount
                ],
            }
        ],
        "volumes": [{"name": "tmp", "empty_dir": {"size_limit": "1Gi"}}],
    }
    if settings.node_selector:
        spec["node_selector"] = settings.node_selector
    return spec
