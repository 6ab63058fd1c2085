"""EksCluster: the graph that it registers and what it refuses. That EKS accepts it is not proven here."""

import json
from typing import Any

import pulumi
import pytest
import yaml
from tests.infra.sdk_types import faults

from slipway import EksCluster
from slipway.aws.eks_args import ClusterSettings, EksClusterArgs
from slipway.aws.eks_cluster import kubeconfig
from slipway.plan import UNKNOWN, Plan, Secret, plan_program

SMALL: EksClusterArgs = {"subnet_ids": ["subnet-1", "subnet-2"], "public_access_cidrs": ["198.51.100.0/24"]}
GPUS: EksClusterArgs = {
    **SMALL,
    "nodes": {"l4": {"instance_types": ["g6.2xlarge", "g6.4xlarge"], "min": 0, "max": 4, "spot": True}},
    "admin_role_arns": ["arn:aws:iam::123456789012:role/ops"],
    "tags": {"team": "search"},
}
PLAIN: EksClusterArgs = {
    "subnet_ids": ["subnet-1", "subnet-2"],
    "public_access_cidrs": [],
    "auto_mode": False,
    "nodes": {"system": {"instance_types": ["m7i.large"], "min": 2, "max": 3}},
}


def planned(args: EksClusterArgs) -> Plan:
    def program() -> None:
        EksCluster("home", args)

    return plan_program(program)


@pytest.mark.parametrize("args", [SMALL, GPUS, PLAIN], ids=["auto", "gpus", "plain"])
def test_every_input_is_one_that_the_sdk_knows(args: EksClusterArgs) -> None:
    plan = planned(args)
    made = [r for r in plan if r.custom and r.type.startswith("aws:")]
    assert [line for r in made for line in faults(r)] == []
    assert all(r.name.startswith("home-") for r in plan.children(plan["home"]))
    assert len(plan.children(plan["home"])) == len(plan) - 1


def test_auto_mode_runs_the_nodes_and_its_role_may() -> None:
    plan = planned(SMALL)
    cluster = plan["home-cluster"].inputs
    assert cluster["computeConfig"]["enabled"] is True
    assert cluster["accessConfig"]["authenticationMode"] == "API"
    assert cluster["vpcConfig"]["publicAccessCidrs"] == ["198.51.100.0/24"]
    assert "home-role-AmazonEKSComputePolicy" in {r.name for r in plan}
    assert not plan.of_type("aws:eks/nodeGroup:NodeGroup")
    assert not plan.of_type("aws:eks/addon:Addon")


def test_gpu_nodes_carry_the_labels_that_model_servers_select_and_keep_others_off() -> None:
    plan = planned(GPUS)
    nodes = plan["home-l4"].inputs
    assert nodes["amiType"] == "AL2023_x86_64_NVIDIA"
    assert nodes["capacityType"] == "SPOT"
    assert nodes["labels"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
    assert nodes["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]
    assert plan["home-l4"].options["ignoreChanges"] == ["scalingConfig.desiredSize"]
    assert {"home-vpc-cni", "home-kube-proxy", "home-eks-pod-identity-agent"} <= {r.name for r in plan}
    assert plan["home-admin-0-policy"].inputs["accessScope"] == {"type": "cluster"}


def test_without_auto_mode_there_are_node_groups_and_the_api_stays_within() -> None:
    plan = planned(PLAIN)
    cluster = plan["home-cluster"].inputs
    assert "computeConfig" not in cluster
    assert cluster["vpcConfig"]["endpointPublicAccess"] is False
    assert "amiType" not in plan["home-system"].inputs
    assert "home-coredns" in {r.name for r in plan}


def test_the_kubeconfig_is_secret_and_holds_no_credential() -> None:
    plan = planned(SMALL)
    told = plan["home-provider"].inputs["kubeconfig"]
    assert told is UNKNOWN or isinstance(told, Secret)
    config = yaml.safe_load(kubeconfig("home", "https://e", "Y2E=", "eu-central-1"))
    (user,) = config["users"]
    assert user["user"]["exec"]["command"] == "aws"
    assert set(user["user"]) == {"exec"}
    assert json.dumps(config).count("home") >= 4


@pytest.mark.parametrize(
    ("wrong", "path", "words"),
    [
        ({"subnet_ids": ["s"]}, "subnet_ids", "at least two"),
        ({"public_access_cidrs": None}, "public_access_cidrs", "is required"),
        ({"auto_mode": False}, "nodes", "at least one node group"),
        ({"nodes": {"a_b": {"instance_types": ["g6.xlarge"], "min": 0, "max": 1}}}, "nodes.a_b", "a name that cannot be"),
        ({"nodes": {"a": {"instance_types": [], "min": 0, "max": 1}}}, "nodes.a.instance_types", "is empty"),
        ({"nodes": {"a": {"instance_types": ["ml.g6.xlarge"], "min": 0, "max": 1}}}, "nodes.a.instance_types[0]", "of EC2"),
        (
            {"nodes": {"a": {"instance_types": ["g6.xlarge", "g5.xlarge"], "min": 0, "max": 1}}},
            "nodes.a.instance_types",
            "different GPUs (g6.xlarge: l4, g5.xlarge: a10g)",
        ),
        ({"nodes": {"a": {"instance_types": ["g6.xlarge"], "min": 2, "max": 1}}}, "nodes.a.max", "no less than 'min'"),
        ({"nodes": {"a": {"instance_types": ["g6.xlarge"], "min": -1, "max": 1}}}, "nodes.a.min", "0 or more"),
        ({"nodes": {"a": {"instance_types": ["g6.xlarge"], "min": 0, "max": 1, "disk_gib": 10}}}, "nodes.a.disk_gib", "20"),
        ({"subnets": []}, "subnets", "did you mean 'subnet_ids'?"),
    ],
)
def test_each_fault_is_told_by_its_path(wrong: dict[str, Any], path: str, words: str) -> None:
    given: Any = {**SMALL, **wrong}
    with pytest.raises(pulumi.InputPropertiesError) as error:
        ClusterSettings.of("home", given)
    told = {f["property_path"]: f["reason"] for f in error.value.errors or []}
    assert list(told) == [f"args.{path}"]
    assert words in told[f"args.{path}"]


def test_the_name_leaves_room() -> None:
    with pytest.raises(pulumi.InputPropertiesError, match="at most 84"):
        ClusterSettings.of("a" * 85, SMALL)
