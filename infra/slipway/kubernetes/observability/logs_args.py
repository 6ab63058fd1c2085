"""What can be said about the logs of an ObservabilityStack."""

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
from slipway.kubernetes.observability.kibana_args import KibanaArgs, KibanaSettings
from slipway.kubernetes.observability.log_agent_args import LogAgentArgs, LogAgentSettings
from slipway.kubernetes.observability.logs_kind import KEEPING, Keeping, LogsKind
from slipway.kubernetes.quantity import ComputeResources
from slipway.kubernetes.router_telemetry import telemetry_egress
from slipway.kubernetes.secret_env import check_reference
from slipway.quantities import parse

PROXY_IMAGE = "nginxinc/nginx-unprivileged:1.28.0"
LEAST_MIB = 1024
"""Memory of an Elasticsearch: less heap than half of it is not enough to start with."""
_USERNAME = re.compile(r"[^\s:]{1,128}")
_TENANT = re.compile(r"[A-Za-z0-9!_.*'()-]{1,150}")


class ExternalLogs(TypedDict):
    """A Loki or an Elasticsearch that exists."""

    url: str
    """Its base address, such as `http://loki-gateway.logs.svc`."""
    username: NotRequired[str]
    """Who clients say they are. Default `slipway`; goes with `password`."""
    password: NotRequired[SecretKeyRef]
    """The Secret with its password: in the stack's namespace for Grafana, and of the same name in the agent's. Default: it asks
    for none."""
    tenant: NotRequired[str]
    """Whose logs they are, sent as `X-Scope-OrgID`. Default: nothing is sent, as for a Loki without tenants. An Elasticsearch has
    none."""
    egress: NotRequired[Egress]
    """How network policies let out to it. They see the pods' port, which may not be the Service's. Default: the address' port, at
    all pods of the namespace that it names (`NAME.NAMESPACE.svc`), or else at any address."""


class LogsArgs(TypedDict):
    """A Loki, or an Elasticsearch with its Kibana, for what the pods of the watched namespaces write, or one that exists, and the
    agents that read it there."""

    kind: NotRequired[LogsKind]
    """What keeps the lines: 'loki' or 'elasticsearch'. A change makes another, and leaves what the first has kept to
    `deletion_policy`. Default 'loki'."""
    external: NotRequired[ExternalLogs]
    """Make none, and use one that exists. Excludes everything else here but `kind` and `agent`. Default: one is made."""
    retention_days: NotRequired[int]
    """How long lines are kept, in days. Default 14; at least 1."""
    daily_gib: NotRequired[float]
    """How much is written in a day, in GiB, before compression. Default 5, for an Elasticsearch 2. What is kept of it must fit
    the volume."""
    storage_gib: NotRequired[int]
    """Volume for the lines, in GiB. Default 50; at least 1. A change replaces the server: Kubernetes takes no change of a
    StatefulSet's volumes. Both delete by age and not by size: a full volume takes no more lines."""
    storage_class: NotRequired[pulumi.Input[str]]
    """Storage class of that volume. Default: the cluster's."""
    image: NotRequired[pulumi.Input[str]]
    """Its image, with a version as tag or a digest. Default: release 3.7 of Loki, or 9.5 of Elasticsearch."""
    proxy_image: NotRequired[pulumi.Input[str]]
    """Image of the nginx that asks for passwords, which Loki does not. Default: release 1.28 for users without privileges.
    Refused with an Elasticsearch, which asks for them itself."""
    resources: NotRequired[ComputeResources]
    """Its CPU and memory. Default: of Loki, requests of 250m and 512Mi, limits of 2 and 2Gi; of Elasticsearch, whose heap is
    half of the limit, requests of 500m and 4Gi, limits of 2 and 4Gi."""
    allow_from: NotRequired[Sequence[Peer]]
    """Who may connect to its port, 3100 of Loki, 9200 of Elasticsearch, beside this stack's own parts; they need a password too.
    Default: nobody."""
    kibana: NotRequired[KibanaArgs]
    """The Kibana beside an Elasticsearch. Default: one that nobody reaches but by `kubectl port-forward`. Refused with a Loki."""
    agent: NotRequired[LogAgentArgs]
    """What reads the logs on every node. Default: a collector, or for an Elasticsearch a Filebeat, in a namespace of its own."""


