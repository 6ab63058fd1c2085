"""Who a router's pods are to another cloud than their own, without a key: it takes the token that their cluster signs for them.

Google Cloud by Workload Identity Federation (`google-auth` reads an external account's file), AWS by AssumeRoleWithWebIdentity
(botocore reads its variables): the router asks both libraries in any case, and needs nothing for it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, known
from slipway.backend import Egress
from slipway.kubernetes.identity import check_identity
from slipway.kubernetes.network import anywhere

GOOGLE_FILE = "google.json"
"""Name of the external account's file, beside the router's configuration."""
_FOLDER = "/var/run/secrets/slipway"
_AWS_AUDIENCE = "sts.amazonaws.com"
"""Audience that IAM's OIDC providers are made for by custom (Amazon EKS, "Create an IAM OIDC provider for your cluster")."""
_SECONDS = 3600
"""Life of a token; the kubelet renews it at 80 % of that."""
_PROVIDER = re.compile(r"projects/[0-9]{1,19}/locations/global/workloadIdentityPools/[a-z0-9-]{4,32}/providers/[a-z0-9-]{4,32}")


class RouterFederation(TypedDict):
    """Who the pods are to another cloud than their cluster's. Give `gcp_provider`, `aws_role_arn` or, outside of them, both."""

    gcp_provider: NotRequired[pulumi.Input[str]]
    """`projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER`: the provider of a workload identity pool
    that trusts the cluster's OIDC issuer. Not in GKE, whose pods need none."""
    gcp_service_account: NotRequired[pulumi.Input[str]]
    """E-mail address of the Google service account that the pods then act as; it must let them, by
    `roles/iam.workloadIdentityUser`. Goes with `gcp_provider`. Default: they are the pool's principal themselves."""
    aws_role_arn: NotRequired[pulumi.Input[str]]
    """ARN of the IAM role that the pods take on. Its trust policy must name an IAM OIDC provider of the cluster's issuer, the
    audience `sts.amazonaws.com` and the pods' ServiceAccount, `NAME-account`. Not with an `identity` of AWS."""


def check_federation(path: str, given: Mapping[str, Any], own: Mapping[str, Any], faults: Faults) -> None:
    """Refuse nobody, what no cloud would take for somebody, and a cloud whose identity the pods have in another way.

    Args:
        path: The argument's path.
        given: What was asked for.
        own: The pods' identity in their cluster's cloud, by `identity` and `make_identity`.
        faults: Where to tell what is wrong.
    """
    if not given.keys() & {"gcp_provider", "aws_role_arn"}:
        faults.add(path, "names nobody; give 'gcp_provider' or 'aws_role_arn'")
    if "gcp_service_account" in given and "gcp_provider" not in given:
        faults.add(f"{path}.gcp_service_account", "goes with 'gcp_provider', by which the pods become it; give both")
    for key, theirs, cloud in (
        ("gcp_provider", {"gcp_service_account", "gcp_project"}, "Google Cloud"),
        ("aws_role_arn", {"aws_role_arn", "eks_cluster"}, "AWS"),
    ):
        if key in given and own.keys() & theirs:
            faults.add(f"{path}.{key}", f"is not needed: the pods have an identity of {cloud} from their cluster; leave it out")
    for key in ("gcp_service_account", "aws_role_arn"):
        if key in given:
            check_identity(path, {key: given[key]}, faults)

    def provider(name: str) -> None:
        if not _PROVIDER.fullmatch(name):
            faults.add(
                f"{path}.gcp_provider",
                f"is {name!r}; give projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER",
            )

    if not faults.at(f"{path}.gcp_provider"):
        known(given.get("gcp_provider"), provider)


def federation_egress(given: Mapping[str, Any] | None) -> list[Egress]:
    """To the clouds' token services, which have no addresses of their own."""
    return anywhere(443) if given else []


def google_file(given: Mapping[str, Any] | None) -> "pulumi.Output[str] | None":
    """The external account's file (AIP-4117), which holds no secret; None without one."""
    if not given or "gcp_provider" not in given:
        return None

    def text(found: Sequence[str | None]) -> str:
        provider, account = found
        told: dict[str, Any] = {
            "type": "external_account",
            "audience": f"//iam.googleapis.com/{provider}",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": {"file": f"{_FOLDER}/google"},
        }
        if account is not None:
            told["service_account_impersonation_url"] = (
                f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
            )
        return json.dumps(told, sort_keys=True, indent=2) + "\n"

    both = pulumi.Output.all(given["gcp_provider"], given.get("gcp_service_account"))
    return cast("pulumi.Output[list[str | None]]", both).apply(text)


def federated(spec: k8s.core.v1.PodSpecArgsDict, given: Mapping[str, Any] | None, folder: str) -> k8s.core.v1.PodSpecArgsDict:
    """A pod whose first container has the tokens, and the variables by which the clouds' libraries find them.

    Args:
        spec: The pod.
        given: What was asked for, if anything.
        folder: Where the router's configuration is.
    """
    if not given:
        return spec
    sources: list[k8s.core.v1.VolumeProjectionArgsDict] = []
    env: list[k8s.core.v1.EnvVarArgsDict] = []
    if "gcp_provider" in given:
        audience = pulumi.Output.concat("https://iam.googleapis.com/", given["gcp_provider"])
        sources.append({"service_account_token": {"audience": audience, "expiration_seconds": _SECONDS, "path": "google"}})
        env.append({"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": f"{folder}/{GOOGLE_FILE}"})
    if "aws_role_arn" in given:
        sources.append({"service_account_token": {"audience": _AWS_AUDIENCE, "expiration_seconds": _SECONDS, "path": "aws"}})
        env.append({"name": "AWS_ROLE_ARN", "value": given["aws_role_arn"]})
        env.append({"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": f"{_FOLDER}/aws"})
    made: Any = spec
    first, *more = made["containers"]
    mounts = [*first["volume_mounts"], {"name": "federation", "mount_path": _FOLDER, "read_only": True}]
    container = {**first, "env": [*first["env"], *env], "volume_mounts": mounts}
    volume = {"name": "federation", "projected": {"sources": sources}}
    return cast("k8s.core.v1.PodSpecArgsDict", {**made, "containers": [container, *more], "volumes": [*made["volumes"], volume]})
