"""From the last release to today: nothing that holds data is renamed or replaced, and the API server takes every change."""

import json
from pathlib import Path

import pulumi
import pytest
from tests.cluster.cases import Manifests, prepare, program, roll_out
from tests.cluster.checks import identities
from tests.cluster.cluster import Cluster, ClusterError
from tests.cluster.components import VLLM
from tests.cluster.release import CASES, RECORDED, recorded, today

from slipway import GpuModelServer
from slipway.plan import plan_program
from slipway.plan.render import render
from slipway.plan.upgrade import losses

pytestmark = pytest.mark.timeout(900)

CASES_RECORDED = [p.stem for p in sorted(RECORDED.glob("*.json")) if not p.stem.startswith("component-")]


@pytest.mark.parametrize("case", CASES_RECORDED)
def test_nothing_that_is_kept_is_deleted_or_replaced(case: str, tmp_path: Path) -> None:
    assert case in CASES, "a stack or an example of the last release is gone; delete its record once nobody can have it"
    assert [loss.reason for loss in losses(recorded(case), today(case, tmp_path))] == []


@pytest.mark.parametrize("case", CASES_RECORDED)
def test_today_is_applied_over_the_last_release(cluster: Cluster, case: str, tmp_path: Path) -> None:
    old, new = Manifests(render(recorded(case)).files), Manifests(render(today(case, tmp_path)).files)
    for namespace in old.namespaces:
        # Of another test, perhaps, as it is today.
        cluster.kubectl("delete", "namespace", namespace, "--ignore-not-found", "--timeout=90s", timeout=100)
    prepare(cluster, old)
    cluster.apply(old.text)
    roll_out(cluster, old)
    before = identities(cluster, old)
    assert before
    prepare(cluster, new)
    cluster.apply(new.text)
    roll_out(cluster, new)
    after = identities(cluster, new)
    assert {name: after.get(name) for name in before} == before


def server(name: str = "llama", aliases: list[str] | None = None, **more: object) -> None:
    args = {**VLLM, "namespace": "upgrade", **more}
    opts = pulumi.ResourceOptions(aliases=[pulumi.Alias(name=alias) for alias in aliases or []])
    GpuModelServer(name, args, opts)  # pyright: ignore[reportArgumentType] -- a mapping made of parts


def test_a_renamed_server_is_a_loss_told_by_name() -> None:
    told = [loss.reason for loss in losses(plan_program(server), plan_program(lambda: server("llama-2")))]
    assert any(reason.startswith("llama-server (StatefulSet) is deleted") for reason in told)
    assert any(reason.startswith("llama-service (Service) is deleted") for reason in told)
    assert losses(plan_program(server), plan_program(lambda: server("llama-2", aliases=["llama"]))) != []


def test_another_size_of_the_volume_is_a_loss_and_the_api_server_refuses_it(cluster: Cluster) -> None:
    (loss,) = losses(plan_program(server), plan_program(lambda: server(cache_gib=300)))
    assert loss.reason.startswith("llama-server (StatefulSet) is replaced")
    manifests = program(server)
    prepare(cluster, manifests)
    cluster.apply(manifests.text)
    with pytest.raises(ClusterError, match=r"updates to statefulset spec for fields other than .+ are forbidden"):
        cluster.apply(program(lambda: server(cache_gib=300)).text)


def test_records_are_plans() -> None:
    assert sorted(RECORDED.glob("*.json"))
    for file in RECORDED.glob("*.json"):
        assert json.loads(file.read_text())["resources"]