@dataclass(frozen=True)
class External:
    """The one that exists, with every default filled in."""

    url: str
    username: str
    password: SecretKeyRef | None
    tenant: str | None
    egress: Sequence[Egress]


@dataclass(frozen=True)
class LogsSettings:
    """The arguments about logs, with every default filled in."""

    kind: LogsKind
    external: External | None
    retention_days: int
    daily_gib: float
    storage_gib: int
    storage_class: pulumi.Input[str] | None
    image: pulumi.Input[str]
    proxy_image: pulumi.Input[str]
    resources: k8s.core.v1.ResourceRequirementsArgsDict
    allow_from: Sequence[Peer]
    kibana: KibanaSettings | None
    """None where there is none."""
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
        kind: LogsKind = fit.get("kind", LogsKind.LOKI)
        keeping = KEEPING[kind]
        external = _external(f"{path}.external", kind, fit.get("external"), faults)
        others = [] if faults.at(f"{path}.kind") else [key for key in keeping.without if key in every]
        for key in others:
            other = next(one for one in LogsKind if one is not kind)
            faults.add(
                f"{path}.{key}",
                f"goes with {KEEPING[other].title}; leave it out, or give 'kind': '{other.value}'",
            )
        if "external" in every:
            for key in every.keys() - {"kind", "external", "agent", *others}:
                faults.add(f"{path}.{key}", f"does nothing with 'external', where no {keeping.title} runs here; leave one out")
        known(fit.get("image"), lambda plain: check_image(f"{path}.image", plain, faults))
        known(fit.get("proxy_image"), lambda plain: check_image(f"{path}.proxy_image", plain, faults))
        known(fit.get("storage_class"), lambda plain: check_object_name(f"{path}.storage_class", plain, faults))
        allow_from = cast("Sequence[Peer]", fit.get("allow_from", ()))
        for i, peer in enumerate(allow_from):
            check_peer(f"{path}.allow_from[{i}]", peer, faults)
        days, storage = fit.get("retention_days", 14), fit.get("storage_gib", 50)
        daily = fit.get("daily_gib", 5.0 if kind is LogsKind.LOKI else 2.0)
        keeping.check_fit(path, days, daily, storage, faults)
        resources = _resources(f"{path}.resources", kind, keeping, fit.get("resources", {}), faults)
        kibana = KibanaSettings.of(f"{path}.kibana", fit.get("kibana"), faults) if kind is LogsKind.ELASTICSEARCH else None
        agent = fit.get("agent", {})
        image, needs = keeping.agent_image, keeping.agent_resources
        return cls(
            kind=kind,
            external=external,
            retention_days=days,
            daily_gib=daily,
            storage_gib=storage,
            storage_class=fit.get("storage_class"),
            image=fit.get("image", keeping.image),
            proxy_image=fit.get("proxy_image", PROXY_IMAGE),
            resources=resources,
            allow_from=allow_from,
            kibana=kibana,
            agent=LogAgentSettings.of(f"{path}.agent", name, agent, taken, faults, image=image, resources=needs),
        )


def _resources(
    path: str, kind: LogsKind, keeping: Keeping, given: ComputeResources, faults: Faults
) -> k8s.core.v1.ResourceRequirementsArgsDict:
    filled = quantity.fill(path, given, keeping.resources, faults)
    where = f"{path}.limits.memory"
    limits = cast("Mapping[str, str]", filled.get("limits", {}))
    if kind is LogsKind.ELASTICSEARCH and not faults.at(path) and parse(limits["memory"]) < LEAST_MIB * 2**20:
        faults.add(where, f"is '{limits['memory']}', half of which is Elasticsearch's heap; give '{LEAST_MIB // 1024}Gi' or more")
    return filled


def _external(path: str, kind: LogsKind, given: object, faults: Faults) -> External | None:
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
    if "tenant" in fit and kind is not LogsKind.LOKI:
        faults.add(f"{path}.tenant", "goes with Loki; leave it out, or give 'kind': 'loki'")
    elif not _TENANT.fullmatch(fit.get("tenant", "x")):
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
