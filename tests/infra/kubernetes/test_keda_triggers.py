"""Every trigger that the components give KEDA, judged by what KEDA's own source takes.

KEDA passes over metadata that it does not know, so that a misspelled key would be no error but another behaviour. The record is
that of tools/keda_triggers.py: what the oldest version that the docs name and the newest both take.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from tests.infra.kubernetes import model_server, service, workers

from slipway.kubernetes.model_scaling import ModelScaling
from slipway.plan import Plan

RECORD: Mapping[str, Any] = json.loads(Path(__file__).with_name("keda_triggers.json").read_text())
PROMETHEUS = "http://prometheus-server.monitoring.svc:9090"
OFFICE = {"timezone": "Europe/Vienna", "start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "replicas": 2}
MODEL: Mapping[str, Any] = {
    "max": 6,
    "prometheus_url": PROMETHEUS,
    "prometheus_authentication": "prometheus",
    "running_requests": 8,
    "schedule": [OFFICE],
}
BROKER: Mapping[str, Any] = {**workers.ARGS["broker"], "username": "worker", "tls": True, "database": 2}
PLANS: Mapping[str, tuple[Plan, Sequence[str]]] = {
    "AiApiService": (
        service.planned(scaling={"by": "keda", "prometheus_url": PROMETHEUS, "requests_per_second": 50}),
        ("cpu", "prometheus"),
    ),
    "GpuModelServer": (model_server.planned(scaling=MODEL), ("cron", "prometheus")),
    "GpuModelServer from none": (model_server.planned(scaling={**MODEL, "min": 0}), ("cron", "prometheus")),
    "WorkerPool": (workers.planned(broker=BROKER), ("redis",)),
}


@pytest.mark.parametrize("component", PLANS)
def test_keda_knows_every_key_where_it_stands(component: str) -> None:
    plan, types = PLANS[component]
    specs = [r.inputs["spec"] for r in plan if r.type.endswith(":ScaledObject")]
    triggers = [trigger for spec in specs for trigger in spec["triggers"]]
    assert sorted({trigger["type"] for trigger in triggers}) == sorted(types)
    for trigger in triggers:
        known = RECORD["triggers"][trigger["type"]]
        for key, value in cast("Mapping[str, object]", trigger["metadata"]).items():
            assert "triggerMetadata" in known.get(key, ()), f"{key} of {trigger['type']}"
            assert isinstance(value, str), "KEDA takes texts only"


def test_a_secret_goes_to_a_parameter_that_is_known() -> None:
    plan, _ = PLANS["WorkerPool"]
    (authentication,) = [r.inputs["spec"] for r in plan if r.type.endswith(":TriggerAuthentication")]
    for told in authentication["secretTargetRef"]:
        assert "authParams" in RECORD["triggers"]["redis"][told["parameter"]]


def test_the_oldest_version_is_the_one_that_the_arguments_name() -> None:
    oldest = RECORD["versions"][0].rpartition(".")[0]
    assert f"KEDA {oldest} or newer" in (ModelScaling.__doc__ or "")
