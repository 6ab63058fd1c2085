"""What volumes cost."""

from typing import Any

import pytest
from tests.infra.plan.bills import lines, own, resource

from slipway.plan import UNKNOWN, Resource
from slipway.plan.cost import month, words

ON_EC2 = own(cluster={"place": "ec2", "region": "us-east-1"}, vcpu_usd_per_hour=1, memory_gib_usd_per_hour=1)
ON_GCE = own(cluster={"place": "gce"})


def claim(size: object = "100Gi", **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": {"storage": size}}, **more}


def volume(size: object = "100Gi", **more: Any) -> Resource:
    return resource("kubernetes:core/v1:PersistentVolumeClaim", "v", spec=claim(size, **more))


def test_a_claim_costs_its_gib_whatever_is_in_it() -> None:
    [told] = lines(volume(), rates=ON_EC2)
    assert month(told).least == month(told).most == pytest.approx(8)
    assert words(told) == "1 x a volume of 100 GiB: gp3, us-east-1's list price of 2026-08-21"
    assert month(lines(volume(storageClassName="io2"), rates=ON_EC2)[0]).most == pytest.approx(12.5)
    assert month(lines(volume(storageClassName="premium-rwo"), rates=ON_GCE)[0]).most == pytest.approx(17)
    assert "pd-balanced" in words(lines(volume(), rates=ON_GCE)[0])


@pytest.mark.parametrize(
    ("told", "rates", "says"),
    [
        (volume(), own(), "whose volumes they are is not known; give 'cluster' or volume_gib_usd_per_month in rates.yaml"),
        (volume(storageClassName="fast"), ON_EC2, "no price of class 'fast' on ec2 in us-east-1 is known"),
        (volume(), own(cluster={"place": "azure"}), "no price of a volume on azure is known; give volume_gib_usd_per_month"),
        (volume(UNKNOWN), ON_EC2, "its size is known only after up"),
    ],
)
def test_what_is_unknown_is_never_0(told: Resource, rates: Any, says: str) -> None:
    [line] = lines(told, rates=rates)
    assert says in line.note
    assert month(line).unknown == ("v",)


def test_a_stack_s_own_cluster_tells_whose_volumes_they_are() -> None:
    gke = resource("gcp:container/cluster:Cluster", "c", location="us-central1-a")
    assert [line.what for line in lines(volume(), gke)] == ["control plane of GKE", "a volume of 100 GiB"]
    assert month(lines(volume(), gke)[1]).most == pytest.approx(10)
    eks = resource("aws:eks/cluster:Cluster", "c")
    assert "gp3" in words(lines(volume(), eks)[1])


def test_one_s_own_price_is_that_of_every_class() -> None:
    [told] = lines(volume(storageClassName="fast"), rates=own(volume_gib_usd_per_month=0.05))
    assert (month(told).most, words(told)) == (pytest.approx(5), "1 x a volume of 100 GiB: your own price")


def test_every_pod_has_its_own_of_what_its_workload_claims() -> None:
    pod = {"containers": [{"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}
    scratch: dict[str, Any] = {"name": "s", "ephemeral": {"volumeClaimTemplate": {"spec": claim("50Gi")}}}
    spec: dict[str, Any] = {
        "replicas": 3,
        "template": {"spec": {**pod, "volumes": [scratch, {"emptyDir": {}}]}},
        "volumeClaimTemplates": [{"spec": claim()}],
    }
    told = lines(resource("kubernetes:apps/v1:StatefulSet", "db", spec=spec), rates=ON_EC2)
    assert [words(line).partition(":")[0] for line in told[1:]] == ["3 x a volume of 100 GiB", "3 x a volume of 50 GiB"]
    assert month(told[1]).most == pytest.approx(24)
