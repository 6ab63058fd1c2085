"""The logs of a stack: a Loki or an Elasticsearch, its own or one that exists, the agents that send to it, and Grafana's way to
ask it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from slipway.backend import Egress
from slipway.kubernetes import restricted
from slipway.kubernetes.network import Peer
from slipway.kubernetes.observability import elasticsearch, elasticsearch_setup, filebeat, kibana, log_agent, loki
from slipway.kubernetes.observability.data_sources import (
    ELASTICSEARCH,
    LOKI,
    DataSource,
    elasticsearch_source,
    loki_source,
    variable,
)
from slipway.kubernetes.observability.generated import held
from slipway.kubernetes.observability.logs_args import External, LogsSettings
from slipway.kubernetes.observability.logs_kind import LogsKind
from slipway.kubernetes.observability.part import Place, address
from slipway.kubernetes.observability.passwords import PASSWORD_KEY, PUSH_KEY, PUSH_USERNAME, USERNAME
from slipway.kubernetes.observability.watched import Watched

SOURCES: Mapping[LogsKind, str] = {LogsKind.LOKI: LOKI, LogsKind.ELASTICSEARCH: ELASTICSEARCH}
"""What Grafana calls each."""
_PROGRAMS = {LogsKind.LOKI: log_agent.COLLECTOR, LogsKind.ELASTICSEARCH: filebeat.FILEBEAT}


@dataclass(frozen=True)
class Logs:
    """What was made."""

    url: pulumi.Output[str]
    secret: pulumi.Output[str]
    """Name of the Secret with its passwords; empty for one that exists."""
    source: DataSource
    kibana_url: pulumi.Output[str]
    """Empty where there is none."""


def make_logs(
    place: Place, settings: LogsSettings, watched: pulumi.Output[list[Watched]], askers: Sequence[Peer], traces: bool
) -> Logs:
    """Make what is asked for.

    Args:
        place: Where.
        settings: What was asked for.
        watched: Whose namespaces' logs are read.
        askers: This stack's own parts that ask.
        traces: Whether Grafana knows a Tempo.
    """
    nothing = pulumi.Output.from_input("")
    if settings.external is not None:
        url, source = _external(place, settings, settings.external, watched, traces)
        return Logs(url, nothing, source, nothing)
    senders: list[Peer] = []
    if settings.agent is not None:
        labels = restricted.selector(log_agent.APP, place.name)
        senders.append({"namespace": settings.agent.namespace, "pod_labels": labels})
    shown = nothing
    if settings.kind is LogsKind.LOKI:
        role, port, ways = loki.ROLE, loki.PORT, loki.way_to(place)
        secret = loki.make_loki(place, settings, askers, senders)
        url = address(role, place, port)
    else:
        role, port, ways = elasticsearch.ROLE, elasticsearch.PORT, elasticsearch.way_to(place)
        url = address(role, place, port)
        own = [elasticsearch_setup.peer(place), *([] if settings.kibana is None else [kibana.asker(place)])]
        secret, server = elasticsearch.make_elasticsearch(place, settings, [*askers, *senders, *own])
        elasticsearch_setup.make_setup(place, settings, secret, server)
        if settings.kibana is not None:
            kibana.make_kibana(place, settings.kibana, url, secret, server)
            shown = address(kibana.ROLE, place, kibana.PORT)
    if settings.agent is not None:
        there = f"{place.name}-{log_agent.ROLE}-auth"
        to = log_agent.Destination(url, PUSH_USERNAME, there, PUSH_KEY, None, ways)
        log_agent.make_agent(place, _PROGRAMS[settings.kind], settings.agent, watched, to, held(secret, PUSH_KEY))
    name = pulumi.Output.from_input(f"{place.name}-{role}-auth")
    source = _source(settings.kind, url, USERNAME, None, traces, ways, (name, PASSWORD_KEY))
    return Logs(url, name, source, shown)


def _external(
    place: Place, settings: LogsSettings, there: External, watched: pulumi.Output[list[Watched]], traces: bool
) -> tuple[pulumi.Output[str], DataSource]:
    password = None if there.password is None else (there.password["name"], there.password["key"])
    if settings.agent is not None:
        name, key = (None, "") if password is None else password
        to = log_agent.Destination(there.url, there.username, name, key, there.tenant, there.egress)
        log_agent.make_agent(place, _PROGRAMS[settings.kind], settings.agent, watched, to, None)
    url = pulumi.Output.from_input(there.url)
    username = None if password is None else there.username
    return url, _source(settings.kind, url, username, there.tenant, traces, there.egress, password)


def _source(
    kind: LogsKind,
    url: pulumi.Output[str],
    username: str | None,
    tenant: str | None,
    traces: bool,
    ways: Sequence[Egress],
    password: tuple[pulumi.Input[str], str] | None,
) -> DataSource:
    def told(where: str) -> dict[str, Any]:
        if kind is LogsKind.LOKI:
            return loki_source(where, username, tenant, traces)
        return elasticsearch_source(where, username, traces)

    return DataSource(url.apply(told), ways, {} if password is None else {variable(SOURCES[kind]): password})
