"""What Grafana asks, as it is told of it when it starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

from slipway.backend import Egress
from slipway.kubernetes.observability.log_index import INDEX, LEVEL
from slipway.kubernetes.observability.passwords import USERNAME

PROMETHEUS, LOKI, ELASTICSEARCH, TEMPO = "prometheus", "loki", "elasticsearch", "tempo"
"""What Grafana calls them: dashboards ask by these."""


@dataclass(frozen=True)
class DataSource:
    """One of them, and the way there."""

    told: pulumi.Input[Mapping[str, Any]]
    """As Grafana's provisioning has it."""
    egress: Sequence[Egress]
    password: Mapping[str, tuple[pulumi.Input[str], str]] = field(default_factory=dict[str, tuple[pulumi.Input[str], str]])
    """The variable that Grafana has its password in, with the Secret and the key; none where there is no password."""


def prometheus_source(url: str, username: str | None = USERNAME) -> dict[str, Any]:
    """A Prometheus, by default the stack's own.

    Args:
        url: Its base address.
        username: Who asks; None where it asks for no password.
    """
    return {**_source("Prometheus", PROMETHEUS, url, username), "isDefault": True}


def loki_source(url: str, username: str | None, tenant: str | None, traces: bool) -> dict[str, Any]:
    """A Loki.

    Args:
        url: Its base address.
        username: Who asks; None where it asks for no password.
        tenant: Whose logs.
        traces: Whether there is a Tempo.
    """
    made = _source("Loki", LOKI, url, username)
    fields = [_field(name.removesuffix("_id"), name, LOKI, _every(name), title) for name, title in _LINKS.items()]
    if traces:
        fields.append(_field("spans", "trace_id", TEMPO, "$${__value.raw}", "The trace"))
    told: dict[str, Any] = {"derivedFields": fields}
    made["jsonData"] = told
    if tenant is not None:
        told["httpHeaderName1"] = "X-Scope-OrgID"
        made.setdefault("secureJsonData", {})["httpHeaderValue1"] = tenant.replace("$", "$$")
    return made


def elasticsearch_source(url: str, username: str | None, traces: bool) -> dict[str, Any]:
    """An Elasticsearch.

    Args:
        url: Its base address.
        username: Who asks; None where it asks for no password.
        traces: Whether there is a Tempo.
    """
    made = _source("Elasticsearch", ELASTICSEARCH, url, username)
    links = [_link(name, ELASTICSEARCH, f'{name}:"$${{__value.raw}}"', title) for name, title in _LINKS.items()]
    if traces:
        links.append(_link("trace_id", TEMPO, "$${__value.raw}", "The trace"))
    made["jsonData"] = {
        "index": INDEX,
        "timeField": "@timestamp",
        "logMessageField": "message",
        "logLevelField": LEVEL,
        "dataLinks": links,
    }
    return made


def tempo_source(url: str, logs: str | None) -> dict[str, Any]:
    """A Tempo.

    Args:
        url: Address of its API.
        logs: What has lines of logs, `LOKI` or `ELASTICSEARCH`; None where nothing has.
    """
    made = _source("Tempo", TEMPO, url, None)
    if logs is not None:
        wanted = {LOKI: f"{_SOME} | trace_id=`$${{__trace.traceId}}`", ELASTICSEARCH: 'trace_id:"$${__trace.traceId}"'}
        made["jsonData"] = {"tracesToLogsV2": {"datasourceUid": logs, "customQuery": True, "query": wanted[logs]}}
    return made


_SOME = '{k8s_namespace_name=~".+"}'
"""Loki wants a label of which something is asked."""
_LINKS = {"request_id": "All lines of the request", "trace_id": "All lines of the trace"}
"""Beside a line."""


def _source(name: str, kind: str, url: str, username: str | None) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "uid": kind, "type": kind, "access": "proxy", "url": url, "editable": False}
    if username is None:
        return made
    # Grafana takes it from its environment.
    password = {"basicAuthPassword": f"${variable(kind)}"}
    return {**made, "basicAuth": True, "basicAuthUser": username, "secureJsonData": password}


def variable(kind: str) -> str:
    """Of Grafana's environment, with the password of a data source."""
    return f"{kind.upper()}_PASSWORD"


def _every(field_name: str) -> str:
    # Grafana puts variables of its environment in after a '$', unless there are two.
    return f"{_SOME} | {field_name}=`$${{__value.raw}}`"


def _field(name: str, label: str, asked: str, query: str, title: str) -> dict[str, Any]:
    """A link beside a line that has this in its metadata."""
    return {
        "name": name,
        "matcherType": "label",
        "matcherRegex": label,
        "datasourceUid": asked,
        "url": query,
        "urlDisplayLabel": title,
    }


def _link(name: str, asked: str, query: str, title: str) -> dict[str, Any]:
    """The same, beside a line of Elasticsearch's."""
    return {"field": name, "datasourceUid": asked, "url": query, "urlDisplayLabel": title}
