"""The OpenTelemetry collector of a stack: what it is started with, who reaches it, and who reads it; and a real one with that,
where `otelcol-contrib` is on the path."""

import http.server
import re
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import yaml
from tests.infra.kubernetes.observability.real_loki import program, running, until
from tests.infra.kubernetes.observability.real_prometheus import free_port
from tests.infra.kubernetes.observability.services import MODEL, ROUTER
from tests.infra.kubernetes.service import schema_faults

from slipway import AiApiService, GpuModelServer, ObservabilityStack
from slipway.args import Faults
from slipway.kubernetes.observability.collector import (
    GRPC_PORT,
    HEALTH_PORT,
    HTTP_PORT,
    METRICS,
    TOKEN,
    configuration,
)
from slipway.kubernetes.observability.collector_args import CollectorSettings
from slipway.plan import Plan, plan_program

TEMPO = "http://tempo.tracing.svc:4318"
EVERYTHING: Mapping[str, Any] = {
    "endpoint": "https://otlp.example.com/base/",
    "signals": ["logs", "traces"],
    "egress": {"cidr": "10.1.0.0/16", "port": 8443},
    "token": {"name": "otlp", "key": "token"},
    "allow_from": [{"namespace": "web", "pod_labels": {"app": "web"}}],
    "image": "registry.example/collector:v1",
    "resources": {"limits": {"memory": "1Gi"}},
}
OPERATOR: Mapping[str, Any] = {"operator": {"url": "http://prometheus:9090", "namespace": "metrics"}}
READERS: Mapping[str, Any] = {"prometheus": {"namespace": "metrics"}}


def planned(collector: Mapping[str, Any] | None, **more: Any) -> tuple[Plan, str]:
    """The plan, and where the collector is."""
    told: list[str] = []

    def program() -> None:
        readers: Mapping[str, Any] = READERS if "prometheus" in more else {}
        llama = GpuModelServer("llama", cast("Any", {**MODEL, **readers}))
        api = AiApiService("api", cast("Any", {**ROUTER, **readers}))
        given: Any = {} if collector is None else {"collector": collector}
        args: Any = {"namespace": "monitoring", "watch": [api.watched(), llama.watched()], **given, **more}
        ObservabilityStack("watch", args).collector_url.apply(told.append)

    plan = plan_program(program)
    return plan, told[0]


def started(**collector: Any) -> dict[str, Any]:
    faults = Faults("x")
    settings = CollectorSettings.of({"endpoint": TEMPO, **collector}, faults)
    assert settings is not None
    assert not faults
    return cast("dict[str, Any]", yaml.safe_load(configuration(settings)["collector.yml"]))


def ways_in(plan: Plan, resource: str) -> dict[int, list[dict[str, Any]]]:
    rules = plan[resource].inputs["spec"]["ingress"]
    return {port["port"]: rule["from"] for rule in rules for port in rule["ports"]}


