"""What a router in a cluster tells of its requests, and its way out to the collector."""

import json
from typing import Any

import pytest
from tests.infra.kubernetes.service import planned, refused, schema_faults

from slipway.plan import Plan
from slipway_router.config import Config
from slipway_router.telemetry.settings import TelemetrySettings

OTEL: dict[str, Any] = {"endpoint": "http://otel.monitoring.svc:4318"}


def told(plan: Plan) -> TelemetrySettings:
    return Config.parse(json.loads(plan["api-config"].inputs["data"]["router.json"])).telemetry


def ways_out(plan: Plan) -> list[dict[str, Any]]:
    """Beside DNS and the backends' 443."""
    rules = plan["api-network"].inputs["spec"]["egress"]
    return [r for r in rules if r["ports"][0]["port"] not in (53, 443)]


def test_the_log_is_json_and_the_collector_can_be_reached_and_nothing_else() -> None:
    plan = planned(telemetry={"logs": {"requests": True}, "otel": {**OTEL, "token": {"name": "otel", "key": "t"}, "sample": 0.5}})
    telemetry = told(plan)
    assert telemetry.otel is not None
    assert (telemetry.logs.format, telemetry.logs.requests) == ("json", True)
    assert (telemetry.otel.sample, telemetry.otel.service_name, telemetry.otel.token_env) == (0.5, "api", "SLIPWAY_OTLP_TOKEN")
    (way,) = ways_out(plan)
    (to,) = way["to"]
    assert (way["ports"][0]["port"], to["podSelector"]) == (4318, {})
    assert to["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    env = plan["api-router"].inputs["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {e["name"] for e in env} == {"OPENAI_API_KEY", "SLIPWAY_OTLP_TOKEN"}
    assert schema_faults(plan) == []


def test_where_the_collector_is_elsewhere_its_port_alone_is_open() -> None:
    (four, six) = ways_out(planned(telemetry={"otel": {"endpoint": "http://collector.example.com:4318"}}))
    assert [w["to"][0]["ipBlock"]["cidr"] for w in (four, six)] == ["0.0.0.0/0", "::/0"]
    assert {w["ports"][0]["port"] for w in (four, six)} == {4318}


def test_the_way_out_can_be_told() -> None:
    egress: dict[str, Any] = {"port": 14318, "namespace": "obs", "pod_labels": {"app": "otel"}}
    (way,) = ways_out(planned(telemetry={"otel": {**OTEL, "egress": egress}}))
    assert (way["ports"][0]["port"], way["to"][0]["podSelector"]) == (14318, {"matchLabels": {"app": "otel"}})


def test_without_it_nothing_changes() -> None:
    plan = planned()
    assert told(plan) == TelemetrySettings()
    assert ways_out(plan) == []


@pytest.mark.parametrize(
    ("telemetry", "path", "says"),
    [
        ({"logs": {"format": "xml"}}, "telemetry.logs.format", "is 'xml'; give 'text' or 'json'"),
        ({"logs": {"level": 3}}, "telemetry.logs.level", "is 3"),
        ({"logs": 3}, "telemetry.logs", "is 3"),
        ({"most_keys": -1}, "telemetry.most_keys", "greater than or equal to 0"),
        ({"otel": {}}, "telemetry.otel.endpoint", "is required"),
        ({"otel": {"endpoint": "collector:4317"}}, "telemetry.otel.endpoint", "give http://HOST:4318"),
        ({"otel": {"endpoint": "http://c:x"}}, "telemetry.otel.endpoint", "give http://HOST:4318"),
        ({"otel": {**OTEL, "sample": 3}}, "telemetry.otel.sample", "less than or equal to 1"),
        ({"otel": {**OTEL, "traces": False, "metrics": False}}, "telemetry.otel", "switch one on"),
        ({"otel": {**OTEL, "nope": 1}}, "telemetry.otel.nope", "is not an argument; there are 'endpoint'"),
        ({"otel": {**OTEL, "egress": {"port": 4318}}}, "telemetry.otel.egress", "has no address; give 'pod_labels' or 'cidr'"),
        ({"otel": {**OTEL, "token": {"name": "Bad_", "key": "k"}}}, "telemetry.otel.token.name", "give a Secret's name"),
    ],
)
def test_what_is_wrong_is_refused_at_plan_time_by_the_routers_own_schema(telemetry: dict[str, Any], path: str, says: str) -> None:
    assert says in refused(telemetry=telemetry)[path]


def test_what_is_set_here_is_refused_beside_the_settings() -> None:
    assert "give 'telemetry' beside 'settings'" in refused(settings={"telemetry": {}})["settings.telemetry"]
    faults = refused(telemetry={"logs": {"format": "xml"}, "otel": {**OTEL, "nope": 1, "sample": 3}})
    assert set(faults) == {"telemetry.logs.format", "telemetry.otel.nope", "telemetry.otel.sample"}
