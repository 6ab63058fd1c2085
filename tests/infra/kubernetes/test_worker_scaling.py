"""How many workers there are, by the length of their queues. That KEDA and an adapter act on it is not proven here; what KEDA
reads is, in test_celery_worker.py."""

from typing import Any

import pytest
from tests.infra.kubernetes.workers import ARGS, planned, refused

WINDOW = {"start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "timezone": "Europe/Vienna", "replicas": 3}
METRIC = {"name": "redis_key_size", "labels": {"key": "celery"}}


def scaler(**more: Any) -> dict[str, Any]:
    return planned(**more)["worker-scaler"].inputs["spec"]


def test_each_queue_is_a_list_that_asks_for_replicas() -> None:
    spec = scaler(queues=["fast", "slow"], scaling={"tasks_per_replica": 4, "max": 40})
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker-worker"}
    assert [t["metadata"]["listName"] for t in spec["triggers"]] == ["fast", "slow"]
    assert {t["metadata"]["listLength"] for t in spec["triggers"]} == {"4"}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"], spec["fallback"]["replicas"]) == (1, 40, 1)
    assert "cooldownPeriod" not in spec


def test_the_password_is_told_by_the_secret_alone() -> None:
    plan = planned()
    assert plan["worker-broker"].inputs["spec"] == {
        "secretTargetRef": [{"parameter": "password", "name": "redis-password", "key": "password"}]
    }
    (trigger,) = plan["worker-scaler"].inputs["spec"]["triggers"]
    assert trigger["authenticationRef"] == {"name": plan["worker-broker"].inputs["metadata"]["name"]}
    without = planned(broker={"host": "redis.ai.svc"})
    assert "worker-broker" not in without
    assert "authenticationRef" not in without["worker-scaler"].inputs["spec"]["triggers"][0]


def test_to_zero_the_first_task_is_seen_soon() -> None:
    spec = scaler(scaling={"min": 0, "idle_seconds": 60})
    assert (spec["minReplicaCount"], spec["cooldownPeriod"], spec["pollingInterval"]) == (0, 60, 5)


def test_windows_are_triggers_beside_the_queues() -> None:
    spec = scaler(scaling={"schedule": [WINDOW]})
    assert [t["type"] for t in spec["triggers"]] == ["redis", "cron"]
    assert spec["triggers"][1]["metadata"]["desiredReplicas"] == "3"


def test_by_hpa_an_adapter_tells_what_waits() -> None:
    plan = planned(scaling={"by": "hpa", "metric": METRIC, "tasks_per_replica": 5, "min": 2})
    assert not {"worker-scaler", "worker-broker"} & {r.name for r in plan}
    spec = plan["worker-hpa"].inputs["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"], spec["scaleTargetRef"]["name"]) == (2, 10, "worker-worker")
    assert spec["metrics"] == [
        {
            "type": "External",
            "external": {
                "metric": {"name": "redis_key_size", "selector": {"matchLabels": {"key": "celery"}}},
                "target": {"type": "AverageValue", "averageValue": "5"},
            },
        }
    ]
    plain = planned(scaling={"by": "hpa", "metric": {"name": "a"}})["worker-hpa"].inputs["spec"]["metrics"][0]
    assert plain["external"]["metric"] == {"name": "a"}


def test_a_fixed_number_has_no_scaler() -> None:
    plan = planned(replicas=3)
    assert plan["worker-worker"].inputs["spec"]["replicas"] == 3
    assert not {"worker-scaler", "worker-broker", "worker-hpa"} & {r.name for r in plan}


WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"min": -1}, {"min": "is -1; give 0 or more"}),
    ({"min": 5, "max": 4}, {"min": "is 5, above scaling.max = 4; lower it or raise 'max'"}),
    ({"max": 0}, {"max": "is 0; give 1 or more"}),
    ({"tasks_per_replica": 0}, {"tasks_per_replica": "is 0; give 1 or more"}),
    ({"min": 0, "idle_seconds": 0}, {"idle_seconds": "is 0; give 1 or more"}),
    ({"idle_seconds": 60}, {"idle_seconds": "goes with 'min': 0, and that is 1"}),
    ({"by": "vpa"}, {"by": "give one of 'hpa', 'keda'"}),
    ({"by": "hpa"}, {"metric": "is required by 'hpa'"}),
    ({"metric": METRIC}, {"metric": "is for 'hpa': 'keda' reads Redis itself"}),
    ({"by": "hpa", "metric": {"name": "a b"}}, {"metric.name": "is 'a b'; give a metric's name"}),
    ({"by": "hpa", "metric": {"name": "a", "labels": {"k": "?"}}}, {"metric.labels.k": "is '?'; give letters"}),
    ({"by": "hpa", "metric": METRIC, "min": 0}, {"min": "is 0, which 'hpa' cannot"}),
    ({"by": "hpa", "metric": METRIC, "schedule": [WINDOW]}, {"schedule": "is for 'keda'"}),
    ({"keda_namespace": "KEDA"}, {"keda_namespace": "is 'KEDA'; give lower case letters"}),
    ({"by": "hpa", "metric": METRIC, "keda_namespace": "keda"}, {"keda_namespace": "is for 'keda'; leave it out"}),
    ({"schedule": [{**WINDOW, "replicas": 1}]}, {"schedule[0].replicas": "is 1; give more than scaling.min = 1"}),
    ({"schedule": [{**WINDOW, "replicas": 11}]}, {"schedule[0].replicas": "up to scaling.max = 10"}),
    ({"schedule": [{**WINDOW, "timezone": "Vienna"}]}, {"schedule[0].timezone": "is 'Vienna'; give a name of the IANA"}),
    ({"schedule": [{**WINDOW, "start": "eight"}]}, {"schedule[0].start": "is 'eight'; give a cron line of five fields"}),
    ({"schedule": [{**WINDOW, "end": WINDOW["start"]}]}, {"schedule[0].end": "when the window begins; give another time"}),
    ({"queue": 5}, {"queue": "is not an argument"}),
]


@pytest.mark.parametrize(("scaling", "told"), WRONG)
def test_each_wrong_argument_is_one_clear_fault(scaling: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused(scaling=scaling)
    assert faults.keys() == {f"scaling.{path}" for path in told}, faults
    assert all(reason in faults[f"scaling.{path}"] for path, reason in told.items()), faults


def test_the_arguments_of_the_tests_are_right() -> None:
    assert refused() == {}
    assert ARGS
