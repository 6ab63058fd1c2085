"""A Job made of a store's CronJobs, as the clock and a user's restore make them: its pods are taken at the restricted level."""

from typing import Any

import pytest
from tests.cluster.cases import Manifests, missing_references, pods_of, prepare, roll_out
from tests.cluster.cluster import Cluster

from slipway import PostgresDatabase, RedisCache, VectorStore
from slipway.plan import plan_program
from slipway.plan.render import render

NAMESPACE = "backups"


@pytest.fixture(scope="module")
def stores(cluster: Cluster) -> Manifests:
    args: Any = {"namespace": NAMESPACE, "backup": {}}
    bucket: Any = {"namespace": NAMESPACE, "backup": {"bucket": {"uri": "s3://acme-backups/cache"}}}

    def declare() -> None:
        PostgresDatabase("chat", args)
        RedisCache("cache", bucket)
        VectorStore("docs", args)

    manifests = Manifests(render(plan_program(declare), skip_secrets=True).files)
    prepare(cluster, manifests)
    cluster.apply(manifests.text)
    roll_out(cluster, manifests)
    return manifests


@pytest.mark.parametrize("role", ["backup", "restore"])
@pytest.mark.parametrize("store", ["chat", "cache", "docs"])
def test_a_job_of_it_runs_with_all_that_it_refers_to(cluster: Cluster, stores: Manifests, store: str, role: str) -> None:
    made = cluster.get("cronjob", f"{store}-{role}", "--namespace", NAMESPACE)
    assert made["spec"]["suspend"] is (role == "restore")
    job = f"{store}-{role}-by-hand"
    cluster.kubectl("create", "job", "--namespace", NAMESPACE, f"--from=cronjob/{store}-{role}", job)
    cluster.kubectl("wait", "--for=condition=Complete", f"job/{job}", "--namespace", NAMESPACE, "--timeout=60s", timeout=70)
    live = cluster.get("job", job, "--namespace", NAMESPACE)
    assert len(pods_of(cluster, live)) == 1
    assert missing_references(cluster, live) == []
    (workload,) = [w for w in stores.of("StatefulSet") if w["metadata"]["name"].startswith(store)]
    # The store's Service must not send anybody to it.
    assert not workload["spec"]["selector"]["matchLabels"].items() <= live["spec"]["template"]["metadata"]["labels"].items()
