"""The OpenTelemetry collector of a stack: what it takes, and where that goes."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi_kubernetes as k8s
import yaml

from slipway.backend import Egress
from slipway.kubernetes import restricted
from slipway.kubernetes.network import Peer
from slipway.kubernetes.observability.collector_args import CollectorSettings, Signal
from slipway.kubernetes.observability.objectives import duration
from slipway.kubernetes.observability.part import Part, Place, Volume
from slipway.kubernetes.observability.scrape import timeout
from slipway.kubernetes.observability.server import deploy
from slipway.kubernetes.observability.watched import WatchedService

ROLE = "collector"
APP = "otel-collector"
GRPC_PORT, HTTP_PORT, HEALTH_PORT = 4317, 4318, 13133
METRICS: Mapping[str, int] = {"metrics": 8889, "own-metrics": 8888}
"""Ports, by name, on which Prometheus reads what came in as OTLP, and what the collector tells of itself."""
USER = 10001
"""User of the official image."""
CONFIG, TOKEN, DATA = "/etc/slipway", "/etc/slipway-token", "/var/lib/otelcol"
START_SECONDS = 60


def configuration(settings: CollectorSettings) -> dict[str, str]:
    """The file that it is started with."""
    out: dict[str, Any] = {"endpoint": settings.endpoint}
    extensions: dict[str, Any] = {"health_check": {"endpoint": f"0.0.0.0:{HEALTH_PORT}"}}
    if settings.token is not None:
        # Read again when it changes.
        extensions["bearertokenauth"] = {"filename": f"{TOKEN}/{settings.token['key']}"}
        out["auth"] = {"authenticator": "bearertokenauth"}
    pipelines: dict[str, Any] = {}
    for signal in Signal:
        ways = [*(["otlp_http"] if signal in settings.signals else []), *(["prometheus"] if signal is Signal.METRICS else [])]
        if ways:
            pipelines[signal.value] = {"receivers": ["otlp"], "processors": ["memory_limiter", "batch"], "exporters": ways}
    own = {"pull": {"exporter": {"prometheus": {"host": "0.0.0.0", "port": METRICS["own-metrics"]}}}}  # noqa: S104 -- a pod's
    told: dict[str, Any] = {
        "extensions": extensions,
        "receivers": {
            "otlp": {
                "protocols": {"grpc": {"endpoint": f"0.0.0.0:{GRPC_PORT}"}, "http": {"endpoint": f"0.0.0.0:{HTTP_PORT}"}},
            }
        },
        "processors": {
            "memory_limiter": memory_limiter(),
            "batch": {},
        },
        "exporters": {
            **({"otlp_http": out} if settings.signals else {}),
            "prometheus": {"endpoint": f"0.0.0.0:{METRICS['metrics']}"},
        },
        "service": {
            "extensions": list(extensions),
            "pipelines": pipelines,
            "telemetry": {"metrics": {"readers": [own]}, "logs": {"encoding": "json"}},
        },
    }
    return {"collector.yml": yaml.safe_dump(told, sort_keys=False, width=1000)}


def memory_limiter() -> dict[str, Any]:
    """The processor that refuses what there is no memory for. It comes first, so that what is refused costs nothing."""
    return {"check_interval": "1s", "limit_percentage": 80, "spike_limit_percentage": 20}


def scrape_job(name: str, namespace: str) -> dict[str, Any]:
    """How this stack's own Prometheus reads it. Labels of senders do not replace those given here, by which alerts ask.

    Args:
        name: Name of the stack.
        namespace: Its namespace.
    """
    host = f"{name}-{ROLE}.{namespace}.svc"
    return {
        "job_name": f"{namespace}/{name}-{ROLE}",
        "static_configs": [
            {
                "targets": [f"{host}:{port}" for port in METRICS.values()],
                "labels": {"namespace": namespace, "service": f"{name}-{ROLE}"},
            }
        ],
    }


def monitor_spec(name: str, interval: float) -> dict[str, Any]:
    """Spec of the PodMonitor by which the Prometheus Operator's Prometheus reads it, in its own namespace.

    Args:
        name: Name of the stack.
        interval: Seconds between two readings.
    """
    labelled = {"targetLabel": "service", "replacement": f"{name}-{ROLE}"}
    return {
        "selector": {"matchLabels": restricted.selector(APP, name)},
        "podMetricsEndpoints": [
            {"port": port, "interval": duration(interval), "scrapeTimeout": timeout(interval), "relabelings": [labelled]}
            for port in METRICS
        ],
    }


def ways_to(place: Place) -> list[Egress]:
    """Its metrics, as Prometheus' policy needs to know them."""
    pods = restricted.selector(APP, place.name)
    return [{"pod_labels": pods, "namespace": place.namespace, "port": port} for port in METRICS.values()]


def make_collector(place: Place, settings: CollectorSettings, watch: Sequence[WatchedService], reader: Peer) -> None:
    """Make the server.

    Args:
        place: Where.
        settings: What was asked for.
        watch: Who sends, unless that is said.
        reader: The Prometheus that reads its metrics.
    """
    watched: list[Peer] = [{"namespace": service["namespace"], "pod_labels": service["pod_labels"]} for service in watch]
    senders = watched if settings.allow_from is None else settings.allow_from
    answers: k8s.core.v1.ProbeArgsDict = {"http_get": {"path": "/", "port": HEALTH_PORT}, "timeout_seconds": 5}
    token = settings.token
    part = Part(
        role=ROLE,
        app=APP,
        image=settings.image,
        user=USER,
        args=[f"--config={CONFIG}/collector.yml"],
        port=HTTP_PORT,
        resources=settings.resources,
        volume=Volume(DATA, 0),
        ready=answers,
        alive=answers,
        start_seconds=START_SECONDS,
        config=configuration(settings),
        config_path=CONFIG,
        secrets={} if token is None else {TOKEN: (token["name"], [token["key"]])},
        allow_from={GRPC_PORT: senders, HTTP_PORT: senders, **{port: [reader] for port in METRICS.values()}},
        egress=settings.egress,
        more_ports={"grpc": GRPC_PORT, **METRICS},
    )
    deploy(part, place)
