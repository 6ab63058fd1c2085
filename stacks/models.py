"""Each model of the settings as the component of its place, and as a backend where the router can reach it."""

from dataclasses import dataclass
from typing import Any

import pulumi

import slipway
from settings import Model


@dataclass(frozen=True)
class Served:
    """A model that the stack serves."""

    resource: pulumi.ComponentResource
    backend: slipway.Backend | None
    """What the router needs to know; None where there is no router, or none could ask it."""


def serve(model: Model, namespace: pulumi.Input[str], *, routed: bool) -> Served:
    """Make a model's component. Only its own place is imported, so that nobody needs the SDK of another.

    Args:
        model: The model.
        namespace: That of the stack.
        routed: Whether the stack has a router. What a router alone needs to know may be missing where there is none.
    """
    resource: slipway.LocalModelServer | slipway.GpuModelServer | slipway.SageMakerEndpoint | slipway.VertexEndpoint
    args: Any = model.args
    match model.place:
        case "local":
            resource = slipway.LocalModelServer(model.name, args)
            pulumi.export(f"{model.name}-babbles", resource.babbles)
        case "kubernetes":
            in_cluster: Any = {"namespace": namespace, **args}
            resource = slipway.GpuModelServer(model.name, in_cluster)
        case "aws":
            resource = slipway.SageMakerEndpoint(model.name, args)
            pulumi.export(f"{model.name}-endpoint", resource.endpoint_name)
        case "gcp":
            resource = slipway.VertexEndpoint(model.name, args)
            pulumi.export(f"{model.name}-endpoint", resource.endpoint_name)
    if routed and not model.routable:
        pulumi.log.info(f"{model.name} is left out of the router: it answers asynchronously, into S3")
    # By the name in the settings wherever it runs, so that clients ask for the same.
    backend = resource.backend(name=model.name, **model.backend) if routed and model.routable else None
    return Served(resource, backend)
