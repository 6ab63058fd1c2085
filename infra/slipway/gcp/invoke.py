"""Letting pods ask backends in Google Cloud: a service account that may do what their `gcp_permissions` say, and nothing else."""

import hashlib
import re
from collections.abc import Mapping, Sequence

import pulumi

from slipway.backend import GcpPermission

try:
    import pulumi_gcp as gcp
except ImportError as error:
    raise ImportError("slipway.gcp needs pulumi-gcp; install it with: pip install 'slipway[gcp]'") from error


def invoke_account(
    name: str,
    project: pulumi.Input[str],
    permitted: Mapping[str, Sequence[GcpPermission]],
    namespace: pulumi.Input[str],
    account: str,
    parent: pulumi.Resource,
) -> tuple[pulumi.Output[str], list[pulumi.Resource]]:
    """Make a Google service account that a ServiceAccount of GKE acts as.

    A publisher's models have no policy of their own in IAM, so that what is allowed is allowed in the project.

    Args:
        name: The component's name.
        project: Project of the cluster, in which the account is made.
        permitted: By the backends' names, what each asks for.
        namespace: Namespace of the ServiceAccount.
        account: The ServiceAccount.
        parent: The component.

    Returns:
        The account's address, and the bindings.
    """
    made = gcp.serviceaccount.Account(
        f"{name}-identity",
        account_id=account_id(name),
        display_name=f"Pods of {name}",
        project=project,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    bindings: list[pulumi.Resource] = [
        gcp.serviceaccount.IAMMember(
            f"{name}-identity-user",
            service_account_id=made.name,
            role="roles/iam.workloadIdentityUser",
            member=pulumi.Output.concat("serviceAccount:", project, ".svc.id.goog[", namespace, "/", account, "]"),
            opts=pulumi.ResourceOptions(parent=parent),
        )
    ]
    for backend, permissions in permitted.items():
        for i, permission in enumerate(permissions):
            suffix = f"{backend}-{i}" if i else backend
            role = gcp.projects.IAMCustomRole(
                f"{name}-invoke-{suffix}",
                role_id=role_id(f"{name}-{suffix}"),
                title=f"{name} asks {backend}"[:100],
                permissions=permission["permissions"],
                project=permission["project"],
                opts=pulumi.ResourceOptions(parent=parent),
            )
            bindings.append(_bind(f"{name}-invoke-{suffix}-member", permission, role.name, made.member, parent))
    return made.email, bindings


def _bind(
    name: str, permission: GcpPermission, role: pulumi.Input[str], member: pulumi.Input[str], parent: pulumi.Resource
) -> pulumi.Resource:
    """On the endpoint itself, where it is one."""
    opts = pulumi.ResourceOptions(parent=parent)
    project = permission["project"]
    if "endpoint" not in permission:
        return gcp.projects.IAMMember(name, project=project, role=role, member=member, opts=opts)
    return gcp.vertex.AiEndpointIamMember(
        name,
        endpoint=permission["endpoint"],
        location=permission.get("location"),
        project=project,
        role=role,
        member=member,
        opts=opts,
    )


def account_id(name: str) -> str:
    """6 to 30 lower case letters, digits and '-' (IAM API Reference: projects.serviceAccounts.create): the beginning of the
    component's name, and a digest that tells stacks of one project apart."""
    stem = re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")[:21].strip("-")
    return f"{stem if stem[:1].isalpha() else f'r{stem}'[:21]}-{digest(name)}"


def role_id(name: str) -> str:
    """At most 64 letters, digits, '_' and '.' (IAM API Reference: projects.roles.create)."""
    return f"{re.sub(r'[^A-Za-z0-9_.]', '_', name)[:55]}_{digest(name)}"


def digest(name: str) -> str:
    """Of a component's name in its stack: 8 hexadecimal digits that tell stacks of one project apart."""
    owner = f"{pulumi.get_project()}/{pulumi.get_stack()}/{name}"
    return hashlib.sha256(owner.encode()).hexdigest()[:8]
