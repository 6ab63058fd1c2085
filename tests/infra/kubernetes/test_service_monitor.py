"""Metrics by the Prometheus Operator, and a vertical autoscaler that only recommends; by their own CRDs' schemas."""

from typing import Any

import pytest
from tests.infra.kubernetes.service import planned, refused, schema_faults


def test_a_service_monitor_takes_the_place_of_the_annotations() -> None:
    plan = planned(service_monitor={"labels": {"release": "kube-prometheus-stack"}, "interval_seconds": 30})
    assert schema_faults(plan) == []
    monitor = plan["api-monitor"].inputs
    assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    assert monitor["spec"]["endpoints"] == [{"port": "http", "path": "/metrics", "interval": "30s"}]
    service = plan["api-service"].inputs
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [port["name"] for port in service["spec"]["ports"]] == ["http"]
    template = plan["api-router"].inputs["spec"]["template"]["metadata"]
    assert not any(key.startswith("prometheus.io/") for key in template["annotations"])


def test_a_canary_is_read_too_and_each_figure_once() -> None:
    route = {"hosts": ["a.io"], "gateway": "g"}
    plan = planned(service_monitor={}, http_route=route, canary={"image": "router:2", "weight": 5})
    selectors = {n: plan[f"{n}-monitor"].inputs["spec"]["selector"]["matchLabels"] for n in ("api", "api-canary")}
    for name, selected in selectors.items():
        matching = [n for n in selectors if selected.items() <= plan[f"{n}-service"].inputs["metadata"]["labels"].items()]
        assert matching == [name]


def test_a_vertical_autoscaler_recommends_for_the_one_container_and_changes_nothing() -> None:
    assert "api-vpa" not in planned()
    plan = planned(recommend_resources=True)
    assert schema_faults(plan) == []
    spec = plan["api-vpa"].inputs["spec"]
    assert spec["updatePolicy"] == {"updateMode": "Off"}
    assert spec["targetRef"]["name"] == plan["api-router"].inputs["metadata"]["name"]
    (container,) = plan["api-router"].inputs["spec"]["template"]["spec"]["containers"]
    assert [policy["containerName"] for policy in spec["resourcePolicy"]["containerPolicies"]] == [container["name"]]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"service_monitor": True}, {"service_monitor": "give a mapping with the keys 'labels', 'interval_seconds'"}),
        ({"service_monitor": {"interval_seconds": 4}}, {"service_monitor.interval_seconds": "is 4; give 5 to 60 seconds"}),
        ({"service_monitor": {"interval_seconds": 61}}, {"service_monitor.interval_seconds": "give 5 to 60 seconds"}),
        ({"service_monitor": {"interval_seconds": "15s"}}, {"service_monitor.interval_seconds": "give a whole number"}),
        ({"service_monitor": {"labels": {"release": 1}}}, {"service_monitor.labels.release": "give text"}),
        ({"service_monitor": {"labels": {"release": "a b"}}}, {"service_monitor.labels.release": "is 'a b'; give letters"}),
        ({"service_monitor": {"interval": 5}}, {"service_monitor.interval": "did you mean 'interval_seconds'?"}),
        ({"recommend_resources": "yes"}, {"recommend_resources": "give true or false"}),
    ],
)
def test_each_wrong_argument_is_one_clear_fault(wrong: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused(**wrong)
    assert faults.keys() == told.keys()
    assert all(reason in faults[path] for path, reason in told.items()), faults
