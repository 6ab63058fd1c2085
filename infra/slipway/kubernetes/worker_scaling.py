"""How many workers: a fixed number, or as many as what waits in the queues asks for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi_kubernetes as k8s

from slipway.args import Faults
from slipway.kubernetes import redis_broker, schedule
from slipway.kubernetes.autoscaling import ScalingBy, behavior
from slipway.kubernetes.camel import camel
from slipway.kubernetes.keda import FAILURES, NAMESPACE, POLLING_SECONDS
from slipway.kubernetes.names import check_labels, check_namespace
from slipway.kubernetes.redis_broker import RedisBroker
from slipway.kubernetes.schedule import ScheduleWindow, check_window

WAKING_SECONDS = 5
"""Between two looks at a queue for which nobody may be there."""
_METRIC = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*")


class ExternalMetric(TypedDict):
    """A metric of the external metrics API, which an adapter in the cluster serves (Kubernetes, "Horizontal Pod Autoscaling")."""

    name: str
    """Its name, such as `redis_key_size`."""
    labels: NotRequired[Mapping[str, str]]
    """Labels that it must have, such as `{"key": "celery"}`. Default: none."""


class WorkerScaling(TypedDict):
    """Between how many replicas a pool scales, on what waits."""

    min: NotRequired[int]
    """Fewest replicas. Default 1. 0 by 'keda' only: the first task that waits starts one."""
    max: NotRequired[int]
    """Most replicas. Default 10, or `min` where that is more."""
    tasks_per_replica: NotRequired[int]
    """Waiting tasks that one replica is for: of 100 tasks in a queue and 10 here come 10 replicas. Default 10."""
    by: NotRequired[ScalingBy]
    """'keda', which reads the length of the queues' lists in Redis itself and must be in the cluster; or 'hpa', for which an
    adapter must serve `metric`. Default 'keda'."""
    metric: NotRequired[ExternalMetric]
    """The number of waiting tasks, for 'hpa', which requires it; 'keda' needs none."""
    keda_namespace: NotRequired[str]
    """Where KEDA is: its operator is let through to the Redis of `broker`, where that is a RedisCache. With 'keda' only.
    Default 'keda'."""
    idle_seconds: NotRequired[int]
    """With `min` 0: how long nothing may wait until the last replica goes. What it holds then it still finishes. Default 300."""
    schedule: NotRequired[Sequence[ScheduleWindow]]
    """Times with more replicas than `min`, whatever waits; by 'keda' only. Default: none."""


@dataclass(frozen=True)
class Workers:
    """How many workers, checked, with every default filled in: `fixed`, or else the range."""

    fixed: int | None
    minimum: int
    maximum: int
    tasks_per_replica: int
    by: ScalingBy
    metric: ExternalMetric | None
    keda_namespace: str
    idle_seconds: int
    schedule: Sequence[ScheduleWindow]

    @classmethod
    def of(cls, replicas: object, scaling: Mapping[str, Any], faults: Faults) -> "Workers":
        """Tells of its faults under the paths `replicas` and `scaling`. What has a wrong shape was told, and is left out here."""
        if isinstance(replicas, int) and replicas < 0:
            faults.add("replicas", f"is {replicas}; give 0 or more")
        wanted = cls(
            fixed=replicas if isinstance(replicas, int) else None,
            minimum=scaling.get("min", 1),
            maximum=scaling.get("max", max(10, scaling.get("min", 1))),
            tasks_per_replica=scaling.get("tasks_per_replica", 10),
            by=scaling.get("by", ScalingBy.KEDA),
            metric=scaling.get("metric"),
            keda_namespace=scaling.get("keda_namespace", NAMESPACE),
            idle_seconds=scaling.get("idle_seconds", 300),
            schedule=cast("Sequence[ScheduleWindow]", scaling.get("schedule", ())),
        )
        wanted._check_range(scaling, faults)
        wanted._check_owner(scaling, faults)
        for i, window in enumerate(wanted.schedule):
            path = f"scaling.schedule[{i}]"
            check_window(path, window, faults)
            if not wanted.minimum < window["replicas"] <= wanted.maximum:
                faults.add(
                    f"{path}.replicas",
                    f"is {window['replicas']}; give more than scaling.min = {wanted.minimum},"
                    f" up to scaling.max = {wanted.maximum}",
                )
        return wanted

    def _check_range(self, given: Mapping[str, Any], faults: Faults) -> None:
        for key, value, least in (
            ("min", self.minimum, 0),
            ("max", self.maximum, 1),
            ("tasks_per_replica", self.tasks_per_replica, 1),
            ("idle_seconds", self.idle_seconds, 1),
        ):
            if value < least:
                faults.add(f"scaling.{key}", f"is {value}; give {least} or more")
        if self.minimum > self.maximum and not faults.at("scaling.max"):
            faults.add("scaling.min", f"is {self.minimum}, above scaling.max = {self.maximum}; lower it or raise 'max'")
        if "idle_seconds" in given and self.minimum > 0:
            faults.add("scaling.idle_seconds", f"goes with 'min': 0, and that is {self.minimum}; leave it out")

    def _check_owner(self, given: Mapping[str, Any], faults: Faults) -> None:
        if self.by is ScalingBy.KEDA:
            if "metric" in given:
                faults.add("scaling.metric", "is for 'hpa': 'keda' reads Redis itself; leave it out, or give 'by': 'hpa'")
            check_namespace("scaling.keda_namespace", self.keda_namespace, faults)
            return
        if "keda_namespace" in given:
            faults.add("scaling.keda_namespace", "is for 'keda'; leave it out, or give 'by': 'keda'")
        if self.metric is None:
            faults.add(
                "scaling.metric",
                "is required by 'hpa': give the name under which an adapter serves the number of waiting tasks, or 'by': 'keda'",
            )
        else:
            if not _METRIC.fullmatch(self.metric["name"]):
                name = self.metric["name"]
                faults.add("scaling.metric.name", f"is {name!r}; give a metric's name, such as 'redis_key_size'")
            check_labels("scaling.metric.labels", self.metric.get("labels"), faults)
        if self.minimum == 0:
            faults.add("scaling.min", "is 0, which 'hpa' cannot; give 1 or more, or 'by': 'keda'")
        if "schedule" in given:
            faults.add("scaling.schedule", "is for 'keda'; leave it out, or give 'by': 'keda'")


def scaled_object(
    deployment: str, autoscaler: str, workers: Workers, broker: RedisBroker, queues: Sequence[str], authentication: str | None
) -> dict[str, Any]:
    """Spec of a ScaledObject: of several queues the one that asks for most replicas wins (KEDA, "ScaledObject specification").

    Args:
        deployment: What is scaled.
        autoscaler: Name of the HorizontalPodAutoscaler that KEDA makes.
        workers: Range and target.
        broker: Where the queues are.
        queues: Their names.
        authentication: Name of the TriggerAuthentication; `None`: the broker has no password.
    """
    to_zero = workers.minimum == 0
    lists = [redis_broker.trigger(broker, queue, workers.tasks_per_replica, authentication) for queue in queues]
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment},
        "minReplicaCount": workers.minimum,
        "maxReplicaCount": workers.maximum,
        "pollingInterval": WAKING_SECONDS if to_zero else POLLING_SECONDS,
        "triggers": [*lists, *(schedule.trigger(window) for window in workers.schedule)],
        # While Redis is away nobody has work, and whoever has some finishes it.
        "fallback": {"failureThreshold": FAILURES, "replicas": workers.minimum, "behavior": "currentReplicasIfHigher"},
        "advanced": {"horizontalPodAutoscalerConfig": {"name": autoscaler, "behavior": camel(behavior())}},
    }
    return {**spec, "cooldownPeriod": workers.idle_seconds} if to_zero else spec


def autoscaler(deployment: str, workers: Workers) -> k8s.autoscaling.v2.HorizontalPodAutoscalerSpecArgsDict:
    """Scale a Deployment on what an adapter says is waiting."""
    assert workers.metric is not None
    metric: k8s.autoscaling.v2.MetricIdentifierArgsDict = {"name": workers.metric["name"]}
    if workers.metric.get("labels"):
        metric["selector"] = {"match_labels": workers.metric.get("labels", {})}
    target: k8s.autoscaling.v2.MetricTargetArgsDict = {"type": "AverageValue", "average_value": str(workers.tasks_per_replica)}
    return {
        "scale_target_ref": {"api_version": "apps/v1", "kind": "Deployment", "name": deployment},
        "min_replicas": workers.minimum,
        "max_replicas": workers.maximum,
        "metrics": [{"type": "External", "external": {"metric": metric, "target": target}}],
        "behavior": behavior(),
    }
