"""A model of Model Garden's or Hugging Face's, in the terms of pulumi-gcp's one resource for it."""

import pulumi_gcp as gcp

from slipway.gcp.vertex_endpoint_args import VertexEndpointArgs
from slipway.gcp.vertex_endpoint_checks import Machines

ModelConfig = gcp.vertex.AiEndpointWithModelGardenDeploymentModelConfigArgsDict
EndpointConfig = gcp.vertex.AiEndpointWithModelGardenDeploymentEndpointConfigArgsDict
DeployConfig = gcp.vertex.AiEndpointWithModelGardenDeploymentDeployConfigArgsDict


def model_config(name: str, args: VertexEndpointArgs) -> ModelConfig:
    """Licence, name and token of the model."""
    made: ModelConfig = {"accept_eula": args.get("accept_eula", False), "model_display_name": name}
    # What is there as None is sent as a null.
    if (token := args.get("hugging_face_token")) is not None:
        made["hugging_face_access_token"] = token
    return made


def endpoint_config(name: str, args: VertexEndpointArgs, dedicated: bool) -> EndpointConfig:
    """How it is reached."""
    made: EndpointConfig = {"endpoint_display_name": name, "dedicated_endpoint_enabled": dedicated}
    if (private := args.get("private_service_connect")) is not None:
        made["private_service_connect_config"] = {
            "enable_private_service_connect": True,
            "project_allowlists": list(private["projects"]),
        }
    return made


def deploy_config(machines: Machines | None) -> DeployConfig | None:
    """The machines."""
    if machines is None:
        return None
    spec: gcp.vertex.AiEndpointWithModelGardenDeploymentDeployConfigDedicatedResourcesMachineSpecArgsDict = {
        "machine_type": machines.machine_type,
    }
    if machines.accelerator_type is not None:
        spec["accelerator_type"], spec["accelerator_count"] = machines.accelerator_type, machines.accelerator_count
    return {
        "dedicated_resources": {
            "machine_spec": spec,
            "min_replica_count": machines.min_replicas,
            "max_replica_count": machines.max_replicas,
            "spot": machines.spot,
        },
    }
