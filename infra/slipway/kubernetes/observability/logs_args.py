"""What can be said about the logs of an ObservabilityStack."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, known
from slipway.backend import Egress, SecretKeyRef
from slipway.kubernetes import quantity
from slipway.kubernetes.names import check_image, check_object_name
from slipway.kubernetes.network import Peer, check_egress, check_peer
from slipway.kubernetes.observability.log_agent_args import LogAgentArgs, LogAgentSettings
from slipway.kubernetes.quantity import ComputeResources
from slipway.kubernetes.router_telemetry import telemetry_egress
from slipway.kubernetes.secret_env import check_reference

IMAGE = "grafana/loki:3.7.8"
PROXY_IMAGE = "nginxinc/nginx-unprivileged:1.28.0"
RESOURCES: ComputeResources = {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"cpu": "2", "memory": "2Gi"}}
STORED = 0.4
"""What a byte of logs takes of the volume, with its metadata, by Loki's own compression, gzip: measured were 0.29 for the
router's lines of requests, whose ids are random, and 0.43 for words in random order, which no server's log is."""
USED = 0.8
"""Of a volume is planned with; the rest is for what is not compressed yet, and for days that are busier."""
_USERNAME = re.compile(r"[^\s:]{1,128}")
_TENANT = re.compile(r"[A-Za-z0-9!_.*'()-]{1,150}")


class ExternalLogs(TypedDict):
    """A Loki that exists."""

    url: str
    """Its base address, such as `http://loki-gateway.logs.svc`."""
    username: NotRequired[str]
    """Who clients say they are. Default `slipway`; goes with `password`."""
    password: NotRequired[SecretKeyRef]
    """The Secret with its password: in the stack's namespace for Grafana, and of the same name in the agent's. Default: it asks
    for none."""
    tenant: NotRequired[str]
    """Whose logs they are, sent as `X-Scope-OrgID`. Default: nothing is sent, as for one without tenants."""
    egress: NotRequired[Egress]
    """How network policies let out to it. They see the pods' port, which may not be the Service's. Default: the address' port, at
    all pods of the namespace that it names (`NAME.NAMESPACE.svc`), or else at any address."""


class LogsArgs(TypedDict):
    """A Loki for what the pods of the watched namespaces write, or one that exists, and the agents that read it there."""

    external: NotRequired[ExternalLogs]
    """Make no Loki, and use one that exists. Excludes everything else here but `agent`. Default: one is made."""
    retention_days: NotRequired[int]
    """How long lines are kept, in days. Default 14; at least 1."""
    daily_gib: NotRequired[float]
    """How much is written in a day, in GiB, before compression. Default 5. What is kept of it must fit the volume."""
    storage_gib: NotRequired[int]
    """Volume for the lines, in GiB. Default 50; at least 1. A change replaces the server: Kubernetes takes no change of a
    StatefulSet's volumes. Loki deletes by age and not by size: a full volume takes no more lines."""
    storage_class: NotRequired[pulumi.Input[str]]
    """Storage class of that volume. Default: the cluster's."""
    image: NotRequired[pulumi.Input[str]]
    """Loki's image, with a version as tag or a digest. Default: release 3.7."""
    proxy_image: NotRequired[pulumi.Input[str]]
    """Image of the nginx that asks for passwords, which Loki does not. Default: release 1.28 for users without privileges."""
    resources: NotRequired[ComputeResources]
    """CPU and memory of Loki. Default: requests of 250m and 512Mi, limits of 2 and 2Gi."""
    allow_from: NotRequired[Sequence[Peer]]
    """Who may connect to its port 3100, beside this stack's own parts; they need a password too. Default: nobody."""
    agent: NotRequired[LogAgentArgs]
    """What reads the logs on every node. Default: a collector in a namespace of its own."""


@dataclass(frozen=True)
class External:
    """The Loki that exists, with every default filled in."""

    url: str
    username: str
    password: SecretKeyRef | None
    tenant: str | None
    egress: Sequence[Egress]


