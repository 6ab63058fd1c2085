"""How many model servers: as many as the requests that wait and the cache in use ask for, by KEDA from Prometheus."""

import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict
from urllib.parse import urlsplit

import pulumi

from slipway.args import Faults
from slipway.kubernetes.keda import FAILURES, POLLING_SECONDS
from slipway.kubernetes.model_engine import EngineMetrics

_BY = "keda"
_TIMES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"
_DAYS = "sun mon tue wed thu fri sat"


class ScheduleWindow(TypedDict):
    """A time of day or week with a number of replicas of its own."""

    start: str
    """When it begins, as a cron line of five fields: `0 8 * * 1-5` is 8 o'clock on working days."""
    end: str
    """When it ends, as a cron line too."""
    timezone: str
    """Time zone of both, by its name in the IANA database, such as `Europe/Vienna`."""
    replicas: int
    """Fewest replicas within it: more than `min`, at most `max`. The load can ask for more."""


class ModelScaling(TypedDict):
    """Between how many replicas a model server scales, and on what. Needs KEDA 2.17 or newer, and a Prometheus."""

    by: NotRequired[str]
    """Who scales: 'keda', the default and the only one. A HorizontalPodAutoscaler alone is refused: it reads such metrics only
    through an adapter, and where that is missing it stops in silence, without a safe number."""
    min: NotRequired[int]
    """Fewest replicas, at least 1. Default 1."""
    max: int
    """Most replicas, each with GPUs of its own."""
    prometheus_url: str
    """Address of the Prometheus that KEDA asks, such as `http://prometheus-server.monitoring.svc:9090`."""
    prometheus_authentication: NotRequired[str]
    """Name of KEDA's TriggerAuthentication in the same namespace, where that Prometheus asks for a password. Default: none."""
    waiting_requests: NotRequired[int]
    """Requests in the engine's queue that are aimed at, for each replica. Default 4; 0 does not scale on them."""
    kv_cache_percent: NotRequired[int]
    """Use of the key-value cache that is aimed at, in percent. Default 80 where the engine tells it; 0 does not scale on it."""
    scale_down_seconds: NotRequired[int]
    """How long the load must be low before a replica goes, in seconds, 0 to 3600. Default: as long as one takes to start, since
    that is what its return costs."""
    fallback_replicas: NotRequired[int]
    """Replicas while the metrics cannot be read, unless more are running then. Default: `min`."""
    schedule: NotRequired[Sequence[ScheduleWindow]]
    """Times with a higher least number of replicas. Default none."""


@dataclass(frozen=True)
class ScaleTarget:
    """What KEDA scales."""

    kind: str
    """'StatefulSet' or 'Deployment'."""
    name: str

    @property
    def pods(self) -> str:
        """Its pods' names, as a regular expression that those of no other workload match."""
        if self.kind == "StatefulSet":
            return f"{self.name}-[0-9]+"
        # Kubernetes' alphabet for generated names, which has no vowels. Of long names it cuts off the middle, with the last '-'.
        letters = "[bcdfghjklmnpqrstvwxz2456789]"
        return f"{self.name}-{letters}+(-{letters}{{5}})?"


