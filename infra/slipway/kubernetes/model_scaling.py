"""How many model servers: as many as the requests that wait and the cache in use ask for, and none while nobody wants any."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict
from urllib.parse import urlsplit

from slipway.args import Faults
from slipway.kubernetes.model_engine import EngineMetrics
from slipway.kubernetes.schedule import ScheduleWindow, check_window
from slipway_router.schema import NAME

_BY = "keda"
WAITING_REQUESTS = 4
"""In a replica's queue that are aimed at where nothing is said."""
KV_CACHE_PERCENT = 80
"""Of a replica's key-value cache that is aimed at where nothing is said."""
LEAST_IDLE_SECONDS = 300
"""KEDA's own cooldown: a router wants a backend for two minutes after its last request, and readings come late."""


class WakeSignal(TypedDict):
    """Which routers tell that a server is wanted which may be at zero."""

    backends: NotRequired[Sequence[str]]
    """The server's names in the routers. Default: those that its `backend()` has, with and without an adapter."""
    namespace: NotRequired[str]
    """Namespace of the routers. Default: the server's own."""


class ModelScaling(TypedDict):
    """Between how many replicas a model server scales, and on what. Needs KEDA 2.17 or newer, and a Prometheus."""

    by: NotRequired[str]
    """Who scales: 'keda', the default and the only one. A HorizontalPodAutoscaler alone is refused: it reads such metrics only
    through an adapter, and where that is missing it stops in silence, without a safe number."""
    min: NotRequired[int]
    """Fewest replicas. With 0 there is none while no router wants any: the router in front counts the requests that it would send
    (`slipway_router_backend_wanted`), since a server that is not there cannot. Default 1."""
    max: int
    """Most replicas, each with GPUs of its own."""
    prometheus_url: str
    """Address of the Prometheus that KEDA asks, such as `http://prometheus-server.monitoring.svc:9090`."""
    prometheus_authentication: NotRequired[str]
    """Name of KEDA's TriggerAuthentication in the same namespace, where that Prometheus asks for a password. Default: none."""
    waiting_requests: NotRequired[int]
    """Requests in the engine's queue that are aimed at, for each replica. Default 4 where the engine tells it; 0 does not scale
    on them."""
    running_requests: NotRequired[int]
    """Requests being answered that are aimed at, for each replica; with 'triton' their mean over 2 minutes, since it tells only
    how long answers took. Default 0, which does not scale on them. With 'triton', which tells nothing else, it is required."""
    kv_cache_percent: NotRequired[int]
    """Use of the key-value cache that is aimed at, in percent. Default 80 where the engine tells it; 0 does not scale on it."""
    scale_down_seconds: NotRequired[int]
    """How long the load must be low before a replica goes, in seconds, 0 to 3600. Default: as long as one takes to start, since
    that is what its return costs."""
    fallback_replicas: NotRequired[int]
    """Replicas while the metrics cannot be read, unless more are running then. Default: `min`, at least 1."""
    schedule: NotRequired[Sequence[ScheduleWindow]]
    """Times with a higher least number of replicas. Default none. There is no highest number of a time's own: KEDA has none."""
    wake: NotRequired[WakeSignal]
    """Which routers wake it from zero. Goes with `min` 0. Default: those in its namespace, by the names of its `backend()`."""
    idle_seconds: NotRequired[int]
    """How long no router must have wanted it before the last replica goes, in seconds, from 300 on. Goes with `min` 0.
    Default: as long as one takes to start, at least 300."""


