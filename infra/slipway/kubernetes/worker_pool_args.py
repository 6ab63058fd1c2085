"""What can be said about a WorkerPool, and what it becomes once checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, check_shape, known
from slipway.backend import Egress, SecretKeyRef
from slipway.kubernetes import secret_env
from slipway.kubernetes.celery_worker import QUEUE, CeleryWorker, check_celery
from slipway.kubernetes.gpu_nodes import GpuToleration, check_tolerations
from slipway.kubernetes.identity import WorkloadIdentity, check_identity, identity_egress
from slipway.kubernetes.names import check_image, check_labels, check_name, check_namespace, check_object_name
from slipway.kubernetes.network import check_egress
from slipway.kubernetes.quantity import ComputeResources, fill
from slipway.kubernetes.redis_broker import PASSWORD_ENV, URL_ENV, RedisBroker, check_broker, ways_out
from slipway.kubernetes.worker_scaling import Workers, WorkerScaling

NAME_LENGTH = 52
"""Labels and names of Kubernetes have 63 characters at most, and a ReplicaSet's and a ScaledObject's are longer than ours."""
LONGEST_TASK_SECONDS = 300
MOST_SECONDS = 86_400
RESOURCES: ComputeResources = {
    "requests": {"cpu": "500m", "memory": "1Gi"},
    "limits": {"cpu": "2", "memory": "4Gi"},
}
OWN_ENV = frozenset({"HOME", URL_ENV, PASSWORD_ENV, "CELERY_BROKER_URL"})
"""Variables that the component sets."""
_QUEUE = re.compile(r"[A-Za-z0-9_.:-]{1,255}")


class WorkerPoolArgs(TypedDict):
    """What a WorkerPool is made of. Numbers, and all that decides how many objects there are, must be plain."""

    namespace: pulumi.Input[str]
    """Namespace to run in. It must exist."""
    image: pulumi.Input[str]
    """Image with the application: with a version as tag, or a digest."""
    broker: RedisBroker
    """The Redis that hands out tasks: `broker()` of a RedisCache, or another one's address."""
    celery: NotRequired[CeleryWorker]
    """A Celery worker. Give this or `command`."""
    command: NotRequired[Sequence[str]]
    """A worker of one's own: the program and its arguments. It takes entries off the lists `queues` of the Redis at `REDIS_URL`,
    and on SIGTERM takes no more and ends once it has done what it holds. Give this or `celery`."""
    alive_command: NotRequired[Sequence[str]]
    """With `command`: exits with 0 while the worker is alive. Asked every 30 s; after 3 failures the pod is restarted. Default:
    whoever has not ended is alive."""
    queues: NotRequired[Sequence[str]]
    """Queues that it works off, each a list in Redis of that name. Default `["celery"]` with `celery`, where a task of Celery's
    goes that names none; required with `command`."""
    longest_task_seconds: NotRequired[int]
    """How long a task may take, in seconds, at most a day. A pod that is to go has as long, and 15 s more, with
    `celery` 25 s. Celery raises SoftTimeLimitExceeded in a task that takes longer, and 10 s later ends it. Default 300."""
    replicas: NotRequired[int]
    """A fixed number; 0 stops the pool. Excludes `scaling`. Default: see `scaling`."""
    scaling: NotRequired[WorkerScaling]
    """Scale with what waits. Excludes `replicas`. Default, where neither is given: 1 to 10 replicas, by KEDA."""
    resources: NotRequired[ComputeResources]
    """CPU and memory of one replica. Default: requests of 500m and 1Gi, limits of 2 and 4Gi."""
    scratch_gib: NotRequired[int]
    """Most that a replica may write to /tmp, in GiB. Default 1."""
    env: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Environment variables. Not for secrets: they stand in the cluster in clear. A value may use `$(REDIS_URL)`, as
    CELERY_RESULT_BACKEND may. Default: none but `REDIS_URL`, with `celery` also `CELERY_BROKER_URL`."""
    env_from_secrets: NotRequired[Mapping[str, SecretKeyRef]]
    """Environment variables from Secrets in the same namespace, such as OPENAI_API_KEY, by name. Default: none."""
    egress: NotRequired[Sequence[Egress]]
    """Where the pods may connect beside the broker, such as a router or a vendor's API. Default: nowhere."""
    identity: NotRequired[WorkloadIdentity]
    """Who the pods are to their cloud. Default: nobody."""
    user: NotRequired[int]
    """User and group that it runs as. Default 10001. Not 0."""
    node_selector: NotRequired[Mapping[str, str]]
    """Labels that a node must have. Default: any node."""
    tolerations: NotRequired[Sequence[GpuToleration]]
    """Taints to tolerate. Default: none."""
    priority_class: NotRequired[pulumi.Input[str]]
    """PriorityClass of the pods. Default: the cluster's."""
    image_pull_secrets: NotRequired[Sequence[pulumi.Input[str]]]
    """Names of the Secrets for the image's registry, in the same namespace. Default: none."""


