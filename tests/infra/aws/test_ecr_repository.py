"""EcrRepository: its refusals, and what moto's server makes of it, whose requests botocore's model of ECR has checked before.

What this does not prove: that AWS deletes what the lifecycle says; moto keeps policies and runs none.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pulumi
import pytest
from moto.server import ThreadedMotoServer
from tests.infra.aws.boto import apply
from tests.infra.sdk_types import faults

from slipway import EcrRepository
from slipway.aws.ecr_repository import EcrRepositoryArgs
from slipway.plan import Plan, plan_program

NODES = "arn:aws:iam::123456789012:role/nodes"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """moto's server on loopback."""
    server: Any = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def planned(args: EcrRepositoryArgs, name: str = "serving") -> Plan:
    return plan_program(lambda: EcrRepository(name, args))


def test_the_service_takes_it_with_its_policies(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, "/dev/null")
    args: EcrRepositoryArgs = {"keep_tagged": 3, "delete_untagged_days": 7, "kms_key_arn": KEY, "pull_role_arns": [NODES]}
    ecr = apply(lambda: EcrRepository("serving", args), moto).clients["ecr"]
    [found] = ecr.describe_repositories(repositoryNames=["serving"])["repositories"]
    assert found["imageTagMutability"] == "IMMUTABLE"
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    assert found["encryptionConfiguration"] == {"encryptionType": "KMS", "kmsKey": KEY}
    lifecycle = json.loads(ecr.get_lifecycle_policy(repositoryName="serving")["lifecyclePolicyText"])
    untagged, tagged = (rule["selection"] for rule in lifecycle["rules"])
    assert (untagged["tagStatus"], untagged["countNumber"], untagged["countUnit"]) == ("untagged", 7, "days")
    assert (tagged["tagStatus"], tagged["countNumber"], tagged["countType"]) == ("tagged", 3, "imageCountMoreThan")
    [statement] = json.loads(ecr.get_repository_policy(repositoryName="serving")["policyText"])["Statement"]
    assert statement["Principal"] == {"AWS": NODES}
    assert sorted(statement["Action"]) == [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
    ]


def test_without_a_word_nothing_with_a_tag_is_deleted() -> None:
    plan = planned({})
    made = [r for r in plan.resources if r.custom]
    assert {r.name for r in made} == {"serving-repository", "serving-lifecycle"}
    assert {r.parent for r in made} == {plan["serving"].urn}
    assert [line for r in made for line in faults(r)] == []
    inputs = plan["serving-repository"].inputs
    assert inputs["encryptionConfigurations"] == [{"encryptionType": "AES256"}]
    assert inputs["forceDelete"] is False
    [rule] = json.loads(plan["serving-lifecycle"].inputs["policy"])["rules"]
    assert rule["selection"]["tagStatus"] == "untagged"


def test_what_is_asked_for_is_in_the_plan() -> None:
    plan = planned({"repository_name": "team/llama", "mutable_tags": True, "force_delete": True, "pull_role_arns": [NODES]})
    inputs = plan["serving-repository"].inputs
    assert (inputs["name"], inputs["imageTagMutability"], inputs["forceDelete"]) == ("team/llama", "MUTABLE", True)
    assert [line for r in plan.resources if r.custom for line in faults(r)] == []


@pytest.mark.parametrize(
    ("wrong", "path", "words"),
    [
        ({"repository_name": "Serving"}, "repository_name", "lower case letters"),
        ({"repository_name": "a"}, "repository_name", "2 to 256"),
        ({"keep_tagged": 0}, "keep_tagged", "at least 1"),
        ({"delete_untagged_days": 0}, "delete_untagged_days", "at least 1"),
        ({"kms_key_arn": "alias/mine"}, "kms_key_arn", "give the ARN of a KMS key"),
        ({"pull_role_arns": []}, "pull_role_arns", "is empty"),
        ({"pull_role_arns": [NODES, "nodes"]}, "pull_role_arns[1]", "give an ARN such as"),
        ({"mutable_tags": "no"}, "mutable_tags", "true or false"),
        ({"scan": True}, "scan", "is not an argument"),
    ],
)
def test_each_fault_is_told_by_its_path(wrong: Mapping[str, Any], path: str, words: str) -> None:
    args: Any = wrong
    with pytest.raises(pulumi.InputPropertiesError) as error:
        planned(args)
    (fault,) = error.value.errors or []
    assert fault["property_path"] == f"args.{path}"
    assert words in fault["reason"]


def test_the_component_s_name_must_be_one_for_a_repository() -> None:
    with pytest.raises(pulumi.InputPropertiesError, match=r"args\.name: \(the component's own\) is 'My Images'"):
        planned({}, "My Images")
