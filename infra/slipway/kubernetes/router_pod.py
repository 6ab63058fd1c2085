"""The pod that runs the router: one container that needs no shell, no root and nothing writable but /tmp."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from slipway.backend import SecretKeyRef
from slipway.kubernetes.disruption import spread
from slipway.kubernetes.drain import Drain
from slipway.kubernetes.quantity import ComputeResources
from slipway.kubernetes.restricted import container_security, pod_security
from slipway.kubernetes.secret_env import variables
from slipway_router.admin.settings import ADMIN_PORT

CONTAINER = "router"
PORT = 8000
CONFIG_FOLDER = "/etc/slipway"
CONFIG_FILE = "router.json"
_ADMIN: k8s.core.v1.ContainerPortArgsDict = {"name": "admin", "container_port": ADMIN_PORT, "protocol": "TCP"}
RESOURCES: ComputeResources = {
    "requests": {"cpu": "500m", "memory": "1Gi"},
    "limits": {"cpu": "2", "memory": "4Gi"},
}


def annotations() -> dict[str, str]:
    """What tells Prometheus, by the custom of its charts, to read the pod's metrics."""
    return {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT), "prometheus.io/path": "/metrics"}


def pod(
    *,
    image: pulumi.Input[str],
    account: pulumi.Input[str],
    config: pulumi.Input[str],
    labels: Mapping[str, str],
    secrets: Mapping[str, SecretKeyRef],
    resources: k8s.core.v1.ResourceRequirementsArgsDict,
    drain: Drain,
    admin: bool = False,
    priority_class: pulumi.Input[str] | None = None,
    node_selector: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
    image_pull_secrets: Sequence[pulumi.Input[str]] = (),
) -> k8s.core.v1.PodSpecArgsDict:
    """The pod's spec.

    Args:
        image: The router's image; its entry point takes the router's command line.
        account: ServiceAccount.
        config: ConfigMap that holds the configuration as `CONFIG_FILE`.
        labels: What selects the replicas, to spread them.
        secrets: Environment variables and where their values are.
        resources: Requests and limits.
        drain: The numbers for the end.
        admin: Whether the admin API is reached from outside the pod.
        priority_class: PriorityClass, if any.
        node_selector: Labels of the nodes to run on, if any.
        image_pull_secrets: Secrets for the image's registry.
    """
    container: k8s.core.v1.ContainerArgsDict = {
        "name": CONTAINER,
        "image": image,
        "args": ["--config", f"{CONFIG_FOLDER}/{CONFIG_FILE}"],
        "ports": [
            {"name": "http", "container_port": PORT, "protocol": "TCP"},
            *([_ADMIN] if admin else ()),
        ],
        "env": variables(secrets),
        "resources": resources,
        # A start may take a minute; from then on, being ready is asked of the backends, being alive of the process alone.
        "startup_probe": _probe("/health", period=1, failures=60, timeout=2),
        "readiness_probe": _probe("/ready", period=5, failures=2, timeout=3),
        "liveness_probe": _probe("/health", period=10, failures=3, timeout=5),
        "lifecycle": drain.lifecycle(),
        "security_context": container_security(),
        "volume_mounts": [
            {"name": "config", "mount_path": CONFIG_FOLDER, "read_only": True},
            {"name": "tmp", "mount_path": "/tmp"},  # noqa: S108 -- a volume of the pod's own
        ],
    }
    spec: k8s.core.v1.PodSpecArgsDict = {
        "service_account_name": account,
        "automount_service_account_token": False,
        # Service links would put variables such as OPENAI_PORT beside our own, whatever else runs in the namespace.
        "enable_service_links": False,
        "security_context": pod_security(),
        "termination_grace_period_seconds": drain.grace_seconds,
        "topology_spread_constraints": spread(labels),
        "containers": [container],
        "volumes": [
            {"name": "config", "config_map": {"name": config}},
            {"name": "tmp", "empty_dir": {"size_limit": "64Mi"}},
        ],
    }
    if priority_class is not None:
        spec["priority_class_name"] = priority_class
    if node_selector is not None:
        spec["node_selector"] = node_selector
    if image_pull_secrets:
        spec["image_pull_secrets"] = [{"name": secret} for secret in image_pull_secrets]
    return spec


def _probe(path: str, *, period: int, failures: int, timeout: int) -> k8s.core.v1.ProbeArgsDict:
    return {
        "http_get": {"path": path, "port": "http"},
        "period_seconds": period,
        "failure_threshold": failures,
        "timeout_seconds": timeout,
    }
