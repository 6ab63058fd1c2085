"""Dashboards for Grafana, made with its own SDK: one for each service."""

import json
from collections.abc import Sequence

from slipway.kubernetes.observability.data_sources import ELASTICSEARCH, LOKI, PROMETHEUS
from slipway.kubernetes.observability.log_index import LEVEL
from slipway.kubernetes.observability.log_queries import levels_query, lines_query, lucene_query
from slipway.kubernetes.observability.objectives import Promise
from slipway.kubernetes.observability.panel import Panel
from slipway.kubernetes.observability.panels import panels
from slipway.kubernetes.observability.watched import Watched

try:
    from grafana_foundation_sdk.builders import common, dashboard, elasticsearch, loki, prometheus, timeseries
    from grafana_foundation_sdk.builders import logs as logs_panel
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.common import GraphThresholdsStyleMode
    from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode
except ImportError as error:
    raise ImportError(
        "ObservabilityStack needs grafana-foundation-sdk; install it with: pip install 'slipway[observability]'"
    ) from error

_SOURCE = DataSourceRef(type_val="prometheus", uid=PROMETHEUS)


def dashboards(services: Sequence[Watched], promise: Promise, logs: str | None = None) -> dict[str, str]:
    """The dashboards by name of their file.

    Args:
        services: What is shown.
        promise: What it is measured by.
        logs: What has its lines, `LOKI` or `ELASTICSEARCH`; None where nothing has.
    """
    return {f"{service.namespace}-{service.name}.json": _dashboard(service, promise, logs) for service in services}


def _dashboard(service: Watched, promise: Promise, logs: str | None) -> str:
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
    if logs is not None:
        asked = _LOGS[logs](service)
        made.with_panel(_levels(logs, asked[0])).with_panel(_lines(logs, asked[1]))
    return json.dumps(made.build(), cls=JSONEncoder, sort_keys=True, indent=1)


def _of_loki(service: Watched) -> tuple[loki.Dataquery, loki.Dataquery]:
    """Lines by level, and the lines."""
    levels = loki.Dataquery().expr(levels_query(service)).legend_format("{{detected_level}}").datasource(_ref(LOKI))
    return levels, loki.Dataquery().expr(lines_query(service)).datasource(_ref(LOKI))


def _of_elasticsearch(service: Watched) -> tuple[elasticsearch.Dataquery, elasticsearch.Dataquery]:
    """The same."""

    def asked() -> elasticsearch.Dataquery:
        made = elasticsearch.Dataquery().query(lucene_query(service)).time_field("@timestamp")
        return made.datasource(_ref(ELASTICSEARCH))

    by_level = (
        elasticsearch.Terms()
        .id("2")
        .field(LEVEL)
        .settings(elasticsearch.ElasticsearchTermsSettings().size("10").missing("unknown"))
    )
    by_time = elasticsearch.DateHistogram().id("3").field("@timestamp")
    rate = elasticsearch.Count().id("1")
    levels = asked().metrics([rate]).bucket_aggs([by_level, by_time]).alias(f"{{{{term {LEVEL}}}}}")
    return levels, asked().metrics([elasticsearch.Logs().id("1")])


_LOGS = {LOKI: _of_loki, ELASTICSEARCH: _of_elasticsearch}


def _ref(kind: str) -> DataSourceRef:
    return DataSourceRef(type_val=kind, uid=kind)


def _levels(kind: str, asked: loki.Dataquery | elasticsearch.Dataquery) -> timeseries.Panel:
    return (
        timeseries.Panel()
        .title("Lines of logs")
        .description("A second, by level." if kind == LOKI else "In each interval, by level.")
        .datasource(_ref(kind))
        .unit("short")
        .height(8)
        .span(8)
        .with_target(asked)
    )


def _lines(kind: str, asked: loki.Dataquery | elasticsearch.Dataquery) -> logs_panel.Panel:
    return (
        logs_panel.Panel()
        .title("Logs")
        .description("A line's `request_id` and `trace_id` lead to all other lines with the same.")
        .datasource(_ref(kind))
        .height(12)
        .span(24)
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
        .with_target(asked)
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
