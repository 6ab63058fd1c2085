"""What can be said about the Alertmanager of an ObservabilityStack."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NotRequired, TypedDict, cast
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, known
from slipway.backend import Egress, SecretKeyRef
from slipway.kubernetes import quantity
from slipway.kubernetes.names import check_image, check_object_name
from slipway.kubernetes.network import anywhere, check_egress
from slipway.kubernetes.observability.operator_args import check_url
from slipway.kubernetes.quantity import ComputeResources

IMAGE = "prom/alertmanager:v0.28.1"
RESOURCES: ComputeResources = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?")


class ReceiverKind(StrEnum):
    """What an alert is sent to."""

    SLACK = "slack"
    """A channel of Slack's; the Secret has the webhook's address."""
    PAGERDUTY = "pagerduty"
    """PagerDuty's Events API v2; the Secret has the integration key."""
    WEBHOOK = "webhook"
    """Any address, which gets Alertmanager's JSON; the Secret has the address."""


class AlertReceiver(TypedDict):
    """Who is told."""

    name: str
    """Lower case letters, digits and '-'; unique."""
    kind: ReceiverKind
    """'slack', 'pagerduty' or 'webhook'."""
    secret: SecretKeyRef
    """The Secret in the stack's namespace with the address or key. It must exist."""
    channel: NotRequired[str]
    """Slack's channel, such as `#alerts`. Required by 'slack', refused by the others."""
    severities: NotRequired[Sequence[str]]
    """Which alerts: 'page', 'ticket'. Default: both."""


class AlertmanagerArgs(TypedDict):
    """The Alertmanager that tells people."""

    url: NotRequired[str]
    """Make none, and tell one that exists, at this base address, such as `http://alertmanager.monitoring.svc:9093`; it must not
    ask for a password. Excludes everything else here but `egress`. Default: one is made."""
    receivers: NotRequired[Sequence[AlertReceiver]]
    """Who is told. Default: nobody; alerts are to be seen in Prometheus and Alertmanager only."""
    repeat_hours: NotRequired[int]
    """How often an alert that goes on is told again, in hours. Default 12; 1 to 168."""
    egress: NotRequired[Sequence[Egress]]
    """Where it may connect to. Default: port 443 of every address where there are receivers, else nowhere. With `url`, where
    Prometheus may connect to for it; by default its port, of every address."""
    image: NotRequired[pulumi.Input[str]]
    """Its image, with a version as tag or a digest. Default: release 0.28."""
    storage_gib: NotRequired[int]
    """Volume for silences and what was told already, in GiB; at least 1. Default 1. A change replaces the server."""
    storage_class: NotRequired[pulumi.Input[str]]
    """Storage class of that volume. Default: the cluster's."""
    resources: NotRequired[ComputeResources]
    """CPU and memory. Default: requests of 50m and 64Mi, limits of 500m and 256Mi."""


@dataclass(frozen=True)
class AlertmanagerSettings:
    """The same, with every default filled in."""

    url: str | None
    receivers: Sequence[AlertReceiver]
    repeat_hours: int
    egress: Sequence[Egress]
    image: pulumi.Input[str]
    storage_gib: int
    storage_class: pulumi.Input[str] | None
    resources: k8s.core.v1.ResourceRequirementsArgsDict

    @classmethod
    def of(cls, given: Mapping[str, Any], faults: Faults) -> "AlertmanagerSettings":
        """Tells of its faults below the path `alertmanager`."""
        path = "alertmanager"
        fit = {key: value for key, value in given.items() if not faults.at(f"{path}.{key}")}
        receivers = cast("Sequence[AlertReceiver]", fit.get("receivers", ()))
        url: str | None = fit.get("url")
        usual = anywhere(443) if receivers else []
        if url is not None:
            for key in given.keys() - {"url", "egress"}:
                faults.add(f"{path}.{key}", "does nothing with 'url', where no Alertmanager runs here; leave one out")
            check_url(f"{path}.url", url, faults, "http://alertmanager.monitoring.svc:9093")
            where = urlsplit(url)
            usual = [] if faults.at(f"{path}.url") else anywhere(where.port or (80 if where.scheme == "http" else 443))
        for i, receiver in enumerate(receivers):
            _check_receiver(f"{path}.receivers[{i}]", receiver, [r["name"] for r in receivers[:i]], faults)
        known(fit.get("image"), lambda plain: check_image(f"{path}.image", plain, faults))
        known(fit.get("storage_class"), lambda plain: check_object_name(f"{path}.storage_class", plain, faults))
        storage, repeat = fit.get("storage_gib", 1), fit.get("repeat_hours", 12)
        if storage < 1:
            faults.add(f"{path}.storage_gib", f"is {storage}; give 1 GiB or more")
        if not 1 <= repeat <= 168:
            faults.add(f"{path}.repeat_hours", f"is {repeat}; give 1 to 168 hours")
        egress = cast("Sequence[Egress]", fit.get("egress", usual))
        for i, way in enumerate(egress):
            check_egress(f"{path}.egress[{i}]", way, faults)
        return cls(
            url=url,
            receivers=receivers,
            repeat_hours=repeat,
            egress=egress,
            image=fit.get("image", IMAGE),
            storage_gib=storage,
            storage_class=fit.get("storage_class"),
            resources=quantity.fill(f"{path}.resources", fit.get("resources", {}), RESOURCES, faults),
        )


def _check_receiver(here: str, receiver: AlertReceiver, before: Sequence[str], faults: Faults) -> None:
    if not _NAME.fullmatch(receiver["name"]):
        faults.add(f"{here}.name", f"is {receiver['name']!r}; give lower case letters, digits and '-', at most 42")
    elif receiver["name"] in before:
        faults.add(f"{here}.name", f"is {receiver['name']!r}, as is that of another; name each once")
    known(receiver["secret"]["name"], lambda plain: check_object_name(f"{here}.secret.name", plain, faults))
    if (receiver["kind"] is ReceiverKind.SLACK) != ("channel" in receiver):
        told = "is required by 'slack'; give a channel such as '#alerts'"
        if "channel" in receiver:
            told = f"goes with 'slack', and this is '{receiver['kind'].value}'; leave it out"
        faults.add(f"{here}.channel", told)
    severities = receiver.get("severities", ("page",))
    for i, severity in enumerate(severities):
        if severity not in ("page", "ticket"):
            faults.add(f"{here}.severities[{i}]", f"is {severity!r}; give 'page' or 'ticket'")
    if not severities:
        faults.add(f"{here}.severities", "is empty, so nobody would be told; give 'page', 'ticket' or both")
