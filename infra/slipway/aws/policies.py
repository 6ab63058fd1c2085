"""IAM policy documents, as JSON text. Each gives what its holder needs, and names the resource wherever IAM lets it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Execution:
    """What SageMaker must do on behalf of one endpoint, and so what its role may do."""

    partition: str
    """Such as 'aws'."""
    region: str
    """The endpoint's."""
    log_group: str
    """Name of the log group that it writes, may end in `*`."""
    images: Sequence[EcrImage] = ()
    """Images to pull; no other repository can be."""
    reads: Sequence[str] = ()
    """`s3://BUCKET/PREFIX/` to read, and nothing else in S3."""
    writes: Sequence[str] = ()
    """`s3://BUCKET/PREFIX/` to write."""
    decrypts: Sequence[str] = ()
    """Keys with which what is read is encrypted."""
    encrypts: Sequence[str] = ()
    """Keys that encrypt what is written."""
    publishes: Sequence[str] = ()
    """SNS topics to tell."""
    volume_kms_key_arn: str | None = None
    """Key that encrypts the instances' volumes."""
    in_vpc: bool = False
    """Whether network interfaces are made in a VPC."""

    def document(self) -> str:
        """The policy. Its actions are those of "CreateModel API: Execution Role Permissions" and "Asynchronous inference:
        prerequisites" in SageMaker's guide, on narrower resources."""
        # An account here would need a look-up that a plan without an account cannot make; a role writes in its own account only.
        logs = f"arn:{self.partition}:logs:{self.region}:*:log-group:{self.log_group}"
        statements: list[Statement] = []
        if self.images:
            statements += [
                _allow("PullImage", _PULL, _one_or_all([image.repository_arn for image in self.images])),
                # The registry's login has no resource that could be named.
                _allow("RegistryLogin", ["ecr:GetAuthorizationToken"], "*"),
            ]
        statements += [
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
        for i, uri in enumerate(dict.fromkeys(self.reads)):
            statements += _read_prefix(uri, self.partition, str(i or ""))
        if self.writes:
            into = [f"arn:{self.partition}:s3:::{bucket}/{prefix}*" for bucket, prefix in map(_parts, dict.fromkeys(self.writes))]
            statements.append(_allow("WriteResults", ["s3:AbortMultipartUpload", "s3:PutObject"], _one_or_all(into)))
        if self.decrypts:
            statements.append(_allow("DecryptWeights", ["kms:Decrypt"], _one_or_all(self.decrypts)))
        if self.encrypts:
            # A large object is uploaded in parts, which S3 decrypts to put together.
            statements.append(_allow("EncryptResults", ["kms:Decrypt", "kms:GenerateDataKey"], _one_or_all(self.encrypts)))
        if self.publishes:
            statements.append(_allow("Notify", ["sns:Publish"], _one_or_all(self.publishes)))
        if self.volume_kms_key_arn is not None:
            statements.append(_allow("EncryptVolumes", ["kms:CreateGrant", "kms:DescribeKey"], self.volume_kms_key_arn))
        if self.in_vpc:
            statements.append(_allow("JoinVpc", _NETWORK_INTERFACES, "*"))
        return _document(statements)


_PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")

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
INVOKE_ASYNC = ("sagemaker:InvokeEndpointAsync",)
"""To have an asynchronous endpoint answer what lies in S3."""


def invoke(endpoint_arn: str, actions: Sequence[str] = INVOKE_ENDPOINT) -> str:
    """To call one endpoint."""
    return _document([_allow("Invoke", actions, endpoint_arn)])


def invoke_all(wanted: Mapping[tuple[str, ...], Sequence[str]]) -> str:
    """To do these things with these resources."""
    return _document([_allow(f"Invoke{i}", actions, resources) for i, (actions, resources) in enumerate(wanted.items())])


def pull_by(role_arns: Sequence[str]) -> str:
    """A repository's own policy: these roles may pull from it."""
    principals = {"AWS": _one_or_all(role_arns)}
    return _document([{"Sid": "Pull", "Effect": "Allow", "Principal": principals, "Action": list(_PULL)}])


def _read_prefix(uri: str, partition: str, nth: str) -> list[Statement]:
    name, prefix = _parts(uri)
    bucket = f"arn:{partition}:s3:::{name}"
    return [
        _allow(f"ReadWeights{nth}", ["s3:GetObject"], f"{bucket}/{prefix}*"),
        {
            **_allow(f"ListWeights{nth}", ["s3:ListBucket"], bucket),
            "Condition": {"StringLike": {"s3:prefix": [f"{prefix}*"]}},
        },
    ]


def _parts(uri: str) -> tuple[str, str]:
    """Bucket and prefix."""
    parts = urlsplit(uri)
    return parts.netloc, parts.path.lstrip("/")


def _one_or_all(values: Sequence[str]) -> str | list[str]:
    each = list(dict.fromkeys(values))
    return each[0] if len(each) == 1 else each


def _allow(sid: str, actions: Sequence[str], resource: str | Sequence[str]) -> Statement:
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resource}


def _document(statements: Sequence[Statement]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
