"""Containers of one's own on a Vertex AI endpoint: the endpoint, the models in the registry, what is deployed of them."""

import re
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_gcp as gcp

from slipway.gcp.invoke import digest
from slipway.gcp.vertex_deployments import VertexDeployments
from slipway.gcp.vertex_endpoint_args import VertexEndpointArgs, VertexModelArgs
from slipway.gcp.vertex_endpoint_checks import OwnModel, Resolved
from slipway.gcp.vertex_identity import runtime_account
from slipway.gcp.vertex_model import VertexModel
from slipway.gcp.vertex_model_spec import digest as content_digest

SECRET_NAME = re.compile(r"(^|_)(TOKEN|KEY|SECRET|PASSWORD)$")


def endpoint(name: str, args: VertexEndpointArgs, resolved: Resolved, parent: pulumi.Resource) -> gcp.vertex.AiEndpoint:
    """An empty endpoint. Its traffic is the deployments' business."""
    private = args.get("private_service_connect")
    logging = args.get("request_logging")
    key = args.get("kms_key")
    return gcp.vertex.AiEndpoint(
        f"{name}-endpoint",
        name=number(name, args, resolved),
        display_name=name,
        location=args["location"],
        project=args.get("project"),
        dedicated_endpoint_enabled=resolved.dedicated,
        labels=args.get("labels"),
        private_service_connect_config=None
        if private is None
        else {"enable_private_service_connect": True, "project_allowlists": list(private["projects"])},
        predict_request_response_logging_config=None
        if logging is None
        else {
            "enabled": True,
            "sampling_rate": logging.get("sampling_rate", 1.0),
            "bigquery_destination": {"output_uri": logging["bigquery_uri"]},
        },
        encryption_spec=None if key is None else {"kms_key_name": key},
        opts=pulumi.ResourceOptions(parent=parent, ignore_changes=["trafficSplit"]),
    )


def number(name: str, args: VertexEndpointArgs, resolved: Resolved) -> str:
    """The endpoint's name, which is a number of at most 10 digits: the same for the same stack and component, and another where
    what changes in no endpoint is another, so that the new one can come before the old one goes."""
    fixed = [resolved.dedicated, "private_service_connect" in args, *(_text(args.get(k)) for k in ("location", "kms_key"))]
    return str(10**9 + int(content_digest(digest(name), fixed)[:15], 16) % (9 * 10**9))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def deploy(
    name: str,
    args: VertexEndpointArgs,
    models: Mapping[str, OwnModel],
    at: gcp.vertex.AiEndpoint,
    parent: pulumi.Resource,
) -> VertexDeployments:
    """Upload the models, make their account, and deploy them."""
    asked = args.get("models", {})
    account, after = args.get("service_account"), list[pulumi.Resource]()
    if account is None:
        artifacts = {key: uri for key, one in asked.items() if (uri := one.get("artifact_uri")) is not None}
        account, after = runtime_account(name, at.project, artifacts, parent)
    place: dict[str, pulumi.Input[Any]] = {"project": at.project, "location": at.location, "owner": digest(name)}
    uploaded = {
        key: VertexModel(
            f"{name}-model-{key}",
            {**place, "name": f"{name}-{key}", "labels": dict(args.get("labels") or {}), **container(asked[key], own)},
            pulumi.ResourceOptions(parent=parent),
        )
        for key, own in models.items()
    }
    return VertexDeployments(
        f"{name}-deployments",
        {
            **place,
            "name": name,
            "endpoint": at.name,
            "deployments": {key: deployment(own, uploaded[key].model_name, account) for key, own in models.items()},
            "traffic": {key: own.traffic for key, own in models.items()},
            "timeout_minutes": args.get("deploy_timeout_minutes"),
        },
        pulumi.ResourceOptions(parent=parent, depends_on=after),
    )


def container(args: VertexModelArgs, own: OwnModel) -> dict[str, pulumi.Input[Any]]:
    """Inputs of `VertexModel`, what is secret apart."""
    variables = args.get("environment") or {}
    secret = {key: value for key, value in variables.items() if SECRET_NAME.search(key)}
    made: dict[str, pulumi.Input[Any]] = {
        "image": args["image"],
        "command": list(args.get("command") or []),
        "args": list(args.get("args") or []),
        "env": {key: value for key, value in variables.items() if key not in secret},
        "secret_env": pulumi.Output.secret(secret) if secret else {},
        "port": own.port,
        "predict_route": own.predict_route,
        "health_route": own.health_route,
        "artifact_uri": args.get("artifact_uri"),
        "shared_memory_mb": args.get("shared_memory_mib"),
        "start_timeout_seconds": args.get("start_timeout_seconds"),
    }
    return {key: value for key, value in made.items() if value is not None}


def deployment(own: OwnModel, model: pulumi.Input[str], account: pulumi.Input[str]) -> dict[str, pulumi.Input[Any]]:
    """One entry of `deployments` of `VertexDeployments`."""
    machines = own.machines
    made: dict[str, pulumi.Input[Any]] = {
        "model": model,
        "machine_type": machines.machine_type,
        "spot": machines.spot,
        "service_account": account,
        "access_logging": own.access_logging,
        "min_replicas": machines.min_replicas,
        "max_replicas": machines.max_replicas,
        "metrics": dict(own.metrics),
    }
    if machines.accelerator_type is not None:
        made |= {"accelerator_type": machines.accelerator_type, "accelerator_count": machines.accelerator_count}
    return made
