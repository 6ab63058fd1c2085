"""IAM policy documents, as JSON text. Each gives what its holder needs, and names the resource wherever IAM lets it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from slipway.aws.ecr_image import EcrImage

Statement = Mapping[str, Any]

TRUST_SAGEMAKER = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "sagemaker.amazonaws.com"}},
        ],
    }
)
"""Lets SageMaker take on a role, and nobody else."""


TRUST_POD_IDENTITY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["sts:AssumeRole", "sts:TagSession"],
                "Principal": {"Service": "pods.eks.amazonaws.com"},
            },
        ],
    }
)
"""Lets pods with an association take on a role (Amazon EKS, "Create IAM role with trust policy required by EKS Pod Identity")."""


def execution(
    image: EcrImage,
    log_group: str,
    *,
    weights_s3_uri: str | None = None,
    weights_kms_key_arn: str | None = None,
    volume_kms_key_arn: str | None = None,
    in_vpc: bool = False,
) -> str:
    """What SageMaker may do on behalf of one endpoint.

    The actions are those of "CreateModel API: Execution Role Permissions" in SageMaker's guide, on narrower resources.

    Args:
        image: The image to pull; no other repository can be.
        log_group: Name of the log group to write, may end in `*`.
        weights_s3_uri: `s3://BUCKET/PREFIX/` to read, and nothing else in S3.
        weights_kms_key_arn: Key with which these objects are encrypted.
        volume_kms_key_arn: Key that encrypts the instances' volumes.
        in_vpc: Whether network interfaces are made in a VPC.
    """
    # An account here would need a look-up that a plan without an account cannot make; a role writes in its own account only.
    logs = f"arn:{image.partition}:logs:{image.region}:*:log-group:{log_group}"
    statements: list[Statement] = [
        _allow(
            "PullImage",
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            image.repository_arn,
        ),
        # The registry's login has no resource that could be named.
        _allow("RegistryLogin", ["ecr:GetAuthorizationToken"], "*"),
        _allow(
            "WriteLogs",
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            [logs, f"{logs}:*"],
        ),
        {
            **_allow("PublishMetrics", ["cloudwatch:PutMetricData"], "*"),
            "Condition": {"StringLike": {"cloudwatch:namespace": ["AWS/SageMaker", "/aws/sagemaker/*"]}},
        },
    ]
    if weights_s3_uri is not None:
        statements += _read_prefix(weights_s3_uri, image.partition)
    if weights_kms_key_arn is not None:
        statements.append(_allow("DecryptWeights", ["kms:Decrypt"], weights_kms_key_arn))
    if volume_kms_key_arn is not None:
        statements.append(_allow("EncryptVolumes", ["kms:CreateGrant", "kms:DescribeKey"], volume_kms_key_arn))
    if in_vpc:
        statements.append(_allow("JoinVpc", _NETWORK_INTERFACES, "*"))
    return _document(statements)


_NETWORK_INTERFACES = [
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
]


INVOKE_ENDPOINT = ("sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream")
"""To call an endpoint, streamed or not."""


def invoke(endpoint_arn: str) -> str:
    """To call one endpoint."""
    return _document([_allow("Invoke", INVOKE_ENDPOINT, endpoint_arn)])


def invoke_all(wanted: Mapping[tuple[str, ...], Sequence[str]]) -> str:
    """To do these things with these resources."""
    return _document([_allow(f"Invoke{i}", actions, resources) for i, (actions, resources) in enumerate(wanted.items())])


def _read_prefix(uri: str, partition: str) -> list[Statement]:
    parts = urlsplit(uri)
    bucket, prefix = f"arn:{partition}:s3:::{parts.netloc}", parts.path.lstrip("/")
    return [
        _allow("ReadWeights", ["s3:GetObject"], f"{bucket}/{prefix}*"),
        {**_allow("ListWeights", ["s3:ListBucket"], bucket), "Condition": {"StringLike": {"s3:prefix": [f"{prefix}*"]}}},
    ]


def _allow(sid: str, actions: Sequence[str], resource: str | Sequence[str]) -> Statement:
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resource}


def _document(statements: Sequence[Statement]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
