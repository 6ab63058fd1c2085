"""The logs of a stack: a Loki, its own or one that exists, the agents that send to it, and Grafana's way to ask it."""

from collections.abc import Sequence
from typing import Any

import pulumi

from slipway.kubernetes import restricted
from slipway.kubernetes.network import Peer
from slipway.kubernetes.observability import log_agent, loki
from slipway.kubernetes.observability.data_sources import LOKI, DataSource, loki_source, variable
from slipway.kubernetes.observability.logs_args import External, LogsSettings
from slipway.kubernetes.observability.part import Place, address
from slipway.kubernetes.observability.passwords import PASSWORD_KEY, USERNAME
from slipway.kubernetes.observability.watched import Watched


def make_logs(
    place: Place, settings: LogsSettings, watched: pulumi.Output[list[Watched]], askers: Sequence[Peer], traces: bool
) -> tuple[pulumi.Output[str], pulumi.Output[str], DataSource]:
    """Make what is asked for.

    Args:
        place: Where.
        settings: What was asked for.
        watched: Whose namespaces' logs are read.
        askers: This stack's own parts that ask Loki.
        traces: Whether Grafana knows a Tempo.

    Returns:
        The address of Loki, the name of the Secret with its passwords, and Grafana's data source.
    """
    if settings.external is not None:
        return _external(place, settings, settings.external, watched, traces)
    senders: list[Peer] = []
    if settings.agent is not None:
        labels = restricted.selector(log_agent.APP, place.name)
        senders.append({"namespace": settings.agent.namespace, "pod_labels": labels})
    secret = loki.make_loki(place, settings, askers, senders)
    url = address(loki.ROLE, place, loki.PORT)
    ways = loki.way_to(place)
    if settings.agent is not None:
        held = f"{place.name}-{log_agent.ROLE}-auth"
        to = log_agent.Destination(url, loki.PUSH_USERNAME, held, loki.PUSH_KEY, None, ways)
        log_agent.make_agent(place, settings.agent, watched, to, loki.push_password(secret))
    name = pulumi.Output.from_input(f"{place.name}-{loki.ROLE}-auth")
    told = url.apply(lambda where: loki_source(where, USERNAME, None, traces))
    return url, name, DataSource(told, ways, {variable(LOKI): (name, PASSWORD_KEY)})


def _external(
    place: Place, settings: LogsSettings, there: External, watched: pulumi.Output[list[Watched]], traces: bool
) -> tuple[pulumi.Output[str], pulumi.Output[str], DataSource]:
    held = there.password
    if settings.agent is not None:
        name, key = (None, "") if held is None else (held["name"], held["key"])
        to = log_agent.Destination(there.url, there.username, name, key, there.tenant, there.egress)
        log_agent.make_agent(place, settings.agent, watched, to, None)
    told: dict[str, Any] = loki_source(there.url, None if held is None else there.username, there.tenant, traces)
    password = {} if held is None else {variable(LOKI): (held["name"], held["key"])}
    return pulumi.Output.from_input(there.url), pulumi.Output.from_input(""), DataSource(told, there.egress, password)