def peer(namespace: str | None, labels: Mapping[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {"podSelector": {"matchLabels": dict(labels)}}
    return (
        made if namespace is None else {**made, "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    )


def test_there_is_none_unless_it_is_asked_for() -> None:
    plan, address = planned(None)
    assert address == ""
    assert not [r for r in plan if "collector" in r.name]
    jobs = yaml.safe_load(plan["watch-prometheus-config"].inputs["data"]["prometheus.yml"])["scrape_configs"]
    assert [job["job_name"] for job in jobs] == ["ai/api", "ai/llama"]


@pytest.mark.parametrize("collector", [{"endpoint": TEMPO}, EVERYTHING])
def test_every_object_passes_the_published_schema(collector: Mapping[str, Any]) -> None:
    plan, address = planned(collector, prometheus=OPERATOR, node_selector={"pool": "data"})
    assert schema_faults(plan) == []
    assert address == "http://watch-collector.monitoring.svc:4318"
    assert plan["watch-collector"].inputs["spec"]["template"]["spec"]["nodeSelector"] == {"pool": "data"}
    assert planned(collector)[1] == address


def test_it_takes_from_what_is_watched_and_is_read_by_the_own_prometheus_alone() -> None:
    plan, _ = planned({"endpoint": TEMPO})
    senders = [peer("ai", plan[f"{name}-network"].inputs["spec"]["podSelector"]["matchLabels"]) for name in ("api", "llama")]
    own = [peer(None, {"app.kubernetes.io/name": "prometheus", "app.kubernetes.io/instance": "watch"})]
    assert ways_in(plan, "watch-collector-network") == {4317: senders, 4318: senders, 8889: own, 8888: own}
    out = [to for rule in plan["watch-prometheus-network"].inputs["spec"]["egress"] for to in rule["to"]]
    labels = plan["watch-collector"].inputs["spec"]["selector"]["matchLabels"]
    assert out.count(peer("monitoring", labels)) == 2
    (job,) = yaml.safe_load(plan["watch-prometheus-config"].inputs["data"]["prometheus.yml"])["scrape_configs"][2:]
    (read,) = job["static_configs"]
    host = "watch-collector.monitoring.svc"
    assert read["targets"] == [f"{host}:8889", f"{host}:8888"]
    assert read["labels"] == {"namespace": "monitoring", "service": "watch-collector"}


def test_the_operators_prometheus_reads_it_in_its_stead() -> None:
    plan, _ = planned({"endpoint": TEMPO}, prometheus=OPERATOR)
    reader = [peer("metrics", {"app.kubernetes.io/name": "prometheus"})]
    assert ways_in(plan, "watch-collector-network")[8889] == reader
    spec = plan["watch-reads-collector"].inputs["spec"]
    assert spec["selector"]["matchLabels"] == plan["watch-collector"].inputs["spec"]["selector"]["matchLabels"]
    (container,) = plan["watch-collector"].inputs["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert [ports[endpoint["port"]] for endpoint in spec["podMetricsEndpoints"]] == [8889, 8888]


def test_its_way_out_is_the_endpoint_and_dns() -> None:
    plan, _ = planned({"endpoint": TEMPO})
    _, way = plan["watch-collector-network"].inputs["spec"]["egress"]
    assert way["ports"] == [{"protocol": "TCP", "port": 4318}]
    (to,) = way["to"]
    assert to["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "tracing"}


def test_everything_that_can_be_asked_arrives() -> None:
    plan, _ = planned(EVERYTHING)
    pod = plan["watch-collector"].inputs["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == EVERYTHING["image"]
    assert container["resources"]["limits"]["memory"] == "1Gi"
    assert ways_in(plan, "watch-collector-network")[4318] == [peer("web", {"app": "web"})]
    _, way = plan["watch-collector-network"].inputs["spec"]["egress"]
    assert way == {"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"protocol": "TCP", "port": 8443}]}
    told = yaml.safe_load(plan["watch-collector-config"].inputs["data"]["collector.yml"])
    assert told["exporters"]["otlp_http"] == {
        "endpoint": "https://otlp.example.com/base",
        "auth": {"authenticator": "bearertokenauth"},
    }
    file = told["extensions"]["bearertokenauth"]["filename"]
    (mount,) = (m for m in container["volumeMounts"] if file == f"{m['mountPath']}/token")
    (volume,) = (v for v in pod["volumes"] if v["name"] == mount["name"])
    assert volume["secret"]["secretName"] == "otlp"


@pytest.mark.parametrize(
    ("signals", "pipelines"),
    [
        (["traces"], {"traces": ["otlp_http"], "metrics": ["prometheus"]}),
        (
            ["metrics", "logs", "traces"],
            {"traces": ["otlp_http"], "metrics": ["otlp_http", "prometheus"], "logs": ["otlp_http"]},
        ),
    ],
)
def test_each_signal_goes_where_it_is_said_and_metrics_to_prometheus(signals: list[str], pipelines: dict[str, Any]) -> None:
    told = started(signals=signals)
    assert {name: p["exporters"] for name, p in told["service"]["pipelines"].items()} == pipelines
    # Before all else, so that too much is refused and not lost.
    assert {p["processors"][0] for p in told["service"]["pipelines"].values()} == {"memory_limiter"}


def test_without_a_token_nothing_is_sent_as_one() -> None:
    told = started()
    assert told["service"]["extensions"] == ["health_check"]
    assert "auth" not in told["exporters"]["otlp_http"]


class Endpoint(http.server.BaseHTTPRequestHandler):
    """What takes OTLP: it tells who sent what."""

    told: set[tuple[str, str | None]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.told.add((self.path, self.headers["authorization"]))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        pass


@pytest.fixture
def endpoint() -> Iterator[tuple[str, set[tuple[str, str | None]]]]:
    told: set[tuple[str, str | None]] = set()
    handler = type("Told", (Endpoint,), {"told": told})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", told
        server.shutdown()
        thread.join()


def test_a_real_one_hands_on_each_signal_with_the_token_and_shows_metrics(
    tmp_path: Path, endpoint: tuple[str, set[tuple[str, str | None]]]
) -> None:
    url, told = endpoint
    collector = program("otelcol-contrib")
    (tmp_path / "token").write_text("s3cret\n")
    faults = Faults("x")
    settings = CollectorSettings.of({"endpoint": url, "token": {"name": "otlp", "key": "token"}}, faults)
    assert settings is not None
    text = configuration(settings)["collector.yml"].replace(TOKEN, str(tmp_path)).replace("0.0.0.0", "127.0.0.1")
    ports = {port: free_port() for port in (GRPC_PORT, HTTP_PORT, HEALTH_PORT, *METRICS.values())}
    for inside, port in ports.items():
        text = re.sub(rf"\b{inside}\b", str(port), text)
    (tmp_path / "collector.yml").write_text(text)
    now, base = str(time.time_ns()), f"http://127.0.0.1:{ports[HTTP_PORT]}"
    span = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "x", "kind": 1}
    gauge = {"name": "of_a_client", "gauge": {"dataPoints": [{"asDouble": 7, "timeUnixNano": now}]}}
    bodies: Mapping[str, Any] = {
        "traces": {"resourceSpans": [{"scopeSpans": [{"spans": [{**span, "startTimeUnixNano": now, "endTimeUnixNano": now}]}]}]},
        "metrics": {"resourceMetrics": [{"scopeMetrics": [{"metrics": [gauge]}]}]},
        "logs": {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "a line"}}]}]}]},
    }
    with running([collector, f"--config={tmp_path}/collector.yml"], tmp_path / "log") as process:

        def told_at(port: int) -> str:
            return httpx.get(f"http://127.0.0.1:{ports[port]}/metrics", trust_env=False).text

        health = f"http://127.0.0.1:{ports[HEALTH_PORT]}"
        until(lambda: httpx.get(health, trust_env=False).status_code == 200, process)
        for signal, body in bodies.items():
            assert httpx.post(f"{base}/v1/{signal}", json=body, trust_env=False).status_code == 200
        until(lambda: told == {(f"/v1/{signal}", "Bearer s3cret") for signal in bodies}, process)
        until(lambda: "of_a_client 7" in re.sub(r"\{.*?\}", "", told_at(METRICS["metrics"])), process)
        assert "otelcol_receiver_accepted_spans" in told_at(METRICS["own-metrics"])
