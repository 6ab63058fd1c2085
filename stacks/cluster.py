"""What a Kubernetes stack has beside its components."""

from typing import Any, cast

import pulumi

from settings import Settings


def namespace(settings: Settings) -> pulumi.Input[str]:
    """The stack's namespace, made restricted and closed unless it exists already."""
    places = {model.place for model in settings.models} | ({settings.router.place} if settings.router else set[str]())
    if "kubernetes" not in places or not settings.createNamespace:
        return settings.namespace
    from slipway import AiNamespace  # half a second that a local stack need not wait

    args = cast("Any", settings.namespaceArgs)
    return AiNamespace(settings.namespace, args, pulumi.ResourceOptions(transformations=[_formerly_alone])).namespace


def gpus(settings: Settings) -> None:
    """What pods with GPUs need of the cluster, where the settings say so."""
    if settings.gpuPrerequisites:
        from slipway import GpuPrerequisites

        GpuPrerequisites("gpus", cast("Any", settings.gpuPrerequisites))


def _formerly_alone(made: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    """Stacks of 0.1 have the namespace under the stack itself, by its own name. Without this, it would be deleted."""
    if made.type_ != "kubernetes:core/v1:Namespace":
        return None
    alone = pulumi.Alias(name=made.name.removesuffix("-namespace"), parent=pulumi.ROOT_STACK_RESOURCE)
    options = pulumi.ResourceOptions.merge(made.opts, pulumi.ResourceOptions(aliases=[alone]))
    return pulumi.ResourceTransformationResult(made.props, options)
