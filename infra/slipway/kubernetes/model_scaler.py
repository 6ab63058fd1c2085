"""KEDA's ScaledObject for a model server. Source of its fields: KEDA, "ScaledObject specification" and "Prometheus"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pulumi

from slipway.kubernetes import leader_worker_set, schedule
from slipway.kubernetes.keda import FAILURES, POLLING_SECONDS
from slipway.kubernetes.model_engine import EngineMetrics
from slipway.kubernetes.model_scaling import ScalingRange
from slipway.kubernetes.observability.watched import WatchedLoad

WAKING_SECONDS = 5
"""Between two questions where nobody may be there: a client waits for the answer."""
REQUESTS_OF_A_REPLICA = 256
"""That a replica answers at a time, where nothing else says so: vLLM's default of `--max-num-seqs` on most GPUs."""
LEAST_SEEN_SECONDS = 300
"""That a new server stays, once it is there."""
WINDOW = "2m"
"""Of a rate: two readings of a Prometheus that reads once a minute."""


class Keeper(StrEnum):
    """What keeps a number of pods, by its kind."""

    STATEFUL_SET = "StatefulSet"
    DEPLOYMENT = "Deployment"
    LEADER_WORKER_SET = "LeaderWorkerSet"


@dataclass(frozen=True)
class ScaleTarget:
    """What KEDA scales."""

    kind: Keeper
    name: str
    namespace: pulumi.Input[str]
    backends: Sequence[str]
    """Its names in the routers in front of it."""

    @property
    def api_version(self) -> str:
        """Of its kind."""
        return leader_worker_set.API_VERSION if self.kind is Keeper.LEADER_WORKER_SET else "apps/v1"

    @property
    def pods(self) -> str:
        """Its pods' names, as a regular expression that those of no other workload match; of a group its leader's."""
        if self.kind is not Keeper.DEPLOYMENT:
            return f"{self.name}-[0-9]+"
        # Kubernetes' alphabet for generated names, which has no vowels. Of long names it cuts off the middle, with the last '-'.
        letters = "[bcdfghjklmnpqrstvwxz2456789]"
        return f"{self.name}-{letters}+(-{letters}{{5}})?"


def scaled_object(
    scaling: ScalingRange, target: ScaleTarget, metrics: EngineMetrics, cold_start_seconds: int, parallel_requests: int | None
) -> Mapping[str, pulumi.Input[Any]]:
    """The whole specification.

    Args:
        scaling: What was asked for.
        target: What is scaled.
        metrics: What its engine tells.
        cold_start_seconds: How long a replica takes to be there, from nothing.
        parallel_requests: How many requests a replica answers at a time, where that was said.
    """
    to_zero = scaling.minimum == 0
    spec: dict[str, pulumi.Input[Any]] = {
        "scaleTargetRef": {"apiVersion": target.api_version, "kind": target.kind.value, "name": target.name},
        "minReplicaCount": max(1, scaling.minimum),
        "maxReplicaCount": scaling.maximum,
        "pollingInterval": WAKING_SECONDS if to_zero else POLLING_SECONDS,
        "fallback": {
            "failureThreshold": FAILURES,
            "replicas": scaling.fallback_replicas,
            "behavior": "currentReplicasIfHigher",
        },
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior(scaling)}},
    }
    asked = loads(target.namespace, target.pods, metrics, scaling.targets, may_be_none=to_zero)
    triggers = [_prometheus(scaling, load["name"], load["query"], f"{load['target']:g}") for load in asked]
    triggers += [schedule.trigger(window) for window in scaling.schedule]
    if to_zero:
        spec |= {
            "idleReplicaCount": 0,
            "cooldownPeriod": scaling.idle_seconds,
            # Whoever deploys it sees it start, whatever the routers do.
            "initialCooldownPeriod": cold_start_seconds + LEAST_SEEN_SECONDS,
        }
        triggers.insert(0, _wake(scaling, target, scaling.running_requests or parallel_requests or REQUESTS_OF_A_REPLICA))
    return {**spec, "triggers": triggers}


def _behavior(scaling: ScalingRange) -> Mapping[str, Any]:
    """Up in a minute, by doubling; down one by one, since each that goes drains its streams, and costs a start to return."""
    return {
        # A blip must not buy a GPU.
        "scaleUp": {
            "stabilizationWindowSeconds": 30,
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 60}],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": scaling.scale_down_seconds,
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
        },
    }


def _wake(scaling: ScalingRange, target: ScaleTarget, requests: int) -> Mapping[str, pulumi.Input[Any]]:
    """The routers' count of requests that they send to it, or would if it were there."""
    # Of a name's characters the dot alone means something else, and PromQL takes one backslash away.
    names = "|".join(name.replace(".", r"\\.") for name in scaling.wake.get("backends", target.backends))
    namespace = scaling.wake.get("namespace", target.namespace)
    wanted = ('slipway_router_backend_wanted{namespace="', namespace, f'",backend=~"{names}"}}')
    return _prometheus(scaling, "wanted", pulumi.Output.concat("sum(", *wanted, ")"), f"{requests}")


def loads(
    namespace: pulumi.Input[str], pods: str, metrics: EngineMetrics, targets: Mapping[str, float], *, may_be_none: bool
) -> list[WatchedLoad]:
    """What servers are scaled by, and watched by: each load with its question and what is aimed at for each server.

    Args:
        namespace: Of the servers.
        pods: A pattern that their names match.
        metrics: What their engine tells.
        targets: Waiting requests, running requests and percent of the cache, by the names of `scaling`; 0 is no target.
        may_be_none: Whether there may be no server at all.
    """
    # The sum over all servers and a target for each: the number wanted follows from the load alone. A mean would ask for
    # more and more while new servers load and take nothing off the old ones.
    which = ('{namespace="', namespace, f'",pod=~"{pods}"}}')
    # With no server there is no series, and that is no failure: whether there should be one, the routers say.
    rest: tuple[pulumi.Input[str], ...] = ()
    if may_be_none:
        rest = (" or vector(0)",)
    elif metrics.from_start:
        rest = (f" or 0 * sum({metrics.from_start}", *which, ")")

    def gauge(metric: str | None) -> pulumi.Output[str]:
        return pulumi.Output.concat(f"sum({metric}", *which, ")", *rest)

    def rate(metric: str | None) -> pulumi.Output[str]:
        return pulumi.Output.concat(f"sum(rate({metric}", *which, f"[{WINDOW}]))", *rest)

    running = gauge(metrics.running_requests) if metrics.running_requests else rate(metrics.busy_seconds)
    wanted = {
        "waiting-requests": (gauge(metrics.waiting_requests), targets["waiting_requests"]),
        "running-requests": (running, targets["running_requests"]),
        "kv-cache-usage": (gauge(metrics.kv_cache_usage), targets["kv_cache_percent"] / 100),
    }
    return [{"name": role, "query": query, "target": each} for role, (query, each) in wanted.items() if each]


def _prometheus(scaling: ScalingRange, role: str, query: pulumi.Input[str], threshold: str) -> Mapping[str, pulumi.Input[Any]]:
    trigger: dict[str, pulumi.Input[Any]] = {
        "type": "prometheus",
        "name": role,
        # Of these a fallback can be reckoned.
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": scaling.prometheus_url,
            "query": query,
            "threshold": threshold,
            # No series is no sign of no load: the fallback counts it as a failed reading, where the default counts it as 0.
            "ignoreNullValues": "false",
        },
    }
    if scaling.authentication is not None:
        trigger["authenticationRef"] = {"name": scaling.authentication}
    return trigger
