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
    """What the router needs to know; None where it does not speak that place's protocol yet."""


def serve(model: Model, namespace: pulumi.Input[str]) -> Served:
    """Make a model's component. Only its own place is imported, so that nobody needs the SDK of another."""
    args: Any = model.args
    in_cluster: Any = {"namespace": namespace, **args}
    match model.place:
        case "local":
            server = slipway.LocalModelServer(model.name, args)
            pulumi.export(f"{model.name}-babbles", server.babbles)
            return Served(server, server.backend(**routing(model)))
        case "kubernetes":
            gpu = slipway.GpuModelServer(model.name, in_cluster)
            return Served(gpu, gpu.backend(**routing(model)))
        case "aws":
            sagemaker = slipway.SageMakerEndpoint(model.name, args)
            pulumi.export(f"{model.name}-endpoint", sagemaker.endpoint_name)
            return Served(sagemaker, None)
        case "gcp":
            vertex = slipway.VertexEndpoint(model.name, args)
            pulumi.export(f"{model.name}-endpoint", vertex.endpoint_name)
            return Served(vertex, None)


def routing(model: Model) -> dict[str, Any]:
    """What the settings say of a backend, by the names of `slipway.Backend`."""
    return model.routing.model_dump(exclude_unset=True, mode="json")
