"""A namespace for AI workloads: what its pods may be, how much they may take, and whom they may talk to."""

from collections.abc import Sequence
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes.ai_namespace_args import AiNamespaceArgs, NamespaceSettings
from slipway.kubernetes.network import isolate
from slipway.kubernetes.restricted import labels

_APP = "namespace"


class AiNamespace(pulumi.ComponentResource):
    """A namespace that is closed until somebody opens it: pods run restricted, within a quota, and reach nothing but DNS.

    Whoever deletes it deletes all that is in it. The option `protect` guards against that, as for any resource.
    """

    namespace: pulumi.Output[str]
    """Its name in the cluster, for the argument `namespace` of other components. What takes it from here waits until the quota,
    the limits and the policy stand."""

    def __init__(self, name: str, args: AiNamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments, before anything is registered.
        """
        settings = NamespaceSettings.of(name, args)
        super().__init__("slipway:index:AiNamespace", name, {**args}, opts)

        described: k8s.meta.v1.ObjectMetaArgsDict = {
            "name": settings.namespace,
            "labels": {**labels(_APP, name), **settings.metadata_labels},
        }
        if settings.annotations:
            described["annotations"] = settings.annotations
        made = k8s.core.v1.Namespace(f"{name}-namespace", metadata=described, opts=pulumi.ResourceOptions(parent=self))
        inside = made.metadata.apply(lambda metadata: metadata.name or name)

        def meta(role: str) -> k8s.meta.v1.ObjectMetaArgsDict:
            return {"name": f"{name}-{role}", "namespace": inside, "labels": labels(_APP, name)}

        rules: list[pulumi.Resource] = [
            k8s.core.v1.LimitRange(
                f"{name}-limits",
                metadata=meta("limits"),
                spec={"limits": [settings.container]},
                opts=pulumi.ResourceOptions(parent=self),
            )
        ]
        if settings.hard:
            rules.append(
                k8s.core.v1.ResourceQuota(
                    f"{name}-quota",
                    metadata=meta("quota"),
                    spec={"hard": settings.hard},
                    opts=pulumi.ResourceOptions(parent=self),
                )
            )
        if settings.default_deny:
            rules.append(
                k8s.networking.v1.NetworkPolicy(
                    f"{name}-default-deny",
                    metadata=meta("default-deny"),
                    # No label to match means every pod; no one to come in and no way out but DNS.
                    spec=isolate({}, 0, [], []),
                    opts=pulumi.ResourceOptions(parent=self),
                )
            )
        self.namespace = _after(inside, rules)
        self.register_outputs({"namespace": self.namespace})


def _after(value: pulumi.Output[str], resources: Sequence[pulumi.Resource]) -> pulumi.Output[str]:
    """The same value, known only once all these resources are there."""
    both: pulumi.Output[list[Any]] = pulumi.Output.all(value, *(resource.urn for resource in resources))
    return both.apply(lambda all_: cast("str", all_[0]))