@dataclass(frozen=True)
class WorkerSettings:
    """A WorkerPool's arguments, checked, with every default filled in."""

    args: WorkerPoolArgs
    queues: Sequence[str]
    longest_task_seconds: int
    workers: Workers
    resources: k8s.core.v1.ResourceRequirementsArgsDict
    secrets: Mapping[str, SecretKeyRef]
    egress: Sequence[Egress]

    @classmethod
    def of(cls, name: str, args: WorkerPoolArgs) -> "WorkerSettings":
        """Check and decide.

        Raises:
            pulumi.InputPropertiesError: with every fault there is.
        """
        faults = Faults("WorkerPool")
        given = check_shape(args, WorkerPoolArgs, faults)
        # What has a wrong shape was told; the checks below get only what they can read.
        fit = {key: value for key, value in given.items() if not faults.at(key)}
        _check_texts(name, fit, faults)
        _check_numbers(fit, faults)
        longest = fit.get("longest_task_seconds", LONGEST_TASK_SECONDS)
        _check_program(given, fit, longest, faults)
        if "broker" in fit:
            check_broker("broker", fit["broker"], faults)
        if "replicas" in given and "scaling" in given:
            faults.add("replicas", "cannot go with 'scaling', which sets the number itself; give one of the two")
        workers = Workers.of(fit.get("replicas"), fit.get("scaling", {}), faults)
        for i, way in enumerate(fit.get("egress", ())):
            check_egress(f"egress[{i}]", way, faults)
        if "identity" in fit:
            check_identity("identity", fit["identity"], faults)
        check_tolerations(fit, faults)
        check_labels("node_selector", fit.get("node_selector"), faults)
        settings = cls(
            args=cast("WorkerPoolArgs", given),
            queues=fit.get("queues", [QUEUE]),
            longest_task_seconds=longest,
            workers=workers,
            resources=fill("resources", fit.get("resources", {}), RESOURCES, faults),
            secrets=secret_env.own(given, OWN_ENV, faults),
            egress=[
                *(ways_out(fit["broker"]) if "broker" in fit else ()),
                *fit.get("egress", ()),
                *identity_egress(fit.get("identity")),
            ],
        )
        faults.refuse(name)
        return settings


def _check_texts(name: str, fit: Mapping[str, Any], faults: Faults) -> None:
    if len(name) > NAME_LENGTH:
        faults.add("name", f"is {name!r} ({len(name)} characters); give at most {NAME_LENGTH}, since the pods' names are longer")
    else:
        check_name(name, faults)
    for key, check in (("namespace", check_namespace), ("image", check_image), ("priority_class", check_object_name)):
        known(fit.get(key), lambda plain, key=key, check=check: check(key, plain, faults))
    for i, secret in enumerate(fit.get("image_pull_secrets", ())):
        known(secret, lambda plain, i=i: check_object_name(f"image_pull_secrets[{i}]", plain, faults))


def _check_numbers(fit: Mapping[str, Any], faults: Faults) -> None:
    for key in ("longest_task_seconds", "scratch_gib", "user"):
        value = fit.get(key, 1)
        if value < 1:
            reason = ", since pods under the restricted level do not run as root" if key == "user" else ""
            faults.add(key, f"is {value}; give 1 or more{reason}")
    longest = fit.get("longest_task_seconds", 1)
    if longest > MOST_SECONDS:
        faults.add("longest_task_seconds", f"is {longest}; give at most {MOST_SECONDS}, a day, or run it as a Job")


def _check_program(given: Mapping[str, Any], fit: Mapping[str, Any], longest: int, faults: Faults) -> None:
    if "celery" in given and "command" in given:
        faults.add("command", "excludes 'celery', which has a command of its own; give one of the two")
    elif not ("celery" in given or "command" in given):
        faults.add("celery", "is required, or 'command' is; give the worker that it is to run")
    for key in ("command", "alive_command", "queues"):
        if fit.get(key) == []:
            faults.add(key, "is empty; give a word or more, or leave it out")
    if "command" in given and "queues" not in given:
        faults.add("queues", "is required with 'command': give the lists that it takes tasks from, for the scaler to count")
    if "alive_command" in given and "celery" in given:
        faults.add("alive_command", "goes with 'command': a Celery worker has probes of its own; leave it out")
    queues = fit.get("queues", ())
    for i, queue in enumerate(queues):
        if not _QUEUE.fullmatch(queue):
            faults.add(f"queues[{i}]", f"is {queue!r}; give letters, digits, '_', '.', ':' and '-', at most 255")
        elif queue in queues[:i]:
            faults.add(f"queues[{i}]", f"is {queue!r}, which is there already; give it once")
    if "celery" in fit:
        check_celery("celery", fit["celery"], longest, faults)
