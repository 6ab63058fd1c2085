"""A service as monitoring needs to know it. Components make theirs, from the same arguments as their scaler."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from slipway.args import Faults, known
from slipway.kubernetes.names import check_labels, check_namespace, check_service_name
from slipway.kubernetes.network import Peer, check_peer

_LOAD = re.compile(r"[a-z]([-a-z0-9]{0,40}[a-z0-9])?")


class WatchedKind(StrEnum):
    """What a service is."""

    ROUTER = "router"
    """Our router: it tells the metrics of `slipway_router.metric_table`."""
    MODEL = "model"
    """A server of one model."""
    GPUS = "gpus"
    """NVIDIA's DCGM exporter, on every node with GPUs."""
    CLUSTER = "cluster"
    """kube-state-metrics, which tells of the objects of `workloads`."""


class WatchedLoad(TypedDict):
    """A load that a service is scaled by, or would be: scaler, alert and panel ask the same and aim at the same."""

    name: str
    """What is measured, such as `waiting-requests`: lower case letters, digits and '-'."""
    query: pulumi.Input[str]
    """PromQL for all replicas together."""
    target: float
    """What is aimed at for each replica."""


class WatchedService(TypedDict):
    """A service to be watched: `watched()` of a component, or fields of your own."""

    kind: WatchedKind
    """'router', 'model', 'gpus' or 'cluster'."""
    name: str
    """Name in alerts and dashboards; unique in its namespace."""
    namespace: pulumi.Input[str]
    """Namespace of its pods."""
    pods: str
    """A regular expression that the names of its pods match, and those of no others."""
    pod_labels: Mapping[str, str]
    """Labels of its pods."""
    port: int
    """Port of the pods on which they tell metrics."""
    path: NotRequired[str]
    """Path of the metrics. Default `/metrics`."""
    least_replicas: NotRequired[int]
    """Fewest replicas that there should be. Default 1; with 0 there may be none."""
    most_replicas: NotRequired[int]
    """Most replicas that there can be. Default `least_replicas`, at least 1."""
    scales: NotRequired[bool]
    """Whether an autoscaler chooses between the two. Default false."""
    loads: NotRequired[Sequence[WatchedLoad]]
    """What is measured and aimed at. Default none."""
    start_seconds: NotRequired[int]
    """How long a replica may take to be there, from nothing. Default 600."""
    readers: NotRequired[Sequence[Peer]]
    """Who may read the metrics, by the service's NetworkPolicy. Default: not known, and not checked."""


@dataclass(frozen=True)
class Load:
    """A load with its query known."""

    name: str
    query: str
    target: float


@dataclass(frozen=True)
class Watched:
    """A service with every default filled in, and all that comes from other resources known."""

    kind: WatchedKind
    name: str
    namespace: str
    pods: str
    pod_labels: Mapping[str, str]
    port: int
    path: str
    least_replicas: int
    most_replicas: int
    scales: bool
    loads: Sequence[Load]
    start_seconds: int

    @classmethod
    def of(cls, given: WatchedService) -> "Watched":
        """What was given, checked before."""
        least = given.get("least_replicas", 1)
        return cls(
            kind=WatchedKind(given["kind"]),
            name=given["name"],
            namespace=cast("str", given["namespace"]),
            pods=given["pods"],
            pod_labels=given["pod_labels"],
            port=int(given["port"]),
            path=given.get("path", "/metrics"),
            least_replicas=int(least),
            most_replicas=int(given.get("most_replicas", max(1, least))),
            scales=given.get("scales", False),
            loads=[Load(load["name"], cast("str", load["query"]), load["target"]) for load in given.get("loads", ())],
            start_seconds=int(given.get("start_seconds", 600)),
        )

    @property
    def tells_of_others(self) -> bool:
        """Whether its series are about other pods, and labelled with theirs."""
        return self.kind in (WatchedKind.GPUS, WatchedKind.CLUSTER)

    @property
    def labels(self) -> dict[str, str]:
        """What its alerts and recorded series are labelled with."""
        return {"service": self.name} if self.tells_of_others else {"namespace": self.namespace, "service": self.name}

    def which(self, more: str = "") -> str:
        """A selector of its series. The pattern is a string of PromQL, which takes one backslash away."""
        if self.tells_of_others:
            return f'{{service="{self.name}"{more and "," + more}}}'
        pattern = self.pods.replace("\\", "\\\\").replace('"', '\\"')
        return f'{{namespace="{self.namespace}",pod=~"{pattern}"{more and "," + more}}}'


