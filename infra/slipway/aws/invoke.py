"""Letting a role ask backends: what their `aws_permissions` say, and nothing else."""

from collections.abc import Sequence
from typing import Any, cast

import pulumi

from slipway.aws import policies
from slipway.aws.sdk import aws
from slipway.backend import AwsPermission, Backend


def grant_invoke(
    name: str, role_name: pulumi.Input[str], backends: Sequence[Backend], opts: pulumi.ResourceOptions | None = None
) -> aws.iam.RolePolicy:
    """Let a role of yours, such as one for IAM Roles for Service Accounts, ask these backends.

    Args:
        name: Logical name of the policy.
        role_name: Name of the role, not its ARN.
        backends: Those that `AiApiService` gets; the ones outside AWS ask for nothing.
        opts: Resource options.

    Raises:
        ValueError: None of the backends has `aws_permissions`.
    """
    wanted = [p for b in backends for p in b.get("aws_permissions", ())]
    if not wanted:
        raise ValueError("no backend has 'aws_permissions'; a policy that allows nothing is none")
    statements: Any = pulumi.Output.from_input(cast("Any", wanted))
    return aws.iam.RolePolicy(name, role=role_name, policy=statements.apply(document), opts=opts)


def invoke_role(
    name: str, backends: Sequence[Backend], description: str, parent: pulumi.Resource
) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
    """Make a role for EKS Pod Identity that may ask these backends, and nothing else."""
    role = aws.iam.Role(
        name,
        description=f"{description} ask models under this role",
        assume_role_policy=policies.TRUST_POD_IDENTITY,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return role, grant_invoke(f"{name}-invoke", role.name, backends, pulumi.ResourceOptions(parent=parent))


def document(wanted: Sequence[AwsPermission]) -> str:
    """The policy: one statement for all that may be done in the same way."""
    merged: dict[tuple[str, ...], list[str]] = {}
    for permission in wanted:
        resources = merged.setdefault(tuple(permission["actions"]), [])
        resources += [cast("str", r) for r in permission["resources"] if r not in resources]
    return policies.invoke_all(merged)
