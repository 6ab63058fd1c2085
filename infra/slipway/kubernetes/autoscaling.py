"""How many replicas: a fixed number, or as many as the load asks for. Never both, or two owners would fight over one field."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NotRequired, TypedDict

import pulumi_kubernetes as k8s

from slipway.args import Faults

_ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")


class ScalingBy(StrEnum):
    """Who changes the number of replicas."""

    HPA = "hpa"
    """Kubernetes' own HorizontalPodAutoscaler. For requests it needs a metrics adapter."""
    KEDA = "keda"
    """KEDA, by a ScaledObject, which asks Prometheus itself and holds replicas while that is away."""


class Scaling(TypedDict):
    """Between how many replicas a service scales, and on what."""

    min: NotRequired[int]
    """Fewest replicas. Default 2, or `max` where that is less; at least 1."""
    max: NotRequired[int]
    """Most replicas. Default 20, or `min` where that is more."""
    cpu_percent: NotRequired[int]
    """Mean use of the CPU requests that is aimed at, in percent. Default 70; 0 does not scale on CPU."""
    requests_per_second: NotRequired[int]
    """Requests per second and replica that are aimed at. Default 100; 0 does not scale on them.

    By 'hpa' they are read from the custom metrics API as the pods' metric `http_requests_per_second`, which a metrics
    adapter must serve (Prometheus Adapter, say). While it cannot be read, the service still scales up on CPU, but never
    down. By 'keda' they are read from `prometheus_url`.
    """
    by: NotRequired[ScalingBy]
    """'hpa' or 'keda', with the same targets and the same pace. KEDA must be in the cluster. Default 'hpa'."""
    prometheus_url: NotRequired[str]
    """Where KEDA asks for requests, such as `http://prometheus-server.monitoring.svc`. Required by 'keda' unless
    `requests_per_second` is 0; excluded by 'hpa'."""
    fallback_replicas: NotRequired[int]
    """Replicas to have at least while KEDA gets no answer from Prometheus; where there are more, these stay. Default `min`;
    between `min` and `max`. Goes with `prometheus_url`."""


@dataclass(frozen=True)
class Replicas:
    """Replicas, checked and with every default filled in: `fixed`, or else the range and its targets."""

    fixed: int | None = None
    minimum: int = 2
    maximum: int = 20
    cpu_percent: int = 70
    requests_per_second: int = 100
    by: ScalingBy = ScalingBy.HPA
    prometheus_url: str | None = None
    fallback_replicas: int | None = None
    """Replicas while the metric is away; None is `minimum`."""

    @classmethod
    def of(cls, replicas: int | None, scaling: Scaling | None, faults: Faults) -> "Replicas":
        """Tells of its faults under the paths `replicas` and `scaling`, the arguments of every component that scales."""
        if replicas is not None and scaling is not None:
            faults.add("replicas", "cannot go with 'scaling', which sets the number itself; give one of the two")
        if replicas is not None and replicas < 0:
            faults.add("replicas", f"is {replicas}; give 0 or more")
        given: dict[str, Any] = {**(scaling or {})}
        minimum = given.get("min", max(1, min(cls.minimum, given.get("max", cls.maximum))))
        wanted = cls(
            fixed=replicas,
            minimum=minimum,
            maximum=given.get("max", max(cls.maximum, minimum)),
            cpu_percent=given.get("cpu_percent", cls.cpu_percent),
            requests_per_second=given.get("requests_per_second", cls.requests_per_second),
            by=given.get("by", cls.by),
            prometheus_url=given.get("prometheus_url"),
            fallback_replicas=given.get("fallback_replicas"),
        )
        if wanted.minimum < 1:
            faults.add("scaling.min", f"is {wanted.minimum}; give 1 or more, or 'replicas': 0 to stop the service")
        if wanted.maximum < 1:
            faults.add("scaling.max", f"is {wanted.maximum}; give 1 or more")
        elif wanted.minimum > wanted.maximum:
            faults.add("scaling.min", f"is {wanted.minimum}, above scaling.max = {wanted.maximum}; lower it or raise 'max'")
        for key in ("cpu_percent", "requests_per_second"):
            if getattr(wanted, key) < 0:
                faults.add(f"scaling.{key}", f"is {getattr(wanted, key)}; give more than 0, or 0 not to scale on it")
        if not (wanted.cpu_percent or wanted.requests_per_second):
            faults.add(
                "scaling", "scales on nothing; give 'cpu_percent' or 'requests_per_second', or 'replicas' for a fixed number"
            )
        wanted._check_prometheus(faults)
        return wanted

    def _check_prometheus(self, faults: Faults) -> None:
        asks = self.by is ScalingBy.KEDA and self.requests_per_second > 0
        told = {"prometheus_url": self.prometheus_url, "fallback_replicas": self.fallback_replicas}
        for key, value in told.items():
            if value is not None and not asks:
                why = "scales on no requests" if self.by is ScalingBy.KEDA else "asks no Prometheus"
                choice = "give 'requests_per_second'" if self.by is ScalingBy.KEDA else "give 'by': 'keda'"
                faults.add(f"scaling.{key}", f"is of no use, since '{self.by.value}' here {why}; {choice}, or leave it out")
        if not asks:
            return
        if self.prometheus_url is None:
            faults.add(
                "scaling.prometheus_url",
                "is required by 'keda': give where Prometheus answers, such as 'http://prometheus-server.monitoring.svc',"
                " or 'requests_per_second': 0 to scale on CPU alone",
            )
        elif not _ADDRESS.fullmatch(self.prometheus_url):
            faults.add("scaling.prometheus_url", f"is {self.prometheus_url!r}; give http://HOST or https://HOST:PORT/PATH")
        fallback = self.fallback_replicas
        if fallback is not None and not self.minimum <= fallback <= self.maximum and not faults.at("scaling.min"):
            faults.add(
                "scaling.fallback_replicas", f"is {fallback}; give {self.minimum} to {self.maximum}, as 'min' and 'max' allow"
            )


def behavior() -> k8s.autoscaling.v2.HorizontalPodAutoscalerBehaviorArgsDict:
    """Up at once, by doubling or by 4, whichever is more; down by a tenth a minute, and only after 5 quiet minutes."""
    return {
        "scale_down": {
            "stabilization_window_seconds": 300,
            "policies": [{"type": "Percent", "value": 10, "period_seconds": 60}],
        },
        "scale_up": {
            "stabilization_window_seconds": 0,
            "policies": [
                {"type": "Percent", "value": 100, "period_seconds": 15},
                {"type": "Pods", "value": 4, "period_seconds": 15},
            ],
            "select_policy": "Max",
        },
    }


def autoscaler(deployment: str, replicas: Replicas) -> k8s.autoscaling.v2.HorizontalPodAutoscalerSpecArgsDict:
    """Scale a Deployment on every target that is not 0; the one that asks for most replicas wins."""
    metrics: list[k8s.autoscaling.v2.MetricSpecArgsDict] = []
    if replicas.cpu_percent:
        metrics.append(
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "average_utilization": replicas.cpu_percent}},
            }
        )
    if replicas.requests_per_second:
        metrics.append(
            {
                "type": "Pods",
                "pods": {
                    "metric": {"name": "http_requests_per_second"},
                    "target": {"type": "AverageValue", "average_value": str(replicas.requests_per_second)},
                },
            }
        )
    return {
        "scale_target_ref": {"api_version": "apps/v1", "kind": "Deployment", "name": deployment},
        "min_replicas": replicas.minimum,
        "max_replicas": replicas.maximum,
        "metrics": metrics,
        "behavior": behavior(),
    }
