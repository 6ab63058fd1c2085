"""Dashboards for Grafana, made with its own SDK: one for each service."""

import json
from collections.abc import Sequence

from slipway.kubernetes.observability.objectives import Promise
from slipway.kubernetes.observability.panel import Panel
from slipway.kubernetes.observability.panels import panels
from slipway.kubernetes.observability.watched import Watched

try:
    from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.common import GraphThresholdsStyleMode
    from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode
except ImportError as error:
    raise ImportError(
        "ObservabilityStack needs grafana-foundation-sdk; install it with: pip install 'slipway[observability]'"
    ) from error

DATA_SOURCE = "prometheus"
"""What Grafana calls the Prometheus that dashboards ask."""
_SOURCE = DataSourceRef(type_val="prometheus", uid=DATA_SOURCE)


def dashboards(services: Sequence[Watched], promise: Promise) -> dict[str, str]:
    """The dashboards by name of their file."""
    return {f"{service.namespace}-{service.name}.json": _dashboard(service, promise) for service in services}


def _dashboard(service: Watched, promise: Promise) -> str:
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
    return json.dumps(made.build(), cls=JSONEncoder, sort_keys=True, indent=1)


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
