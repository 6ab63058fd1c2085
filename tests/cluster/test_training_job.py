"""TrainingJob on a real API server: what of a Job can be changed, and the names by which its pods find each other."""

from typing import Any, cast

import pytest
import yaml
from tests.cluster.cases import Manifests, Object, pods_of, prepare, program, roll_out
from tests.cluster.cluster import Cluster

from slipway import TrainingJob
from slipway.kubernetes.training_job_args import TrainingJobArgs

NAMESPACE = "training-job"


def made(**more: Any) -> Manifests:
    given = {
        "namespace": NAMESPACE,
        "image": "trainer:v1",
        "command": ["torchrun", "train.py"],
        "nodes": 3,
        "resources": {"requests": {"cpu": "1", "memory": "4Gi"}},
        **more,
    }
    return program(lambda: TrainingJob("tune", cast("TrainingJobArgs", given)))


@pytest.fixture(scope="module")
def job(cluster: Cluster) -> Object:
    """The Job as it is in the cluster, its pods gone through."""
    manifests = made()
    prepare(cluster, manifests)
    cluster.apply(manifests.text)
    roll_out(cluster, manifests)
    return live(cluster, manifests)


def live(cluster: Cluster, manifests: Manifests) -> Object:
    (asked,) = manifests.of("Job")
    return cluster.get("job", asked["metadata"]["name"], "--namespace", NAMESPACE)


def test_deadline_retries_and_time_to_live_are_changed_in_place(cluster: Cluster, job: Object) -> None:
    changed = made(deadline_seconds=7200, backoff_limit=9, ttl_seconds=100_000)
    cluster.apply(changed.text)
    now = live(cluster, changed)
    assert now["metadata"]["uid"] == job["metadata"]["uid"]
    assert [now["spec"][key] for key in ("activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")] == [
        7200,
        9,
        100_000,
    ]


@pytest.mark.parametrize("change", [{"image": "trainer:v2"}, {"nodes": 1}, {"restart_policy": "Never"}, {"run": "again"}])
def test_what_the_name_follows_from_could_not_be_changed_under_the_old_one(
    cluster: Cluster, job: Object, change: dict[str, Any]
) -> None:
    (asked,) = made(**change).of("Job")
    assert asked["metadata"]["name"] != job["metadata"]["name"]
    asked["metadata"]["name"] = job["metadata"]["name"]
    refused = cluster.run("apply", "--server-side", "--field-manager=slipway", "--filename=-", stdin=yaml.safe_dump(asked))
    assert refused.returncode != 0
    assert "field is immutable" in refused.stderr


def test_each_pod_has_the_name_and_the_index_that_the_others_look_for(cluster: Cluster, job: Object) -> None:
    pods = pods_of(cluster, job)
    name, service = job["metadata"]["name"], "tune-nodes"
    assert {pod["spec"]["hostname"] for pod in pods} == {f"{name}-{i}" for i in range(3)}
    assert {pod["spec"]["subdomain"] for pod in pods} == {service}
    for pod in pods:
        index = pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
        assert pod["spec"]["hostname"] == f"{name}-{index}"
        told = {e["name"]: e for e in pod["spec"]["containers"][0]["env"]}
        assert pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == name
        assert told["MASTER_ADDR"]["value"] == f"$(JOB_NAME)-0.{service}"