def check_watched(path: str, services: Sequence[Any], faults: Faults) -> None:
    """Refuse what would watch nothing, or something else than it says."""
    if not services:
        faults.add(
            path, "is empty; give at least one service: `watched()` of a component, such as an AiApiService or a GpuModelServer"
        )
    seen: dict[tuple[str, object], int] = {}
    for i, given in enumerate(services):
        here = f"{path}[{i}]"
        if not isinstance(given, Mapping) or faults.at(here):
            continue
        service = cast("WatchedService", given)
        check_service_name(f"{here}.name", service["name"], faults)
        known(service["namespace"], lambda plain, here=here: check_namespace(f"{here}.namespace", plain, faults))
        key = (service["name"], service["namespace"] if isinstance(service["namespace"], str) else None)
        if key in seen and key[1] is not None:
            faults.add(f"{here}.name", f"is {key[0]!r}, as is that of {path}[{seen[key]}] in the same namespace; name each once")
        seen.setdefault(key, i)
        _check_numbers(here, service, faults)
        try:
            re.compile(service["pods"])
        except re.error as error:
            faults.add(f"{here}.pods", f"is {service['pods']!r}: {error}; give a regular expression such as 'api-router-.+'")
        check_labels(f"{here}.pod_labels", service["pod_labels"], faults)
        if not service["pod_labels"]:
            faults.add(f"{here}.pod_labels", "is empty, so it would read every pod of the namespace; give the labels of its pods")
        if not re.fullmatch(r"/[^\s?#]*", service.get("path", "/")):
            faults.add(f"{here}.path", f"is {service.get('path')!r}; give a path such as '/metrics'")
        for n, load in enumerate(service.get("loads", ())):
            _check_load(f"{here}.loads[{n}]", load, faults)
        for n, peer in enumerate(service.get("readers", ())):
            check_peer(f"{here}.readers[{n}]", peer, faults)


def _check_numbers(here: str, service: WatchedService, faults: Faults) -> None:
    if not 1 <= service["port"] <= 65535:
        faults.add(f"{here}.port", f"is {service['port']}; give 1 to 65535")
    least = service.get("least_replicas", 1)
    most = service.get("most_replicas", max(1, least))
    if least < 0:
        faults.add(f"{here}.least_replicas", f"is {least}; give 0 or more")
    if most < max(0, least):
        faults.add(f"{here}.most_replicas", f"is {most}, below least_replicas = {least}; raise it or lower the other")
    if service.get("start_seconds", 1) < 1:
        faults.add(f"{here}.start_seconds", f"is {service.get('start_seconds')}; give 1 second or more")


def _check_load(here: str, load: WatchedLoad, faults: Faults) -> None:
    if not _LOAD.fullmatch(load["name"]):
        faults.add(f"{here}.name", f"is {load['name']!r}; give lower case letters, digits and '-', such as 'waiting-requests'")
    if not load["target"] > 0:
        faults.add(f"{here}.target", f"is {load['target']}; give more than 0, or leave the load out")
    known(load["query"], lambda plain: None if plain.strip() else faults.add(f"{here}.query", "is empty; give PromQL"))


def lets_in(readers: Sequence[Peer], home: object, namespace: object, labels: Mapping[str, str]) -> bool:
    """Whether some peer of a policy in the namespace `home` is a pod with these labels in `namespace`. What is not known counts
    as let in, and so does a range of addresses."""
    for peer in readers:
        where = peer.get("namespace", home)
        if "cidr" in peer or not isinstance(where, str) or not isinstance(namespace, str):
            return True
        if where == namespace and peer.get("pod_labels", {}).items() <= labels.items():
            return True
    return False
