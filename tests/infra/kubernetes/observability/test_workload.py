"""What components tell of their objects: the names that their plans really have."""

from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pytest
import yaml

from slipway import ObservabilityStack, PostgresDatabase, RedisCache, TrainingJob, VectorStore, WorkerPool
from slipway.plan import Plan, plan_program

STATE: Mapping[str, Any] = {
    "kind": "cluster",
    "name": "kube-state-metrics",
    "namespace": "kube-system",
    "pods": "kube-state-metrics-.+",
    "pod_labels": {"app.kubernetes.io/name": "kube-state-metrics"},
    "port": 8080,
}
WORK: Mapping[str, Any] = {"namespace": "ai", "image": "work:1.0", "celery": {"app": "tasks"}, "scaling": {"max": 4}}
TRAINING: Mapping[str, Any] = {
    "namespace": "ai",
    "image": "train:1.0",
    "command": ["train"],
    "accelerator": "l4:1",
    "deadline_seconds": 3600,
    "checkpoints": {"gib": 10},
}


def planned() -> tuple[Plan, list[dict[str, Any]]]:
    """The plan of all of them watched, and what they tell."""
    told: list[dict[str, Any]] = []

    def program() -> None:
        cache = RedisCache("cache", cast("Any", {"namespace": "ai", "eviction_policy": "noeviction", "storage_gib": 2}))
        workloads = [
            cache.watched(),
            PostgresDatabase("db", cast("Any", {"namespace": "ai", "backup": {"schedule": "0 3 * * *"}})).watched(),
            VectorStore("vectors", cast("Any", {"namespace": "ai"})).watched(),
            WorkerPool("work", cast("Any", {**WORK, "broker": cache.broker()})).watched(),
            TrainingJob("tune", cast("Any", TRAINING)).watched(),
        ]
        told.extend(dict(workload) for workload in workloads)
        ObservabilityStack("watch", {"namespace": "monitoring", "watch": [cast("Any", STATE)], "workloads": workloads})

    return plan_program(program), told


def test_they_name_objects_that_are_there() -> None:
    plan, told = planned()
    names = {(r.type.rpartition(":")[2], r.inputs["metadata"]["name"]) for r in plan if "metadata" in r.inputs}
    for made in (r.inputs for r in plan if r.type.endswith(":StatefulSet")):
        for claim in made["spec"].get("volumeClaimTemplates", ()):
            names.add(("PersistentVolumeClaim", f"{claim['metadata']['name']}-{made['metadata']['name']}-0"))
    for workload in told:
        for key, kind in (("stateful_set", "StatefulSet"), ("backup", "CronJob")):
            assert key not in workload or (kind, workload[key]) in names
        assert {("PersistentVolumeClaim", claim) for claim in workload.get("claims", ())} <= names
    scaler = plan["work-scaler"].inputs["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["name"]
    assert [workload.get("autoscaler") for workload in told] == [None, None, None, scaler, None]
    (job,) = (name for kind, name in names if kind == "Job")
    assert job.rpartition("-")[0] == told[-1]["job"]
    assert [workload.get("claims") for workload in told] == [
        ["data-cache-redis-0"],
        ["data-db-postgres-0", "db-backups"],
        ["data-vectors-store-0"],
        None,
        ["tune-checkpoints"],
    ]
    assert told[1]["backup"] == "db-backup"


def test_alerts_are_about_them_and_the_series_come_from_kube_state_metrics() -> None:
    files = planned()[0]["watch-prometheus-config"].inputs["data"]
    groups = yaml.safe_load(files["rules.yml"])["groups"]
    found = {(rule["labels"]["service"], rule["alert"]) for group in groups for rule in group["rules"]}
    assert found >= {
        ("cache", "StoreDown"),
        ("db", "BackupMissing"),
        ("vectors", "VolumeNearlyFull"),
        ("work", "QueueNotDraining"),
        ("tune", "TrainingFailed"),
    }
    (job,) = yaml.safe_load(files["prometheus.yml"])["scrape_configs"]
    assert job["honor_labels"] is True


def test_what_somebody_else_runs_is_not_watched() -> None:
    def program() -> None:
        RedisCache("cache", cast("Any", {"namespace": "ai", "external_url": "rediss://:p@redis.example.com:6379"})).watched()

    with pytest.raises(pulumi.RunError, match="RedisCache 'cache' runs elsewhere"):
        plan_program(program)
