"""The account that containers on Vertex AI run as: it may read their weights, and nothing else."""

import warnings
from collections.abc import Mapping

import pulumi
import pulumi_gcp as gcp

from slipway.gcp.invoke import account_id

with warnings.catch_warnings():
    # The SDK warns, once this module of it is loaded, of functions that nobody here calls.
    warnings.simplefilter("ignore", DeprecationWarning)
    _ = gcp.storage.BucketIAMMember

# Vertex AI pulls images and copies weights by an account of its own: this one is the containers' alone.


def runtime_account(
    name: str, project: pulumi.Input[str], artifacts: Mapping[str, pulumi.Input[str]], parent: pulumi.Resource
) -> tuple[pulumi.Output[str], list[pulumi.Resource]]:
    """Make it.

    Args:
        name: The endpoint's name.
        project: Where it is made.
        artifacts: Weights by the models' names: `gs://BUCKET/FOLDER`.
        parent: The endpoint.

    Returns:
        Its e-mail address, and what must be there before a container starts.
    """
    account = gcp.serviceaccount.Account(
        f"{name}-account",
        account_id=account_id(f"{name}-runs"),
        display_name=f"Containers of {name} on Vertex AI"[:100],
        project=project,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    bindings: list[pulumi.Resource] = [
        gcp.storage.BucketIAMMember(
            f"{name}-artifacts-{key}",
            bucket=pulumi.Output.from_input(uri).apply(lambda u: folder(u)[0]),
            role="roles/storage.objectViewer",
            member=account.member,
            condition={"title": f"{name} {key}"[:100], "expression": pulumi.Output.from_input(uri).apply(readable)},
            opts=pulumi.ResourceOptions(parent=parent),
        )
        for key, uri in artifacts.items()
    ]
    return account.email, bindings


def folder(uri: str) -> tuple[str, str]:
    """Bucket and prefix of `gs://BUCKET/FOLDER`."""
    bucket, _, prefix = uri.removeprefix("gs://").partition("/")
    return bucket, f"{prefix.rstrip('/')}/" if prefix.rstrip("/") else ""


def readable(uri: str) -> str:
    """IAM's condition: objects in this folder, and the bucket's list, without which no client finds them."""
    bucket, prefix = folder(uri)
    name = f"projects/_/buckets/{bucket}"
    return f'resource.name == "{name}" || resource.name.startsWith("{name}/objects/{prefix}")'