@dataclass(frozen=True)
class ScalingRange:
    """What was asked for, checked, with every default filled in."""

    minimum: int
    maximum: int
    prometheus_url: str
    authentication: str | None
    waiting_requests: int
    kv_cache_percent: int
    scale_down_seconds: int
    fallback_replicas: int
    schedule: Sequence[ScheduleWindow]

    @classmethod
    def of(cls, given: Mapping[str, Any], metrics: EngineMetrics, startup_seconds: int, faults: Faults) -> "ScalingRange | None":
        """Tells of its faults below the path `scaling`; `None` where the shape is wrong already."""
        if faults.at("scaling"):
            return None
        minimum, maximum = given.get("min", 1), given["max"]
        if given.get("by", _BY) != _BY:
            faults.add(
                "scaling.by",
                f"is {given['by']!r}; give 'keda', the only one: a HorizontalPodAutoscaler reads the engine's metrics only"
                " through an adapter, and where that is missing it stops in silence, without a safe number",
            )
        if minimum < 1:
            faults.add(
                "scaling.min", f"is {minimum}; give 1 or more: nothing would wake a server up again; 'replicas': 0 stops it"
            )
        if maximum < 1:
            faults.add("scaling.max", f"is {maximum}; give 1 or more")
        elif minimum > maximum:
            faults.add("scaling.min", f"is {minimum}, above scaling.max = {maximum}; lower it or raise 'max'")
        wanted = cls(
            minimum=minimum,
            maximum=maximum,
            prometheus_url=given["prometheus_url"],
            authentication=given.get("prometheus_authentication"),
            waiting_requests=given.get("waiting_requests", 4),
            kv_cache_percent=given.get("kv_cache_percent", 80 if metrics.kv_cache_usage else 0),
            scale_down_seconds=given.get("scale_down_seconds", min(startup_seconds, 3600)),
            fallback_replicas=given.get("fallback_replicas", minimum),
            schedule=given.get("schedule", ()),
        )
        wanted.check(metrics, faults)
        return wanted

    def check(self, metrics: EngineMetrics, faults: Faults) -> None:
        """Refuse what KEDA would, and what would never do anything."""
        address = urlsplit(self.prometheus_url)
        if not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", self.prometheus_url) or address.query or address.fragment:
            faults.add(
                "scaling.prometheus_url",
                f"is {self.prometheus_url!r}; give an address such as 'http://prometheus-server.monitoring.svc:9090',"
                " without user, password or query",
            )
        if self.authentication is not None and not re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", self.authentication):
            faults.add(
                "scaling.prometheus_authentication",
                f"is {self.authentication!r}; give the name of a TriggerAuthentication: lower case letters, digits, '-' and '.'",
            )
        if self.waiting_requests < 0:
            faults.add("scaling.waiting_requests", f"is {self.waiting_requests}; give more than 0, or 0 not to scale on it")
        if not 0 <= self.kv_cache_percent <= 100:
            faults.add("scaling.kv_cache_percent", f"is {self.kv_cache_percent}; give 1 to 100, or 0 not to scale on it")
        elif self.kv_cache_percent and not metrics.kv_cache_usage:
            faults.add("scaling.kv_cache_percent", "is not told by this engine; leave it out, and scale on 'waiting_requests'")
        if not (self.waiting_requests or self.kv_cache_percent):
            faults.add(
                "scaling", "scales on no load; give 'waiting_requests' or 'kv_cache_percent', or 'replicas' for a fixed number"
            )
        if not 0 <= self.scale_down_seconds <= 3600:
            faults.add("scaling.scale_down_seconds", f"is {self.scale_down_seconds}; give 0 to 3600 seconds")
        if not _range_refused(faults) and not self.minimum <= self.fallback_replicas <= self.maximum:
            faults.add(
                "scaling.fallback_replicas",
                f"is {self.fallback_replicas}; give a number from scaling.min = {self.minimum} to scaling.max = {self.maximum}",
            )
        for i, window in enumerate(self.schedule):
            _check_window(f"scaling.schedule[{i}]", window, self, faults)

    def scaled_object(
        self, target: ScaleTarget, namespace: pulumi.Input[str], metrics: EngineMetrics
    ) -> Mapping[str, pulumi.Input[Any]]:
        """Specification of KEDA's ScaledObject. Source of its fields: KEDA, "ScaledObject specification"."""
        return {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": target.kind, "name": target.name},
            "minReplicaCount": self.minimum,
            "maxReplicaCount": self.maximum,
            "pollingInterval": POLLING_SECONDS,
            "fallback": {
                "failureThreshold": FAILURES,
                "replicas": self.fallback_replicas,
                "behavior": "currentReplicasIfHigher",
            },
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": self._behavior()}},
            "triggers": [*self._loads(target, namespace, metrics), *(_cron(w) for w in self.schedule)],
        }

    def _behavior(self) -> Mapping[str, Any]:
        """Up in a minute, by doubling; down one by one, since each that goes drains its streams, and costs a start to return."""
        return {
            # A blip must not buy a GPU.
            "scaleUp": {
                "stabilizationWindowSeconds": 30,
                "policies": [{"type": "Percent", "value": 100, "periodSeconds": 60}],
            },
            "scaleDown": {
                "stabilizationWindowSeconds": self.scale_down_seconds,
                "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
            },
        }

    def _loads(
        self, target: ScaleTarget, namespace: pulumi.Input[str], metrics: EngineMetrics
    ) -> list[Mapping[str, pulumi.Input[Any]]]:
        # The sum over all servers and a target for each: the number wanted follows from the load alone. A mean would ask for
        # more and more while new servers load and take nothing off the old ones.
        wanted = {
            "waiting-requests": (metrics.waiting_requests, self.waiting_requests),
            "kv-cache-usage": (metrics.kv_cache_usage, self.kv_cache_percent / 100),
        }
        return [
            self._prometheus(role, str(metric), f"{each:g}", target, namespace) for role, (metric, each) in wanted.items() if each
        ]

    def _prometheus(
        self, role: str, metric: str, threshold: str, target: ScaleTarget, namespace: pulumi.Input[str]
    ) -> Mapping[str, pulumi.Input[Any]]:
        pods = f'",pod=~"{target.pods}"}})'
        trigger: dict[str, pulumi.Input[Any]] = {
            "type": "prometheus",
            "name": role,
            # Of these a fallback can be reckoned.
            "metricType": "AverageValue",
            "metadata": {
                "serverAddress": self.prometheus_url,
                "query": pulumi.Output.concat(f'sum({metric}{{namespace="', namespace, pods),
                "threshold": threshold,
                # No series is no sign of no load: the fallback counts it as a failed reading, where the default counts it as 0.
                "ignoreNullValues": "false",
            },
        }
        if self.authentication is not None:
            trigger["authenticationRef"] = {"name": self.authentication}
        return trigger


