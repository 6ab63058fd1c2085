"""Secrets made at the first `up` and kept from then on, in the cluster and as secrets in state."""

import base64
from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes.observability.part import Place


def generated_secret(role: str, place: Place, labels: Mapping[str, str], values: Mapping[str, str]) -> k8s.core.v1.Secret:
    """A Secret with these values, unless an earlier `up` made it with others: then those stay.

    Args:
        role: What its name ends with.
        place: Where.
        labels: Its labels.
        values: What it holds, made anew on each run.
    """
    return k8s.core.v1.Secret(
        f"{place.name}-{role}",
        metadata=place.meta(role, labels),
        # Not `string_data`, which is no part of what the cluster keeps.
        data={key: pulumi.Output.secret(base64.b64encode(value.encode()).decode()) for key, value in values.items()},
        opts=pulumi.ResourceOptions(parent=place.parent, ignore_changes=["data"]),
    )


def held(secret: k8s.core.v1.Secret, key: str) -> pulumi.Output[str]:
    """What a Secret has under a key, as it is in the cluster."""
    return pulumi.Output.secret(secret.data.apply(lambda data: base64.b64decode(data[key]).decode()))
