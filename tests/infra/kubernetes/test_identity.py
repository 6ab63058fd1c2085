"""Who a pod is to its cloud: what each cloud's own webhook or agent looks for, and the way out to it. That the cloud gives
credentials for it is not proven here."""

import importlib.util
from importlib.machinery import ModuleSpec
from typing import Any

import pytest
from tests.infra.kubernetes.service import planned, refused, schema_faults
from tests.infra.sdk_types import faults as sdk_faults

from slipway.plan import Plan

ROLE = "arn:aws:iam::123456789012:role/slipway/router"
GOOGLE = "router@my-project.iam.gserviceaccount.com"
AWS = {"aws_role_arn": ROLE}


def ways_out(plan: Plan) -> list[tuple[str | None, int]]:
    rules = plan["api-network"].inputs["spec"]["egress"]
    return [(rule["to"][0].get("ipBlock", {}).get("cidr"), rule["ports"][0]["port"]) for rule in rules]


def annotations(plan: Plan) -> dict[str, str]:
    return plan["api-account"].inputs["metadata"].get("annotations", {})


def test_nobody_by_default() -> None:
    plan = planned()
    assert "annotations" not in plan["api-account"].inputs["metadata"]
    assert "api-identity" not in plan


def test_on_eks_a_role_by_annotation_and_the_way_to_the_token_service() -> None:
    backend = {"name": "x", "url": "http://x:8000/v1", "model": "x", "egress": {"port": 8000, "cidr": "10.0.0.0/8"}}
    plan = planned(identity=AWS, backends=[backend])
    assert annotations(plan) == {"eks.amazonaws.com/role-arn": ROLE}
    assert ways_out(plan)[1:] == [("10.0.0.0/8", 8000), ("0.0.0.0/0", 443), ("::/0", 443)]
    assert "api-identity" not in plan


def test_on_eks_a_role_by_association_which_the_pods_wait_for() -> None:
    plan = planned(identity={**AWS, "eks_cluster": "prod"}, create_namespace=True)
    assert annotations(plan) == {}
    association = plan["api-identity"]
    assert association.type == "aws:eks/podIdentityAssociation:PodIdentityAssociation"
    assert sdk_faults(association) == []
    assert association.inputs == {"clusterName": "prod", "namespace": "ai", "serviceAccount": "api-account", "roleArn": ROLE}
    assert association.inputs["serviceAccount"] == plan["api-router"].inputs["spec"]["template"]["spec"]["serviceAccountName"]
    assert association.urn in plan["api-router"].options["dependsOn"]
    assert association.parent == plan.of_type("slipway:index:AiApiService")[0].urn
    assert {("169.254.170.23/32", 80), ("fd00:ec2::23/128", 80)} <= set(ways_out(plan))


def test_on_gke_an_account_and_the_way_to_the_metadata_server() -> None:
    plan = planned(identity={"gcp_service_account": GOOGLE})
    assert annotations(plan) == {"iam.gke.io/gcp-service-account": GOOGLE}
    assert {("169.254.169.252/32", 988), ("169.254.169.254/32", 80)} <= set(ways_out(plan))


def test_no_pod_gets_a_token_for_the_clusters_own_api() -> None:
    for identity in (AWS, {**AWS, "eks_cluster": "prod"}, {"gcp_service_account": GOOGLE}):
        plan = planned(identity=identity)
        assert plan["api-account"].inputs["automountServiceAccountToken"] is False
        assert plan["api-router"].inputs["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
        assert schema_faults(plan_without_aws(plan)) == []


def plan_without_aws(plan: Plan) -> Plan:
    return Plan(plan.project, plan.stack, tuple(r for r in plan if not r.type.startswith("aws:")))


WRONG: list[tuple[Any, dict[str, str]]] = [
    (ROLE, {"": "give a mapping with the keys 'aws_role_arn', 'eks_cluster', 'gcp_service_account'"}),
    ({}, {"": "names nobody; give 'aws_role_arn' or 'gcp_service_account'"}),
    ({**AWS, "gcp_service_account": GOOGLE}, {"": "give one, of the cloud that the cluster runs in"}),
    ({"aws_role_arn": "router"}, {".aws_role_arn": "is 'router'; give an ARN such as"}),
    ({"aws_role_arn": "arn:aws:iam::123:role/x"}, {".aws_role_arn": "give an ARN such as"}),
    ({"aws_role_arn": "arn:aws:iam::123456789012:user/x"}, {".aws_role_arn": "give an ARN such as"}),
    ({"aws_role_arn": 3}, {".aws_role_arn": "give text"}),
    ({"gcp_service_account": "router"}, {".gcp_service_account": "give an address such as"}),
    ({"gcp_service_account": "me@gmail.com"}, {".gcp_service_account": "give an address such as"}),
    ({**AWS, "eks_cluster": "my cluster"}, {".eks_cluster": "give the cluster's name"}),
    ({"gcp_service_account": GOOGLE, "eks_cluster": "prod"}, {".eks_cluster": "goes with 'aws_role_arn'"}),
    ({**AWS, "role": "x"}, {".role": "is not an argument"}),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG)
def test_each_wrong_argument_is_one_clear_fault(wrong: Any, told: dict[str, str]) -> None:
    faults = refused(identity=wrong)
    assert faults.keys() == {f"identity{path}" for path in told}
    assert all(reason in faults[f"identity{path}"] for path, reason in told.items()), faults


def test_an_association_without_the_optional_part_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def without_aws(name: str) -> ModuleSpec | None:
        return None if name == "pulumi_aws" else found(name)

    monkeypatch.setattr(importlib.util, "find_spec", without_aws)
    assert "pip install 'slipway[aws]'" in refused(identity={**AWS, "eks_cluster": "prod"})["identity.eks_cluster"]
    assert refused(identity=AWS) == {}
