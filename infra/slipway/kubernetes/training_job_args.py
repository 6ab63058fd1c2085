"""What can be said about a TrainingJob."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NotRequired, TypedDict

import pulumi

from slipway.accelerators import GpuNodeLabels
from slipway.backend import Egress, SecretKeyRef
from slipway.kubernetes.deletion import DeletionPolicy
from slipway.kubernetes.gpu_nodes import GpuToleration
from slipway.kubernetes.identity import WorkloadIdentity
from slipway.kubernetes.quantity import ComputeResources


class TrainingRestartPolicy(StrEnum):
    """What happens when training fails."""

    ON_FAILURE = "OnFailure"
    """It starts again in its pod, on the same node."""
    NEVER = "Never"
    """It starts again in a new pod; the failed one stays with its log. A pod that its node lost is not counted as a failure."""


class TrainingCheckpoints(TypedDict):
    """A volume that outlives pods and runs. Give `gib` for a new one, or `claim`."""

    gib: NotRequired[int]
    """Size of a new volume, in GiB."""
    claim: NotRequired[pulumi.Input[str]]
    """A PersistentVolumeClaim that exists in the namespace, in place of a new one."""
    storage_class: NotRequired[pulumi.Input[str]]
    """Storage class of a new volume. Default: the cluster's. Required with several nodes, which all write to it at once: one with
    ReadWriteMany."""
    mount_path: NotRequired[str]
    """Where it is in the container, which also has it as CHECKPOINT_DIR. Default `/checkpoints`."""
    deletion_policy: NotRequired[DeletionPolicy]
    """What becomes of a new volume when the job is deleted: 'delete', 'retain' or 'protect'. Default 'retain'."""


class TrainingJobArgs(TypedDict):
    """What a TrainingJob is made of. What is no Input must be plain: the plan is checked with it."""

    namespace: pulumi.Input[str]
    """Namespace to run in. It must exist."""
    image: pulumi.Input[str]
    """Image with the training program, with a version as tag, or a digest."""
    command: Sequence[str]
    """Program and arguments, such as `["torchrun", "train.py", "--epochs", "100"]`. torchrun finds nodes, rank and processes in
    its variables, PET_NNODES and so on."""
    accelerator: NotRequired[str]
    """GPUs of each node, such as `a100-80gb:4`; see `slipway.accelerators`. Default: none, it trains on CPUs."""
    node_labels: NotRequired[GpuNodeLabels]
    """By which label GPU nodes are chosen: 'gpu-feature-discovery', 'gke', 'karpenter', 'eks-auto' or 'aks'.
    Default: the first. Goes with `accelerator`."""
    nodes: NotRequired[int]
    """Pods that train together, each with its own GPUs: an indexed Job. Default 1, at most 1000."""
    resources: NotRequired[ComputeResources]
    """CPU and memory of each pod. Default: 4 cores and 16 GiB for each GPU (or for a pod without any), and `shm_gib`."""
    shm_gib: NotRequired[int]
    """Size of /dev/shm in GiB, for data loaders and NCCL; it counts as the pod's memory. Default: 2 with one GPU or none, 16 with
    more."""
    scratch_gib: NotRequired[int]
    """Size of /tmp in GiB, the one other place that can be written to, and HOME; it is gone with the pod. Default 20."""
    checkpoints: NotRequired[TrainingCheckpoints]
    """Where training writes what it must find again. Default: no volume, and a failure starts from the beginning."""
    env: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Environment variables. Not for secrets: they stand in the cluster in clear. Default: none."""
    env_from_secrets: NotRequired[Mapping[str, SecretKeyRef]]
    """Environment variables from Secrets in the same namespace, such as HF_TOKEN, by name. Default: none."""
    run: NotRequired[str]
    """A word for this run. A change starts another of the same. Default: none."""
    deadline_seconds: NotRequired[int]
    """When it is stopped whatever it does, in seconds from its start, time in the queue included. Can be changed while it runs.
    Default 86,400: a day."""
    backoff_limit: NotRequired[int]
    """How often it may fail before it counts as failed. Can be changed while it runs. Default 3."""
    restart_policy: NotRequired[TrainingRestartPolicy]
    """Where it starts again after a failure: 'OnFailure', in its pod, or 'Never', in a new one. Default 'OnFailure'."""
    fatal_exit_codes: NotRequired[Sequence[int]]
    """Exit codes after which it has failed for good, whatever `backoff_limit` says, such as that of wrong arguments; 1 to 255.
    Goes with the restart policy 'Never'. Default: none."""
    queue: NotRequired[str]
    """Kueue's LocalQueue, in the namespace: Kueue starts the Job when its queue has room for all of it. A change starts another
    run. Default: it starts at once, or as its pods find room."""
    ttl_seconds: NotRequired[int]
    """How long the finished Job stays in the cluster, with its logs, in seconds. Once it is gone, `pulumi up --refresh` and
    `kubectl apply` run it again. Default: it stays until it is deleted here."""
    grace_seconds: NotRequired[int]
    """Between SIGTERM and SIGKILL, for a last checkpoint, in seconds. Default 120."""
    wait: NotRequired[bool]
    """Whether `up` waits until training has succeeded, and fails with it. Default false."""
    egress: NotRequired[Sequence[Egress]]
    """Where the pods may connect, such as a model hub or a bucket. Default: nowhere, but to each other."""
    identity: NotRequired[WorkloadIdentity]
    """Who the pods are to their cloud, for data in a bucket. Default: nobody."""
    user: NotRequired[int]
    """User and group that it runs as. Default 10001. Not 0."""
    node_selector: NotRequired[Mapping[str, str]]
    """More labels that a node must have."""
    tolerations: NotRequired[Sequence[GpuToleration]]
    """More taints to tolerate, beside `nvidia.com/gpu`."""
    priority_class: NotRequired[pulumi.Input[str]]
    """PriorityClass of the pods. Default: the cluster's."""
