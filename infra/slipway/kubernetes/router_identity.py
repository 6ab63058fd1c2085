"""The identity that a router's backends ask for, made for it: a role or a service account that may ask them, and nothing else."""

import importlib.util
import re
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi

from slipway.args import Faults, known
from slipway.backend import Backend, Egress, GcpPermission
from slipway.kubernetes.identity import WorkloadIdentity, identity_egress
from slipway_router.protocol import AWS, GCP

_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")


class RouterIdentity(TypedDict):
    """Where the identity is made. Give `eks_cluster` or `gcp_project`."""

    eks_cluster: NotRequired[pulumi.Input[str]]
    """Name of the EKS cluster: an IAM role for its Pod Identity, which may do what the backends' `aws_permissions` say. Needs
    `slipway[aws]`, and the cluster's Pod Identity Agent."""
    gcp_project: NotRequired[pulumi.Input[str]]
    """Id of the GKE cluster's project: a Google service account in it, for Workload Identity, which may do what the backends'
    `gcp_permissions` say, in their projects. Needs `slipway[gcp]`."""


def check_router_identity(path: str, wanted: Mapping[str, Any], backends: Sequence[Backend], faults: Faults) -> None:
    """Refuse no place, two, what cannot be one, and an identity that would be allowed nothing."""
    if ("eks_cluster" in wanted) == ("gcp_project" in wanted):
        faults.add(path, "give either 'eks_cluster' or 'gcp_project', of the cloud that the cluster runs in")
        return
    key, package, extra, permissions, shape, such = (
        ("eks_cluster", "pulumi_aws", "aws", "aws_permissions", _CLUSTER, "the cluster's name: letters, digits, '-' and '_'")
        if "eks_cluster" in wanted
        else ("gcp_project", "pulumi_gcp", "gcp", "gcp_permissions", _PROJECT, "a project's id, such as 'my-project'")
    )
    if importlib.util.find_spec(package) is None:
        faults.add(f"{path}.{key}", f"needs {package.replace('_', '-')}; install it with: pip install 'slipway[{extra}]'")
    elif not any(b.get(permissions) for b in backends):
        faults.add(f"{path}.{key}", f"would be allowed nothing: no backend has '{permissions}'; leave it out")

    def check(value: str) -> None:
        if not shape.fullmatch(value):
            faults.add(f"{path}.{key}", f"is {value!r}; give {such}")

    if not faults.at(f"{path}.{key}"):
        known(wanted[key], check)


def check_somebody_asks(
    identities: Sequence[Mapping[str, Any]], env: Sequence[str], backends: Sequence[Backend], faults: Faults
) -> None:
    """Refuse a backend that is asked by an identity, where the pods have none in its cloud.

    Args:
        identities: The arguments `identity`, `make_identity` and `federation`, those that are given.
        env: Variables of the pods that Secrets fill.
        backends: What is routed to.
        faults: Where to tell what is wrong.
    """
    keys = {key for identity in identities for key in identity}
    for i, backend in enumerate(backends):
        protocol: object = backend.get("protocol")
        if not isinstance(protocol, str):
            continue
        if protocol in AWS and not keys & {"aws_role_arn", "eks_cluster"} and "AWS_ACCESS_KEY_ID" not in env:
            choice = (
                "'make_identity': {'eks_cluster': ...}, an 'identity' with a role, outside of EKS 'federation', or "
                "AWS_ACCESS_KEY_ID by 'env_from_secrets'"
            )
        elif protocol in GCP and not keys & {"gcp_service_account", "gcp_project", "gcp_provider"}:
            choice = "'make_identity' with 'gcp_project', an 'identity' with a service account, or outside of GKE 'federation'"
        else:
            continue
        faults.add(
            f"backends[{i}].protocol", f"is {protocol!r}, which is asked by the pods' identity, and they have none; give {choice}"
        )


def made_egress(wanted: RouterIdentity | None) -> list[Egress]:
    """Where a pod must be able to connect for its credentials."""
    if wanted is None:
        return []
    in_place: WorkloadIdentity = {"gcp_service_account": ""} if "gcp_project" in wanted else {"eks_cluster": ""}
    return identity_egress(in_place)


def make_identity(
    name: str,
    wanted: RouterIdentity,
    backends: Sequence[Backend],
    namespace: pulumi.Input[str],
    account: str,
    parent: pulumi.Resource,
) -> tuple[WorkloadIdentity, list[pulumi.Resource]]:
    """Make the role or service account.

    Args:
        name: The component's name.
        wanted: Where, checked.
        backends: What it must be able to ask.
        namespace: Namespace of the pods' ServiceAccount.
        account: That ServiceAccount.
        parent: The component.

    Returns:
        The identity, and what pods have to wait for: before it is allowed to, their first requests would fail.
    """
    if "eks_cluster" in wanted:
        from slipway.aws.invoke import invoke_role  # an optional part

        role, policy = invoke_role(f"{name}-role", backends, f"Pods of {name}", parent)
        return {"aws_role_arn": role.arn, "eks_cluster": wanted["eks_cluster"]}, [policy]
    assert "gcp_project" in wanted
    from slipway.gcp.invoke import invoke_account

    permitted: dict[str, Sequence[GcpPermission]] = {b["name"]: b.get("gcp_permissions", ()) for b in backends}
    email, bindings = invoke_account(name, wanted["gcp_project"], permitted, namespace, account, parent)
    return {"gcp_service_account": email}, bindings
