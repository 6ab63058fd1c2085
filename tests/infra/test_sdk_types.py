"""The walker must find what is wrong: otherwise the tests that lean on it prove nothing."""

from pathlib import Path
from typing import Any

import pulumi_kubernetes as k8s
import pytest
from pulumi.runtime import rpc
from tests.infra.sdk_types import args_class, faults

from slipway.plan import UNKNOWN, Resource, Secret, plan_program, plan_project

ROOT = Path(__file__).parents[2]


def resource(type_: str, inputs: dict[str, Any]) -> Resource:
    return Resource("urn", type_, "it", None, inputs)


MODEL: dict[str, Any] = {"executionRoleArn": UNKNOWN, "primaryContainer": {"image": "i", "environment": {"A": Secret("b")}}}


def test_right_inputs_have_no_faults() -> None:
    assert faults(resource("aws:sagemaker/model:Model", MODEL)) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"executionRole": "r"}, "it.executionRole: ModelArgs has no such property"),
        (
            {"primaryContainer": {"image": "i", "env": {}}},
            "it.primaryContainer.env: ModelPrimaryContainerArgs has no such property",
        ),
        ({"primaryContainer": {"image": 3}}, "it.primaryContainer.image: 3 is no str"),
        ({"enableNetworkIsolation": "yes"}, "it.enableNetworkIsolation: 'yes' is no bool"),
        ({"tags": {"a": 1}}, "it.tags.a: 1 is no str"),
        ({"containers": [{}, {"imagee": "i"}]}, "it.containers[1].imagee: ModelContainerArgs has no such property"),
        ({"vpcConfig": {"subnets": ["s"]}}, "it.vpcConfig.securityGroupIds: ModelVpcConfigArgs requires it"),
        ({"vpcConfig": "none"}, "it.vpcConfig: 'none' is no ModelVpcConfigArgs"),
    ],
)
def test_each_fault_is_told_by_its_path(change: dict[str, Any], expected: str) -> None:
    assert faults(resource("aws:sagemaker/model:Model", {**MODEL, **change})) == [expected]


def test_what_is_required_at_the_top_is_missed() -> None:
    assert faults(resource("aws:sagemaker/model:Model", {})) == ["it.executionRoleArn: ModelArgs requires it"]


def test_kubernetes_and_image_builds_are_known_too() -> None:
    good = {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80, "targetPort": "http"}]}}
    assert faults(resource("kubernetes:core/v1:Service", good)) == []
    assert faults(resource("kubernetes:core/v1:Service", {"spec": {"ports": [{"targetPort": 80}]}})) == [
        "it.spec.ports[0].port: ServicePortArgs requires it"
    ]
    assert args_class("kubernetes:networking.k8s.io/v1:NetworkPolicy").__name__ == "NetworkPolicyInitArgs"
    assert args_class("docker-build:index:Image").__name__ == "ImageArgs"


def test_a_typo_that_pulumi_lets_through_is_found_in_a_plan() -> None:
    def program() -> None:
        spec: Any = {"replica": 3, "selector": {"match_labels": {}}, "template": {}}
        k8s.apps.v1.Deployment("it", spec=spec)

    assert faults(plan_program(program)["it"]) == ["it.spec.replica: DeploymentSpecArgs has no such property"]


def test_an_unknown_resource_is_an_error() -> None:
    with pytest.raises(LookupError, match="has no NosuchArgs"):
        args_class("aws:sagemaker/nosuch:Nosuch")


STACKS = sorted(p.name.split(".")[1] for p in (ROOT / "stacks").glob("Pulumi.*.yaml"))


@pytest.mark.parametrize("stack", STACKS)
def test_every_stack_that_ships_has_only_properties_that_the_providers_know(stack: str) -> None:
    made = [r for r in plan_project(ROOT, stack) if r.custom]
    assert made
    assert [line for r in made if not r.type.startswith("pulumi-") for line in faults(r)] == []
    # What only `up` tells is UNKNOWN, and never the text of an Output.
    told = str([dict(r.inputs) for r in made])
    for text in ("__str__", "pulumi.output", "Output object", rpc.UNKNOWN):
        assert text not in told
