"""The pods of a WorkerPool: what they run, know and may write to, and how they end."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import celery_worker, redis_broker, restricted, secret_env
from slipway.kubernetes.disruption import spread
from slipway.kubernetes.drain import MARGIN_SECONDS
from slipway.kubernetes.gpu_nodes import tolerations
from slipway.kubernetes.worker_pool_args import WorkerSettings

CONTAINER = "worker"
TMP = "/tmp"  # noqa: S108 -- a mount
START_SECONDS = 300
"""How long an application may take to load and to reach its Redis."""
PROBE_SECONDS = 30


def grace_seconds(settings: WorkerSettings) -> int:
    """Between SIGTERM and SIGKILL: a task that has just begun may end, and after it the worker."""
    noticed = celery_worker.LOST_SECONDS if "celery" in settings.args else 0
    return settings.longest_task_seconds + noticed + MARGIN_SECONDS


def pod(
    settings: WorkerSettings, labels: Mapping[str, str], account: str, code: pulumi.Input[str]
) -> k8s.core.v1.PodSpecArgsDict:
    """The pod's specification.

    Args:
        settings: What was decided.
        labels: What selects the replicas, to spread them.
        account: Name of the ServiceAccount.
        code: ConfigMap with Celery's launcher; of a worker of one's own it is not read.
    """
    given = settings.args
    volumes: list[k8s.core.v1.VolumeArgsDict] = [
        {"name": "tmp", "empty_dir": {"size_limit": f"{given.get('scratch_gib', 1)}Gi"}},
    ]
    if "celery" in given:
        volumes.append({"name": "code", "config_map": {"name": code}})
    spec: k8s.core.v1.PodSpecArgsDict = {
        "service_account_name": account,
        "automount_service_account_token": False,
        "enable_service_links": False,
        "security_context": restricted.pod_security(given.get("user", restricted.USER)),
        "termination_grace_period_seconds": grace_seconds(settings),
        "topology_spread_constraints": spread(labels),
        "containers": [_container(settings)],
        "volumes": volumes,
    }
    if tolerated := tolerations(0, given.get("tolerations", ())):
        spec["tolerations"] = tolerated
    if given.get("node_selector"):
        spec["node_selector"] = given.get("node_selector", {})
    if "priority_class" in given:
        spec["priority_class_name"] = given["priority_class"]
    if given.get("image_pull_secrets"):
        spec["image_pull_secrets"] = [{"name": secret} for secret in given.get("image_pull_secrets", ())]
    return spec


def _container(settings: WorkerSettings) -> k8s.core.v1.ContainerArgsDict:
    given = settings.args
    mounts: list[k8s.core.v1.VolumeMountArgsDict] = [{"name": "tmp", "mount_path": TMP}]
    made: k8s.core.v1.ContainerArgsDict = {
        "name": CONTAINER,
        "image": given["image"],
        "env": _env(settings),
        "resources": settings.resources,
        "security_context": restricted.container_security(),
        "volume_mounts": mounts,
    }
    if "celery" in given:
        mounts.append({"name": "code", "mount_path": celery_worker.FOLDER, "read_only": True})
        ready, alive = (_probe(celery_worker.probe(question)) for question in ("ready", "alive"))
        return {
            **made,
            "command": celery_worker.command(given["celery"], settings.queues, settings.longest_task_seconds),
            "startup_probe": {**ready, "period_seconds": 5, "failure_threshold": START_SECONDS // 5},
            "readiness_probe": ready,
            "liveness_probe": alive,
        }
    made["command"] = given.get("command", ())
    if "alive_command" in given:
        made["liveness_probe"] = _probe(given["alive_command"])
    return made


def _probe(command: Sequence[str]) -> k8s.core.v1.ProbeArgsDict:
    return {"exec_": {"command": command}, "period_seconds": PROBE_SECONDS, "timeout_seconds": 10, "failure_threshold": 3}


def _env(settings: WorkerSettings) -> list[k8s.core.v1.EnvVarArgsDict]:
    given = settings.args
    # Where nothing else can be written to, caches go to the home folder, and that is here.
    told: list[k8s.core.v1.EnvVarArgsDict] = [{"name": "HOME", "value": TMP}, *redis_broker.variables(given["broker"])]
    if "celery" in given:
        # Celery takes this before what the application configures.
        told.append({"name": "CELERY_BROKER_URL", "value": f"$({redis_broker.URL_ENV})"})
    for name, value in sorted(given.get("env", {}).items()):
        told.append({"name": name, "value": value})
    return [*told, *secret_env.variables(settings.secrets)]
