"""The OpenTelemetry collector of a stack: what it is started with, who reaches it, and who reads it."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
import yaml
from tests.infra.kubernetes.observability.services import MODEL, ROUTER
from tests.infra.kubernetes.service import schema_faults

from slipway import AiApiService, GpuModelServer, ObservabilityStack
from slipway.args import Faults
from slipway.kubernetes.observability.collector import configuration
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
