"""What clusters and their nodes cost."""

from typing import Any

import pytest
from tests.infra.plan.bills import lines, own, resource

from slipway import EksCluster, GkeCluster
from slipway.plan import UNKNOWN, Resource, plan_program
from slipway.plan.cost import cost, month, words
from slipway.prices import Rates

HOURS = 730


def group(*types: str, **more: Any) -> Resource:
    scaling = {"minSize": 1, "maxSize": 3, "desiredSize": 1}
    return resource("aws:eks/nodeGroup:NodeGroup", "g", instanceTypes=list(types), scalingConfig=scaling, **more)


def pool(location: str = "europe-west4", **more: Any) -> Resource:
    config = {"machineType": "g2-standard-12", **more.pop("config", {})}
    scaling = {"minNodeCount": 0, "maxNodeCount": 2}
    return resource("gcp:container/nodePool:NodePool", "p", location=location, nodeConfig=config, autoscaling=scaling, **more)


def test_a_control_plane_is_paid_for_by_the_hour() -> None:
    [eks] = lines(resource("aws:eks/cluster:Cluster", "c"))
    assert month(eks).least == month(eks).most == pytest.approx(73)
    assert words(eks) == "1 x control plane of EKS: list price of 2026-08-21"
    [auto] = lines(resource("aws:eks/cluster:Cluster", "c", computeConfig={"enabled": True}))
    assert "without Auto Mode's fee" in words(auto)
    [gke] = lines(resource("gcp:container/cluster:Cluster", "c", location="europe-west4"))
    assert month(gke).most == pytest.approx(73)
    assert gke.price is not None
    assert "infracost" in gke.price.source
    [mine] = lines(resource("aws:eks/cluster:Cluster", "c"), rates=own(control_plane_usd_per_hour=0.6))
    assert words(mine) == "1 x control plane of EKS: your own price"
    assert month(mine).most == pytest.approx(438)


def test_a_node_group_costs_from_its_least_to_its_most() -> None:
    [told] = lines(group("g6.2xlarge"), rates=own(cluster={"place": "ec2", "region": "us-east-1"}))
    assert (month(told).least, month(told).most) == (pytest.approx(0.9776 * HOURS), pytest.approx(3 * 0.9776 * HOURS))
    assert words(told) == "1 to 3 x g6.2xlarge: us-east-1's list price of 2026-07-20"
    # Nodes for everything else have a price as well.
    [told] = lines(group("m7i.large"))
    assert month(told).least == pytest.approx(0.1008 * HOURS)
    [told] = lines(group("m9x.large"))
    assert month(told).unknown == ("g",)
    spot = group("g6.2xlarge", capacityType="SPOT")
    [told] = lines(spot, rates=own(cluster={"place": "ec2", "region": "us-east-2"}))
    assert (month(told).most, words(told)[-10:]) == (pytest.approx(3 * 0.3153 * HOURS), "2026-08-06")
    [told] = lines(spot, rates=own(cluster={"place": "ec2", "region": "ca-central-1"}))
    assert "no spot price of g6.2xlarge in ca-central-1 is known (in sa-east-1 it is $0.23 an hour)" in words(told)
    [told] = lines(group("g6.2xlarge", capacityType="SPOT"), rates=own(machines=[spot_rate()]))
    assert month(told).most == pytest.approx(3 * 0.4 * HOURS)
    [told] = lines(resource("aws:eks/nodeGroup:NodeGroup", "g", instanceTypes=UNKNOWN, scalingConfig=UNKNOWN))
    assert "how many is known only after up" in words(told)


def spot_rate() -> dict[str, Any]:
    return {"place": "ec2", "machine": "g6.2xlarge", "kind": "spot", "usd_per_hour": 0.4}


def test_a_pool_s_numbers_are_those_of_each_of_its_zones() -> None:
    each = 1.051488 * HOURS
    assert month(lines(pool())[0]).most == pytest.approx(3 * 2 * each)
    assert month(lines(pool("europe-west4-b"))[0]).most == pytest.approx(2 * each)
    assert month(lines(pool(nodeLocations=["europe-west4-a", "europe-west4-b"]))[0]).most == pytest.approx(4 * each)
    assert month(lines(pool(config={"spot": True}))[0]).most == pytest.approx(6 * 0.55178 * HOURS)
    assert month(lines(pool())[0]).least == 0
    fixed = resource(
        "gcp:container/nodePool:NodePool", "p", location="us-central1-a", nodeConfig={"machineType": "e2-standard-4"}
    )
    assert words(lines(fixed)[0]).startswith("1 x e2-standard-4: us-central1's list price of 2026-08-03")
    assert "its machine is known only after up" in words(lines(pool(config={"machineType": UNKNOWN}))[0])


def test_pods_on_nodes_of_the_same_stack_are_not_paid_for_twice() -> None:
    spec = {"template": {"spec": {"containers": [{"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}}}
    web = resource("kubernetes:apps/v1:Deployment", "web", spec=spec)
    job = resource("kubernetes:batch/v1:Job", "job", spec=spec)
    assert {line.resource.name for line in lines(web, job)} == {"web", "job"}
    assert {line.resource.name for line in lines(web, job, group("m7i.large"))} == {"g"}
    # Karpenter's pools have no number: there the pods are counted.
    karpenter = resource("kubernetes:karpenter.sh/v1:NodePool", "k")
    assert {line.resource.name for line in lines(web, karpenter)} == {"web"}


def test_the_clusters_of_the_library() -> None:
    def program() -> None:
        EksCluster(
            "eks",
            {
                "subnet_ids": ["a", "b"],
                "public_access_cidrs": [],
                "auto_mode": False,
                "nodes": {"cpu": {"instance_types": ["m7i.large"], "min": 1, "max": 3}},
            },
        )
        GkeCluster("gke", {"location": "europe-west4", "gpu_pools": {"l4": {"machine_type": "g2-standard-12", "max_nodes": 2}}})

    told = {c.name: c for c in cost(plan_program(program), Rates()).components}
    assert told["eks"].total.unknown == told["gke"].total.unknown == ()
    assert {line.what for line in told["gke"].lines} == {"control plane of GKE", "e2-standard-4", "g2-standard-12"}
    assert told["gke"].total.least == pytest.approx(73 + 3 * 0.147544 * HOURS, rel=1e-3)
