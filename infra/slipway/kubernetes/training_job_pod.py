"""The pods of a TrainingJob: what they run, find and may write to."""

from collections.abc import Mapping
from typing import cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import restricted, secret_env
from slipway.kubernetes.gpu_nodes import tolerations
from slipway.kubernetes.training_job_args import TrainingRestartPolicy
from slipway.kubernetes.training_job_settings import TrainingSettings

MASTER_PORT = 29500
"""Where the first pod waits for the others: PyTorch's default."""
TMP = "/tmp"  # noqa: S108 -- a mount
CHECKPOINTS = "/checkpoints"
CONTAINER = "trainer"
RUN = "slipway/run"
"""Annotation of the pods with the argument `run`."""
# Kubernetes sets these on the pods of a Job ("Well-Known Labels, Annotations and Taints").
_JOB_NAME = "batch.kubernetes.io/job-name"
_INDEX = "batch.kubernetes.io/job-completion-index"


def template(
    settings: TrainingSettings, labels: Mapping[str, str], account: str, service: str, claim: pulumi.Input[str] | None
) -> k8s.core.v1.PodTemplateSpecArgsDict:
    """What the Job makes its pods of.

    Args:
        settings: What was decided.
        labels: All labels of the pods.
        account: Name of the ServiceAccount.
        service: Name of the headless Service by which several pods find each other.
        claim: Name of the checkpoints' claim; `None`: there is none.
    """
    metadata: k8s.meta.v1.ObjectMetaArgsDict = {"labels": labels}
    if "run" in settings.args:
        metadata["annotations"] = {RUN: settings.args["run"]}
    return {"metadata": metadata, "spec": _pod(settings, account, service, claim)}


def _pod(settings: TrainingSettings, account: str, service: str, claim: pulumi.Input[str] | None) -> k8s.core.v1.PodSpecArgsDict:
    given = settings.args
    spec: k8s.core.v1.PodSpecArgsDict = {
        "restart_policy": given.get("restart_policy", TrainingRestartPolicy.ON_FAILURE).value,
        "service_account_name": account,
        "automount_service_account_token": False,
        "enable_service_links": False,
        "termination_grace_period_seconds": settings.grace_seconds,
        "security_context": restricted.pod_security(given.get("user", restricted.USER)),
        "containers": [_trainer(settings, service, claim)],
        "volumes": [
            {"name": "shm", "empty_dir": {"medium": "Memory", "size_limit": f"{settings.shm_gib}Gi"}},
            {"name": "tmp", "empty_dir": {"size_limit": f"{given.get('scratch_gib', 20)}Gi"}},
            *_checkpoints_volume(claim),
        ],
    }
    tolerated = tolerations(settings.gpus, settings.args.get("tolerations", ()))
    if settings.node_selector:
        spec["node_selector"] = settings.node_selector
    if tolerated:
        spec["tolerations"] = tolerated
    if "priority_class" in given:
        spec["priority_class_name"] = given["priority_class"]
    if settings.nodes > 1:
        spec["subdomain"] = service
    return spec


def _trainer(settings: TrainingSettings, service: str, claim: pulumi.Input[str] | None) -> k8s.core.v1.ContainerArgsDict:
    given, host = settings.args, settings.resources
    requests = cast("Mapping[str, pulumi.Input[str]]", host.get("requests", {}))
    limits = cast("Mapping[str, pulumi.Input[str]]", host.get("limits", {}))
    mounts: list[k8s.core.v1.VolumeMountArgsDict] = [
        {"name": "shm", "mount_path": "/dev/shm"},  # noqa: S108 -- a mount
        {"name": "tmp", "mount_path": TMP},
    ]
    if claim is not None:
        mounts.append({"name": "checkpoints", "mount_path": _checkpoint_path(settings)})
    return {
        "name": CONTAINER,
        "image": given["image"],
        "command": given["command"],
        "env": _env(settings, service, claim),
        "resources": {"requests": {**requests, **settings.gpu_resource}, "limits": {**limits, **settings.gpu_resource}},
        "security_context": restricted.container_security(),
        "volume_mounts": mounts,
    }


def _env(settings: TrainingSettings, service: str, claim: pulumi.Input[str] | None) -> list[k8s.core.v1.EnvVarArgsDict]:
    # Where nothing else can be written to, caches go to the home folder, and that is here.
    told: list[k8s.core.v1.EnvVarArgsDict] = [{"name": "HOME", "value": TMP}]
    if claim is not None:
        told.append({"name": "CHECKPOINT_DIR", "value": _checkpoint_path(settings)})
    told.append({"name": "PET_NNODES", "value": str(settings.nodes)})
    if settings.gpus:
        told.append({"name": "PET_NPROC_PER_NODE", "value": str(settings.gpus)})
    if settings.nodes > 1:
        # The Job's name has the digits of its content, this text included, so the pod must read it from its own labels.
        first = f"$(JOB_NAME)-0.{service}"
        several: list[k8s.core.v1.EnvVarArgsDict] = [
            {"name": "JOB_NAME", "value_from": {"field_ref": {"field_path": f"metadata.labels['{_JOB_NAME}']"}}},
            {"name": "PET_NODE_RANK", "value_from": {"field_ref": {"field_path": f"metadata.annotations['{_INDEX}']"}}},
            {"name": "MASTER_ADDR", "value": first},
            {"name": "MASTER_PORT", "value": str(MASTER_PORT)},
            {"name": "PET_MASTER_ADDR", "value": first},
            {"name": "PET_MASTER_PORT", "value": str(MASTER_PORT)},
        ]
        told += several
    for name, value in sorted(settings.args.get("env", {}).items()):
        told.append({"name": name, "value": value})
    return [*told, *secret_env.variables(settings.secrets)]


def _checkpoint_path(settings: TrainingSettings) -> str:
    checkpoints = settings.checkpoints or {}
    return checkpoints.get("mount_path", CHECKPOINTS)


def _checkpoints_volume(claim: pulumi.Input[str] | None) -> list[k8s.core.v1.VolumeArgsDict]:
    return [] if claim is None else [{"name": "checkpoints", "persistent_volume_claim": {"claim_name": claim}}]