@dataclass(frozen=True)
class ScalingRange:
    """What was asked for, checked, with every default filled in."""

    minimum: int
    maximum: int
    prometheus_url: str
    authentication: str | None
    waiting_requests: int
    running_requests: int
    kv_cache_percent: int
    scale_down_seconds: int
    fallback_replicas: int
    schedule: Sequence[ScheduleWindow]
    wake: WakeSignal
    idle_seconds: int

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
        if minimum < 0:
            faults.add("scaling.min", f"is {minimum}; give 0 or more")
        if maximum < 1:
            faults.add("scaling.max", f"is {maximum}; give 1 or more")
        elif minimum > maximum:
            faults.add("scaling.min", f"is {minimum}, above scaling.max = {maximum}; lower it or raise 'max'")
        if minimum > 0:
            for key in ("wake", "idle_seconds"):
                if key in given:
                    faults.add(f"scaling.{key}", f"goes with scaling.min = 0, and that is {minimum}; give 0, or leave it out")
        wanted = cls(
            minimum=minimum,
            maximum=maximum,
            prometheus_url=given["prometheus_url"],
            authentication=given.get("prometheus_authentication"),
            waiting_requests=given.get("waiting_requests", WAITING_REQUESTS if metrics.waiting_requests else 0),
            running_requests=given.get("running_requests", 0),
            kv_cache_percent=given.get("kv_cache_percent", KV_CACHE_PERCENT if metrics.kv_cache_usage else 0),
            scale_down_seconds=given.get("scale_down_seconds", min(startup_seconds, 3600)),
            fallback_replicas=given.get("fallback_replicas", max(1, minimum)),
            schedule=given.get("schedule", ()),
            wake=given.get("wake", {}),
            idle_seconds=given.get("idle_seconds", max(LEAST_IDLE_SECONDS, startup_seconds)),
        )
        wanted.check(metrics, faults)
        return wanted

    @property
    def targets(self) -> Mapping[str, float]:
        """What is aimed at for each server, by argument; 0 is no target."""
        return {key: getattr(self, key) for key in ("waiting_requests", "running_requests", "kv_cache_percent")}

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
        self._check_loads(metrics, faults)
        if not 0 <= self.scale_down_seconds <= 3600:
            faults.add("scaling.scale_down_seconds", f"is {self.scale_down_seconds}; give 0 to 3600 seconds")
        if self.idle_seconds < LEAST_IDLE_SECONDS:
            faults.add(
                "scaling.idle_seconds",
                f"is {self.idle_seconds}; give {LEAST_IDLE_SECONDS} or more: a router wants a server for two minutes after its"
                " last request, and metrics are read late",
            )
        least = max(1, self.minimum)
        ranged = not (faults.at("scaling.min") or faults.at("scaling.max"))
        if ranged and not least <= self.fallback_replicas <= self.maximum:
            faults.add(
                "scaling.fallback_replicas",
                f"is {self.fallback_replicas}; give a number from {least} to scaling.max = {self.maximum}",
            )
        for i, window in enumerate(self.schedule):
            path = f"scaling.schedule[{i}]"
            check_window(path, window, faults)
            if ranged and not self.minimum < window["replicas"] <= self.maximum:
                faults.add(
                    f"{path}.replicas",
                    f"is {window['replicas']}; give more than scaling.min = {self.minimum}, up to scaling.max = {self.maximum}",
                )
        _check_wake(self.wake, faults)

    def _check_loads(self, metrics: EngineMetrics, faults: Faults) -> None:
        told = {
            "waiting_requests": metrics.waiting_requests,
            "running_requests": metrics.running_requests or metrics.busy_seconds,
            "kv_cache_percent": metrics.kv_cache_usage,
        }
        choice = " or ".join(f"'{key}'" for key, metric in told.items() if metric)
        for key, metric in told.items():
            value = getattr(self, key)
            if value and not metric:
                faults.add(f"scaling.{key}", f"is not told by this engine; leave it out, and scale on {choice}")
            elif value < 0 or (key == "kv_cache_percent" and value > 100):
                range_ = "1 to 100" if key == "kv_cache_percent" else "more than 0"
                faults.add(f"scaling.{key}", f"is {value}; give {range_}, or 0 not to scale on it")
        if not any(getattr(self, key) for key in told):
            faults.add("scaling", f"scales on no load; give {choice}, or 'replicas' for a fixed number")


def _check_wake(wake: WakeSignal, faults: Faults) -> None:
    for i, name in enumerate(wake.get("backends", ())):
        if not NAME.fullmatch(name):
            faults.add(
                f"scaling.wake.backends[{i}]",
                f"is {name!r}; give a backend's name in a router: lower case letters, digits, '-' and '.'",
            )
    if "backends" in wake and not wake["backends"]:
        faults.add("scaling.wake.backends", "is empty; give the names of its backends, or leave it out")
    namespace = wake.get("namespace", "a")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", namespace):
        faults.add("scaling.wake.namespace", f"is {namespace!r}; give a namespace: lower case letters, digits and '-'")
