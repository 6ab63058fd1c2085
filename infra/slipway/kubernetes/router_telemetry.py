"""What the router tells of its requests in a cluster, and its way out to the collector."""

import re
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict, cast
from urllib.parse import urlsplit

from slipway.args import Faults
from slipway.backend import Egress, SecretKeyRef
from slipway.kubernetes.network import anywhere, check_egress
from slipway.kubernetes.secret_env import check_reference

TOKEN_ENV = "SLIPWAY_OTLP_TOKEN"  # noqa: S105 -- a variable's name
_IN_CLUSTER = re.compile(r"[^.]+\.([^.]+)\.svc(\.cluster\.local)?")


class RouterLogs(TypedDict):
    """The router's log; see `slipway_router.telemetry.settings.LogSettings`."""

    format: NotRequired[str]
    """'text' or 'json'. Default 'json'."""
    level: NotRequired[str]
    """'debug', 'info', 'warning' or 'error'. Default 'info'."""
    requests: NotRequired[bool]
    """Whether each request is a line. Default false."""


class RouterOtel(TypedDict):
    """Where OpenTelemetry's spans and metrics go; see `slipway_router.telemetry.settings.OtelSettings`."""

    endpoint: str
    """Base address of a collector that takes OTLP over HTTP, such as `http://otel-collector.monitoring.svc:4318`."""
    egress: NotRequired[Egress]
    """How the network policy lets the pods out to it. Policies see the pods' port, which may not be the Service's. Default: the
    endpoint's port, at all pods of the namespace that it names (`NAME.NAMESPACE.svc`), or else at any address."""
    token: NotRequired[SecretKeyRef]
    """Secret that holds what is sent as `Authorization: Bearer`. Default: nothing is sent."""
    service_name: NotRequired[str]
    """The resource's `service.name`. Default: this service's name."""
    traces: NotRequired[bool]
    """Whether spans are told. Default true."""
    sample: NotRequired[float]
    """Share of the requests whose spans are told, where the client does not decide; 0 to 1. Default 0.1."""
    follow_parent: NotRequired[bool]
    """Whether a client's `traceparent` decides. Default true."""
    content: NotRequired[bool]
    """Whether spans hold what clients wrote. Default false."""
    metrics: NotRequired[bool]
    """Whether metrics are told. Default true."""
    interval_seconds: NotRequired[float]
    """How often metrics are told. Default 30."""


class RouterTelemetry(TypedDict):
    """What the router tells of itself, beside the metrics that Prometheus reads."""

    most_keys: NotRequired[int]
    """How many keys the metrics tell apart; all others count as 'other'. Default 1000."""
    logs: NotRequired[RouterLogs]
    """The log. Default: JSON, no line for each request."""
    otel: NotRequired[RouterOtel]
    """OpenTelemetry. Default: none."""


def check_telemetry(path: str, telemetry: RouterTelemetry, faults: Faults) -> None:
    """Refuse what the router's own schema does not see: Secrets and ways out."""
    otel = telemetry.get("otel")
    if otel is None or faults.at(f"{path}.otel"):
        return
    if "token" in otel:
        check_reference(f"{path}.otel.token", otel["token"], faults)
    if "egress" in otel:
        check_egress(f"{path}.otel.egress", otel["egress"], faults)


def telemetry_settings(name: str, telemetry: Mapping[str, Any]) -> dict[str, Any]:
    """What the router is told. Takes what is wrong as well, for the router's schema to say so.

    Args:
        name: The service's.
        telemetry: A `RouterTelemetry`, or what was meant as one.
    """
    told: dict[str, Any] = {"logs": {}, **telemetry}
    if isinstance(told["logs"], Mapping):
        told["logs"] = {"format": "json", **cast("Mapping[str, Any]", told["logs"])}
    otel: object = telemetry.get("otel")
    if isinstance(otel, Mapping):
        given = cast("Mapping[str, Any]", otel)
        own = {k: v for k, v in given.items() if k not in ("egress", "token")}
        told["otel"] = {"service_name": name, **own, **({"token_env": TOKEN_ENV} if "token" in given else {})}
    return told


def telemetry_egress(telemetry: RouterTelemetry | None) -> list[Egress]:
    """The way out to the collector."""
    otel = telemetry.get("otel") if telemetry is not None else None
    if otel is None:
        return []
    if "egress" in otel:
        return [otel["egress"]]
    try:
        parts = urlsplit(otel["endpoint"])
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:  # told by the router's schema
        return []
    found = _IN_CLUSTER.fullmatch(parts.hostname or "")
    return [{"port": port, "namespace": found[1], "pod_labels": {}}] if found else anywhere(port)
