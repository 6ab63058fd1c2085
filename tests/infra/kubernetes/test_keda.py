"""Scaling by KEDA: the same targets and pace as without, and what holds while Prometheus is away. That KEDA acts on it is not
proven here; its CRD's schema is asked."""

from typing import Any

import pytest
from tests.infra.kubernetes.service import planned, refused, schema_faults

PROMETHEUS = "http://prometheus-server.monitoring.svc:9090"
KEDA: dict[str, Any] = {"by": "keda", "prometheus_url": PROMETHEUS}


def scaler(**scaling: Any) -> dict[str, Any]:
    plan = planned(scaling={**KEDA, **scaling})
    assert schema_faults(plan) == []
    return plan["api-scaler"].inputs["spec"]


def test_one_word_changes_who_scales_and_nothing_else() -> None:
    by_hpa, by_keda = planned(scaling={"min": 3, "max": 30}), planned(scaling={**KEDA, "min": 3, "max": 30})
    assert "api-scaler" not in by_hpa
    assert "api-hpa" not in by_keda
    others = [r.name for r in by_hpa if r.custom and r.name != "api-hpa"]
    assert [by_hpa[name].inputs for name in others] == [by_keda[name].inputs for name in others]
    hpa, keda = by_hpa["api-hpa"].inputs["spec"], by_keda["api-scaler"].inputs["spec"]
    assert (keda["minReplicaCount"], keda["maxReplicaCount"]) == (hpa["minReplicas"], hpa["maxReplicas"]) == (3, 30)
    assert keda["scaleTargetRef"] == hpa["scaleTargetRef"]
    assert keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["behavior"]
    assert [trigger["type"] for trigger in keda["triggers"]] == ["cpu", "prometheus"]


def test_neither_autoscaler_stands_in_the_way_of_the_other() -> None:
    # The annotation that KEDA's webhook looks for, and two objects of two names, so that either can come before the other goes.
    hpa = planned()["api-hpa"].inputs["metadata"]
    assert hpa["annotations"] == {"validations.keda.sh/hpa-ownership": "false"}
    assert scaler()["advanced"]["horizontalPodAutoscalerConfig"]["name"] == "api-keda" != hpa["name"]


def test_what_keda_asks_prometheus() -> None:
    assert scaler(requests_per_second=50)["triggers"][1] == {
        "type": "prometheus",
        "name": "requests",
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": PROMETHEUS,
            "query": (
                'sum(rate(slipway_router_requests_total{namespace="ai",pod=~"api-router-[a-z0-9]+(-[a-z0-9]{5})?"}[2m]))'
                ' or 0 * sum(slipway_router_backend_available{namespace="ai",pod=~"api-router-[a-z0-9]+(-[a-z0-9]{5})?"})'
            ),
            "threshold": "50",
            "ignoreNullValues": "false",
        },
    }


@pytest.mark.parametrize(("scaling", "held"), [({}, 2), ({"min": 4}, 4), ({"min": 4, "fallback_replicas": 9}, 9)])
def test_while_prometheus_is_away_replicas_are_held(scaling: dict[str, Any], held: int) -> None:
    assert scaler(**scaling)["fallback"] == {"failureThreshold": 3, "replicas": held, "behavior": "currentReplicasIfHigher"}


def test_on_cpu_alone_it_asks_nobody_and_has_no_fallback_which_keda_would_refuse() -> None:
    plan = planned(scaling={"by": "keda", "requests_per_second": 0, "cpu_percent": 60})
    assert schema_faults(plan) == []
    spec = plan["api-scaler"].inputs["spec"]
    assert spec["triggers"] == [{"type": "cpu", "metricType": "Utilization", "metadata": {"value": "60"}}]
    assert "fallback" not in spec


def test_a_canary_has_a_scaler_and_a_question_of_its_own() -> None:
    route = {"hosts": ["a.io"], "gateway": "g"}
    canary = {"image": "router:2", "weight": 50}
    scaling = {**KEDA, "min": 6, "fallback_replicas": 10, "cpu_percent": 0}
    plan = planned(http_route=route, canary=canary, scaling=scaling)
    assert schema_faults(plan) == []
    spec = plan["api-canary-scaler"].inputs["spec"]
    assert spec["scaleTargetRef"]["name"] == "api-canary-router"
    assert (spec["minReplicaCount"], spec["fallback"]["replicas"]) == (3, 3)
    assert 'pod=~"api-canary-router-[a-z0-9]+' in spec["triggers"][0]["metadata"]["query"]


@pytest.mark.parametrize(
    ("scaling", "told"),
    [
        ({"by": "vpa"}, {"by": "give one of 'hpa', 'keda'"}),
        ({"by": "keda"}, {"prometheus_url": "is required by 'keda': give where Prometheus answers"}),
        ({**KEDA, "prometheus_url": "prometheus:9090"}, {"prometheus_url": "give http://HOST"}),
        ({**KEDA, "prometheus_url": 9090}, {"prometheus_url": "give text"}),
        ({"prometheus_url": PROMETHEUS}, {"prometheus_url": "'hpa' here asks no Prometheus; give 'by': 'keda'"}),
        ({"fallback_replicas": 3}, {"fallback_replicas": "'hpa' here asks no Prometheus; give 'by': 'keda'"}),
        ({**KEDA, "requests_per_second": 0}, {"prometheus_url": "scales on no requests; give 'requests_per_second'"}),
        ({**KEDA, "fallback_replicas": 1}, {"fallback_replicas": "is 1; give 2 to 20"}),
        ({**KEDA, "fallback_replicas": 21}, {"fallback_replicas": "is 21; give 2 to 20"}),
        ({**KEDA, "fallback_replicas": "all"}, {"fallback_replicas": "give a whole number"}),
        ({**KEDA, "min": 0}, {"min": "is 0; give 1 or more"}),
        ({**KEDA, "fallback": 3}, {"fallback": "did you mean 'fallback_replicas'?"}),
    ],
)
def test_each_wrong_argument_is_one_clear_fault(scaling: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused(scaling=scaling)
    assert faults.keys() == {f"scaling.{path}" for path in told}
    assert all(reason in faults[f"scaling.{path}"] for path, reason in told.items()), faults
