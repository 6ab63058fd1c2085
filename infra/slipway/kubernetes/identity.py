"""Who a pod is to its cloud, without a key: IAM roles for service accounts and Pod Identity on EKS, Workload Identity on GKE."""

import importlib.util
import re
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import pulumi

from slipway.args import Faults, known
from slipway.backend import Egress
from slipway.kubernetes.network import anywhere

_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,576}", re.ASCII)
_SERVICE_ACCOUNT = re.compile(r"[a-z0-9-]{1,63}@[a-z0-9.-]+\.gserviceaccount\.com")
_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_POD_IDENTITY_AGENT: tuple[Egress, ...] = (
    {"port": 80, "cidr": "169.254.170.23/32"},
    {"port": 80, "cidr": "fd00:ec2::23/128"},
)
"""Addresses of the agent on each node (Amazon EKS, "Set up the Amazon EKS Pod Identity Agent")."""
_GKE_METADATA_SERVER: tuple[Egress, ...] = (
    {"port": 988, "cidr": "169.254.169.252/32"},
    {"port": 80, "cidr": "169.254.169.254/32"},
)
"""GKE's metadata server, the second with Dataplane V2 (Google Kubernetes Engine, "About Workload Identity Federation")."""


class WorkloadIdentity(TypedDict):
    """Who the pods are to their cloud. Give `aws_role_arn` or `gcp_service_account`. Roles and permissions are yours to make."""

    aws_role_arn: NotRequired[pulumi.Input[str]]
    """ARN of the IAM role that the pods take on. Its trust policy must name this service's ServiceAccount, `NAME-account`, for
    the cluster's OIDC provider; with `eks_cluster` the service `pods.eks.amazonaws.com`."""
    eks_cluster: NotRequired[pulumi.Input[str]]
    """Name of the EKS cluster: the role is given by EKS Pod Identity, as an association made here, instead of by an annotation.
    Needs `slipway[aws]`, and the cluster's Pod Identity Agent. Goes with `aws_role_arn`."""
    gcp_service_account: NotRequired[pulumi.Input[str]]
    """E-mail address of the Google service account that the pods act as. It must let
    `PROJECT.svc.id.goog[NAMESPACE/NAME-account]` use it, by the role `roles/iam.workloadIdentityUser`."""


def check_identity(path: str, identity: Mapping[str, Any], faults: Faults) -> None:
    """Refuse no identity, two, and what no cloud would take for one."""
    if "aws_role_arn" in identity and "gcp_service_account" in identity:
        faults.add(path, "has 'aws_role_arn' and 'gcp_service_account'; give one, of the cloud that the cluster runs in")
    elif not ("aws_role_arn" in identity or "gcp_service_account" in identity) and not faults.at(path):
        faults.add(path, "names nobody; give 'aws_role_arn' or 'gcp_service_account'")
    shapes = {
        "aws_role_arn": (_ROLE, "an ARN such as 'arn:aws:iam::123456789012:role/router'"),
        "gcp_service_account": (_SERVICE_ACCOUNT, "an address such as 'router@my-project.iam.gserviceaccount.com'"),
        "eks_cluster": (_CLUSTER, "the cluster's name: letters, digits, '-' and '_', at most 100"),
    }
    for key, (shape, wanted) in shapes.items():
        if not faults.at(f"{path}.{key}"):

            def check(value: str, key: str = key, shape: re.Pattern[str] = shape, wanted: str = wanted) -> None:
                if not shape.fullmatch(value):
                    faults.add(f"{path}.{key}", f"is {value!r}; give {wanted}")

            known(identity.get(key), check)
    if "eks_cluster" in identity:
        if "aws_role_arn" not in identity:
            faults.add(f"{path}.eks_cluster", "goes with 'aws_role_arn', the role that its pods get; give both or neither")
        elif importlib.util.find_spec("pulumi_aws") is None:
            faults.add(f"{path}.eks_cluster", "needs pulumi-aws; install it with: pip install 'slipway[aws]'")


def account_annotations(identity: WorkloadIdentity | None) -> dict[str, pulumi.Input[str]]:
    """What a ServiceAccount says of its identity. With EKS Pod Identity: nothing."""
    if identity is None:
        return {}
    if "gcp_service_account" in identity:
        return {"iam.gke.io/gcp-service-account": identity["gcp_service_account"]}
    if "aws_role_arn" in identity and "eks_cluster" not in identity:
        return {"eks.amazonaws.com/role-arn": identity["aws_role_arn"]}
    return {}


def identity_egress(identity: WorkloadIdentity | None) -> list[Egress]:
    """Where a pod must be able to connect for its credentials: to its node's agent, or to AWS's token service."""
    if identity is None:
        return []
    if "gcp_service_account" in identity:
        return list(_GKE_METADATA_SERVER)
    return list(_POD_IDENTITY_AGENT) if "eks_cluster" in identity else anywhere(443)


def associate(
    name: str, identity: WorkloadIdentity, namespace: pulumi.Input[str], account: str, opts: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """Make EKS's association of a ServiceAccount with its role, where EKS Pod Identity was asked for.

    Args:
        name: The component's name.
        identity: What was asked for, checked.
        namespace: Namespace of the ServiceAccount.
        account: The ServiceAccount.
        opts: Resource options.

    Returns:
        What the pods have to wait for: they are given their identity when they are made, and not later.
    """
    if "eks_cluster" not in identity or "aws_role_arn" not in identity:
        return []
    import pulumi_aws as aws  # an optional part, half a second and more

    association = aws.eks.PodIdentityAssociation(
        f"{name}-identity",
        cluster_name=identity["eks_cluster"],
        namespace=namespace,
        service_account=account,
        role_arn=identity["aws_role_arn"],
        opts=opts,
    )
    return [association]
