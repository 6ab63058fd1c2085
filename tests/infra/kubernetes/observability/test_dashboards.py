"""Dashboards: they ask what alerts and scalers ask, and nothing that nobody tells. No Grafana runs here; its SDK made them."""

import json
import re
from typing import Any

from tests.infra.kubernetes.observability.services import SCALING, gpus, model, router, rule_faults

from slipway.kubernetes.observability.dashboards import dashboards
from slipway.kubernetes.observability.data_sources import PROMETHEUS
from slipway.kubernetes.observability.objectives import Promise
from slipway.kubernetes.observability.panels import RATE, panels
from slipway.kubernetes.observability.rules import rule_groups
from slipway_router.metric_table import METRICS

PROMISE = Promise(daily_dollars=10.0)
API, LLAMA = router(scaling={"max": 4, "requests_per_second": 10}), model(scaling=SCALING)
GPUS = gpus()


def shown() -> dict[str, dict[str, Any]]:
    return {name: json.loads(text) for name, text in dashboards([API, LLAMA, GPUS], PROMISE).items()}


def test_there_is_one_for_each_service_with_panels_side_by_side() -> None:
    assert shown().keys() == {"ai-api.json", "ai-llama.json", "gpu-operator-gpus.json"}
    for made in shown().values():
        places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in made["panels"]]
        assert len(set(places)) == len(places)
        assert len({p["title"] for p in made["panels"]}) == len(places)
        for panel in made["panels"]:
            assert panel["datasource"] == {"type": "prometheus", "uid": PROMETHEUS}
            assert panel["targets"]
    assert len({made["uid"] for made in shown().values()}) == 3


def test_a_panels_line_is_at_what_the_scaler_aims_at() -> None:
    for target in (4, 9):
        (text,) = dashboards([model(scaling={**SCALING, "waiting_requests": target})], PROMISE).values()
        (panel,) = (p for p in json.loads(text)["panels"] if p["title"].startswith("waiting-requests"))
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert [step["value"] for step in steps] == [None, target]
        (load,) = (load for load in LLAMA.loads if load.name == "waiting-requests")
        assert load.query in panel["targets"][0]["expr"]


def test_every_metric_is_told_or_recorded() -> None:
    told = set(METRICS) | {f"{name}_{end}" for name, m in METRICS.items() if m.kind == "histogram" for end in ("bucket", "count")}
    recorded = {rule["record"] for g in rule_groups([API], PROMISE, "") for rule in g["rules"] if "record" in rule}
    asked = " ".join(q.expr for panel in panels(API, PROMISE) for q in panel.questions)
    assert set(re.findall(r"slipway_router_\w+", asked)) <= told
    assert set(re.findall(r"slipway:[\w:]+", asked)) <= recorded
    assert set(re.findall(r"slipway_router_\w+|slipway:[\w:]+", asked))


def test_prometheus_can_read_every_question() -> None:
    # A question that is no PromQL is an error; to one about series that are not there the answer is empty, or 0 replicas.
    questions = [q.expr.replace(RATE, "1m") for s in (API, LLAMA, GPUS) for panel in panels(s, PROMISE) for q in panel.questions]
    tests = [{"promql_expr_test": [{"expr": f"({q}) < -1e9", "eval_time": "1m", "exp_samples": list[Any]()} for q in questions]}]
    assert rule_faults([API], PROMISE, tests) == ""
