"""IAM documents, asked what they allow by an evaluation of our own: `*` and `?` as IAM matches them, StringLike conditions.

What this does not prove: that AWS evaluates them alike. Policy simulation does, where an account or its emulator is.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, cast

import pytest

from slipway.aws import policies
from slipway.aws.ecr_image import EcrImage

IMAGE = EcrImage("123456789012", "eu-central-1", "team/llama", ":1", "aws")
LOGS = "/aws/sagemaker/Endpoints/chat-endpoint-*"


def allows(document: str, action: str, resource: str, context: Mapping[str, str] | None = None) -> bool:
    for statement in json.loads(document)["Statement"]:
        resources = [statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"]
        wanted: Mapping[str, list[str]] = statement.get("Condition", {}).get("StringLike", {})
        if (
            statement["Effect"] == "Allow"
            and any(_like(action, a) for a in statement["Action"])
            and any(_like(resource, r) for r in resources)
            and all(any(_like((context or {}).get(k, ""), v) for v in values) for k, values in wanted.items())
        ):
            return True
    return False


def _like(value: str, pattern: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), value) is not None


def actions(document: str) -> set[str]:
    return {a for s in cast("list[dict[str, Any]]", json.loads(document)["Statement"]) for a in s["Action"]}


def execution(**more: Any) -> str:
    return policies.Execution("aws", "eu-central-1", LOGS, images=[IMAGE], **more).document()


EXECUTION = execution(reads=["s3://models/llama/8b/"])


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ecr:BatchGetImage", "arn:aws:ecr:eu-central-1:123456789012:repository/team/llama"),
        ("ecr:GetAuthorizationToken", "*"),
        ("s3:GetObject", "arn:aws:s3:::models/llama/8b/config.json"),
        (
            "logs:CreateLogGroup",
            "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/sagemaker/Endpoints/chat-endpoint-0a1b2c3",
        ),
        (
            "logs:PutLogEvents",
            "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/sagemaker/Endpoints/chat-endpoint-0a1b2c3:log-stream:x",
        ),
    ],
)
def test_the_execution_role_may_do_what_serving_needs(action: str, resource: str) -> None:
    assert allows(EXECUTION, action, resource)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ecr:BatchGetImage", "arn:aws:ecr:eu-central-1:123456789012:repository/team/other"),
        ("ecr:PutImage", "arn:aws:ecr:eu-central-1:123456789012:repository/team/llama"),
        ("s3:GetObject", "arn:aws:s3:::models/llama/70b/config.json"),
        ("s3:GetObject", "arn:aws:s3:::others/llama/8b/config.json"),
        ("s3:PutObject", "arn:aws:s3:::models/llama/8b/config.json"),
        ("logs:PutLogEvents", "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/sagemaker/Endpoints/other:log-stream:x"),
        ("kms:Decrypt", "arn:aws:kms:eu-central-1:123456789012:key/1"),
        ("ec2:CreateNetworkInterface", "*"),
        ("sagemaker:InvokeEndpoint", "arn:aws:sagemaker:eu-central-1:123456789012:endpoint/chat-endpoint-0a1b2c3"),
    ],
)
def test_the_execution_role_may_do_nothing_else(action: str, resource: str) -> None:
    assert not allows(EXECUTION, action, resource)


def test_listing_and_metrics_are_bound_by_conditions() -> None:
    assert allows(EXECUTION, "s3:ListBucket", "arn:aws:s3:::models", {"s3:prefix": "llama/8b/"})
    assert not allows(EXECUTION, "s3:ListBucket", "arn:aws:s3:::models", {"s3:prefix": "llama/70b/"})
    assert not allows(EXECUTION, "s3:ListBucket", "arn:aws:s3:::models")
    assert allows(EXECUTION, "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "/aws/sagemaker/Endpoints"})
    assert not allows(EXECUTION, "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "Billing"})


def test_without_weights_in_s3_there_is_no_permission_for_s3() -> None:
    assert not [a for a in actions(execution()) if a.startswith("s3:")]


def test_a_whole_bucket_can_be_the_prefix() -> None:
    document = execution(reads=["s3://models/"])
    assert allows(document, "s3:GetObject", "arn:aws:s3:::models/a")
    assert not allows(document, "s3:GetObject", "arn:aws:s3:::models-2/a")


def test_keys_and_network_interfaces_only_where_asked() -> None:
    weights, volume = "arn:aws:kms:eu-central-1:123456789012:key/1", "arn:aws:kms:eu-central-1:123456789012:key/2"
    document = execution(decrypts=[weights], volume_kms_key_arn=volume, in_vpc=True)
    assert allows(document, "kms:Decrypt", weights)
    assert not allows(document, "kms:Decrypt", volume)
    assert allows(document, "kms:CreateGrant", volume)
    assert not allows(document, "kms:CreateGrant", weights)
    assert allows(document, "ec2:CreateNetworkInterface", "*")


def test_a_caller_may_invoke_this_endpoint_and_nothing_else() -> None:
    arn = "arn:aws:sagemaker:eu-central-1:123456789012:endpoint/chat"
    document = policies.invoke(arn)
    assert actions(document) == {"sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"}
    assert allows(document, "sagemaker:InvokeEndpointWithResponseStream", arn)
    assert not allows(document, "sagemaker:InvokeEndpoint", f"{arn}-2")


def test_only_sagemaker_may_take_the_role() -> None:
    (statement,) = json.loads(policies.TRUST_SAGEMAKER)["Statement"]
    assert statement["Principal"] == {"Service": "sagemaker.amazonaws.com"}


def test_the_statements_of_a_document_have_ids_that_differ() -> None:
    document = execution(
        reads=["s3://m/a/", "s3://m/b/"],
        writes=["s3://m/c/"],
        decrypts=["k"],
        encrypts=["e"],
        publishes=["t"],
        volume_kms_key_arn="v",
        in_vpc=True,
    )
    ids = [s["Sid"] for s in json.loads(document)["Statement"]]
    assert len(ids) == len(set(ids))
