"""Metrics read by the Prometheus Operator."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from slipway.args import Faults
from slipway.kubernetes.names import check_labels

API_VERSION = "monitoring.coreos.com/v1"
INTERVAL_SECONDS = 15


class ServiceMonitorSettings(TypedDict):
    """How the Prometheus Operator finds and reads a service."""

    labels: NotRequired[Mapping[str, str]]
    """Labels by which the operator's Prometheus chooses its ServiceMonitors, such as `{"release": "kube-prometheus-stack"}`.
    Default none."""
    interval_seconds: NotRequired[int]
    """Seconds between two readings. Default 15; 5 to 60, since `scaling` by 'keda' looks at the last 2 minutes."""


def check_service_monitor(path: str, monitor: ServiceMonitorSettings, faults: Faults) -> None:
    """Refuse labels that are none, and an interval that is too short to be read in, or too long to scale by."""
    check_labels(f"{path}.labels", monitor.get("labels"), faults)
    seconds = monitor.get("interval_seconds", INTERVAL_SECONDS)
    if not 5 <= seconds <= 60:
        faults.add(f"{path}.interval_seconds", f"is {seconds}; give 5 to 60 seconds")


def monitor_spec(monitor: ServiceMonitorSettings, service: Mapping[str, str]) -> dict[str, Any]:
    """Spec of a ServiceMonitor for the Service with these labels, in its own namespace."""
    interval = f"{monitor.get('interval_seconds', INTERVAL_SECONDS)}s"
    return {
        "selector": {"matchLabels": dict(service)},
        "endpoints": [{"port": "http", "path": "/metrics", "interval": interval}],
    }
