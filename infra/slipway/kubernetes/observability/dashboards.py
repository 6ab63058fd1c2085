"""Dashboards for Grafana, made with its own SDK: one for each service."""

import json
from collections.abc import Sequence

from slipway.kubernetes.observability.data_sources import LOKI, PROMETHEUS
from slipway.kubernetes.observability.log_queries import levels_query, lines_query
from slipway.kubernetes.observability.objectives import Promise
from slipway.kubernetes.observability.panel import Panel
from slipway.kubernetes.observability.panels import panels
from slipway.kubernetes.observability.watched import Watched

try:
    from grafana_foundation_sdk.builders import common, dashboard, loki, prometheus, timeseries
    from grafana_foundation_sdk.builders import logs as logs_panel
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.common import GraphThresholdsStyleMode
    from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode
except ImportError as error:
    raise ImportError(
        "ObservabilityStack needs grafana-foundation-sdk; install it with: pip install 'slipway[observability]'"
    ) from error

_SOURCE = DataSourceRef(type_val="prometheus", uid=PROMETHEUS)
_LOGS = DataSourceRef(type_val="loki", uid=LOKI)


def dashboards(services: Sequence[Watched], promise: Promise, logs: bool = False) -> dict[str, str]:
    """The dashboards by name of their file.

    Args:
        services: What is shown.
        promise: What it is measured by.
        logs: Whether there is a Loki that has its lines.
    """
    return {f"{service.namespace}-{service.name}.json": _dashboard(service, promise, logs) for service in services}


def _dashboard(service: Watched, promise: Promise, logs: bool) -> str:
    made = (
        dashboard.Dashboard(f"{service.name} ({service.kind.value}, {service.namespace})")
        # Grafana takes 40 characters of an id; the title tells more.
        .uid(f"slipway-{service.namespace}-{service.name}"[:40])
        .tags(["slipway", service.kind.value])
        .time("now-6h", "now")
        .refresh("1m")
        .readonly()
    )
    for panel in panels(service, promise):
        made.with_panel(_panel(panel))
    if logs:
        made.with_panel(_levels(service)).with_panel(_lines(service))
    return json.dumps(made.build(), cls=JSONEncoder, sort_keys=True, indent=1)


def _levels(service: Watched) -> timeseries.Panel:
    asked = loki.Dataquery().expr(levels_query(service)).legend_format("{{detected_level}}").datasource(_LOGS)
    return (
        timeseries.Panel()
        .title("Lines of logs")
        .description("A second, by level.")
        .datasource(_LOGS)
        .unit("short")
        .height(8)
        .span(8)
        .with_target(asked)
    )


def _lines(service: Watched) -> logs_panel.Panel:
    return (
        logs_panel.Panel()
        .title("Logs")
        .description("A line's `request_id` and `trace_id` lead to all other lines with the same.")
        .datasource(_LOGS)
        .height(12)
        .span(24)
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
        .with_target(loki.Dataquery().expr(lines_query(service)).datasource(_LOGS))
    )


def _panel(panel: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .height(8)
        .span(8)
    )
    for question in panel.questions:
        made.with_target(prometheus.Dataquery().expr(question.expr).legend_format(question.legend).datasource(_SOURCE))
    if panel.target is not None:
        steps = [Threshold(value=None, color="green"), Threshold(value=panel.target, color="red")]
        made.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        made.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.LINE))
    return made