def _cron(window: ScheduleWindow) -> Mapping[str, Any]:
    return {
        "type": "cron",
        "metadata": {
            "timezone": window["timezone"],
            "start": window["start"],
            "end": window["end"],
            "desiredReplicas": str(window["replicas"]),
        },
    }


def _check_window(path: str, window: ScheduleWindow, scaling: ScalingRange, faults: Faults) -> None:
    for key in ("start", "end"):
        if not _is_cron(window[key]):
            faults.add(
                f"{path}.{key}",
                f"is {window[key]!r}; give a cron line of five fields (minute hour day month weekday), such as '0 8 * * 1-5'",
            )
    if window["start"] == window["end"]:
        faults.add(f"{path}.end", f"is {window['end']!r}, when the window begins; give another time")
    if not _is_timezone(window["timezone"]):
        faults.add(f"{path}.timezone", f"is {window['timezone']!r}; give a name of the IANA database, such as 'Europe/Vienna'")
    if not _range_refused(faults) and not scaling.minimum < window["replicas"] <= scaling.maximum:
        faults.add(
            f"{path}.replicas",
            f"is {window['replicas']}; give more than scaling.min = {scaling.minimum}, up to scaling.max = {scaling.maximum}",
        )


def _range_refused(faults: Faults) -> bool:
    return faults.at("scaling.min") or faults.at("scaling.max")


def _is_timezone(name: str) -> bool:
    every = zoneinfo.available_timezones()
    # A machine without the database cannot tell.
    return name in every if every else bool(re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", name))


def _is_cron(line: str) -> bool:
    fields = line.split()
    if len(fields) != len(_TIMES):
        return False
    named = [*fields[:3], _numbered(fields[3], _MONTHS, 1), _numbered(fields[4], _DAYS, 0)]
    return all(_is_cron_field(field, *bounds) for field, bounds in zip(named, _TIMES, strict=True))


def _numbered(field: str, names: str, first: int) -> str:
    for number, name in enumerate(names.split(), first):
        field = re.sub(rf"\b{name}\b", str(number), field, flags=re.IGNORECASE)
    return field


def _is_cron_field(field: str, least: int, most: int) -> bool:
    for part in field.split(","):
        shape = re.fullmatch(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,2}))?", part)
        if shape is None:
            return False
        low = int(shape[1] or least)
        if not least <= low <= int(shape[2] or shape[1] or most) <= most or shape[3] in ("0", "00"):
            return False
    return True