@dataclass(frozen=True)
class LogsSettings:
    """The arguments about logs, with every default filled in."""

    external: External | None
    retention_days: int
    daily_gib: float
    storage_gib: int
    storage_class: pulumi.Input[str] | None
    image: pulumi.Input[str]
    proxy_image: pulumi.Input[str]
    resources: k8s.core.v1.ResourceRequirementsArgsDict
    allow_from: Sequence[Peer]
    agent: LogAgentSettings | None
    """None where the cluster has its own."""

    @classmethod
    def of(cls, name: str, given: object, taken: Sequence[object], faults: Faults) -> "LogsSettings | None":
        """Tells of its faults below the path `logs`. None where there is no such argument.

        Args:
            name: Name of the stack.
            given: The argument.
            taken: Namespaces that are not the agent's own.
            faults: Where to tell what is wrong.
        """
        if not isinstance(given, Mapping):
            return None
        path = "logs"
        every = cast("Mapping[str, Any]", given)
        fit: dict[str, Any] = {k: v for k, v in every.items() if not faults.at(f"{path}.{k}")}
        external = _external(f"{path}.external", fit.get("external"), faults)
        if "external" in every:
            for key in every.keys() - {"external", "agent"}:
                faults.add(f"{path}.{key}", "does nothing with 'external', where no Loki runs here; leave one out")
        known(fit.get("image"), lambda plain: check_image(f"{path}.image", plain, faults))
        known(fit.get("proxy_image"), lambda plain: check_image(f"{path}.proxy_image", plain, faults))
        known(fit.get("storage_class"), lambda plain: check_object_name(f"{path}.storage_class", plain, faults))
        allow_from = cast("Sequence[Peer]", fit.get("allow_from", ()))
        for i, peer in enumerate(allow_from):
            check_peer(f"{path}.allow_from[{i}]", peer, faults)
        days, daily, storage = fit.get("retention_days", 14), fit.get("daily_gib", 5.0), fit.get("storage_gib", 50)
        _check_fit(path, days, daily, storage, faults)
        return cls(
            external=external,
            retention_days=days,
            daily_gib=daily,
            storage_gib=storage,
            storage_class=fit.get("storage_class"),
            image=fit.get("image", IMAGE),
            proxy_image=fit.get("proxy_image", PROXY_IMAGE),
            resources=quantity.fill(f"{path}.resources", fit.get("resources", {}), RESOURCES, faults),
            allow_from=allow_from,
            agent=LogAgentSettings.of(f"{path}.agent", name, fit.get("agent", {}), taken, faults),
        )


def _check_fit(path: str, days: int, daily: float, storage: int, faults: Faults) -> None:
    """Refuse what the volume cannot keep."""
    if days < 1:
        faults.add(f"{path}.retention_days", f"is {days}; give 1 day or more")
    if not daily > 0:
        faults.add(f"{path}.daily_gib", f"is {daily:g}; give more than 0")
    if storage < 1:
        faults.add(f"{path}.storage_gib", f"is {storage}; give 1 GiB or more")
    # Another day goes by before what is too old is gone.
    needed = (days + 1) * daily * STORED
    least = math.ceil(round(needed / USED, 6))
    if days >= 1 and daily > 0 and 1 <= storage < least:
        faults.add(
            f"{path}.storage_gib",
            f"is {storage}, of which {USED:.0%} = {storage * USED:g} GiB are planned with, but {days} + 1 days of {daily:g} GiB,"
            f" compressed to {STORED:.0%}, are {needed:g} GiB; give {least} or more, fewer 'retention_days' or less 'daily_gib'",
        )


def _external(path: str, given: object, faults: Faults) -> External | None:
    if not isinstance(given, Mapping):
        return None
    fit: dict[str, Any] = {k: v for k, v in cast("Mapping[str, Any]", given).items() if not faults.at(f"{path}.{k}")}
    url: str = fit.get("url", "")
    if "url" in fit and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", url):
        faults.add(f"{path}.url", f"is {url!r}; give an address such as 'http://loki-gateway.logs.svc'")
    if "password" in fit:
        check_reference(f"{path}.password", fit["password"], faults)
    elif "username" in fit:
        faults.add(f"{path}.username", "goes with 'password'; give that too, or leave it out")
    if not _USERNAME.fullmatch(fit.get("username", "x")):
        faults.add(f"{path}.username", f"is {fit['username']!r}; give a name without spaces and ':'")
    if not _TENANT.fullmatch(fit.get("tenant", "x")):
        faults.add(f"{path}.tenant", f"is {fit['tenant']!r}; give letters, digits and !_.*'()-, at most 150, as Loki takes them")
    if "egress" in fit:
        check_egress(f"{path}.egress", fit["egress"], faults)
    return External(
        url=url.rstrip("/"),
        username=fit.get("username", "slipway"),
        password=fit.get("password"),
        tenant=fit.get("tenant"),
        egress=[fit["egress"]] if "egress" in fit else telemetry_egress({"otel": {"endpoint": url}}),
    )
