"""A Vertex AI endpoint as a backend of a router."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import pulumi

from slipway.backend import Backend, BackendError
from slipway.gcp.vertex_endpoint_args import VertexEndpointArgs
from slipway.gcp.vertex_endpoint_checks import Resolved
from slipway.vendors import PREDICT


@dataclass(frozen=True)
class Place:
    """Where an endpoint is."""

    project: pulumi.Input[str]
    location: pulumi.Input[str]
    endpoint_id: pulumi.Input[str]
    endpoint_name: pulumi.Input[str]
    """`projects/PROJECT/locations/LOCATION/endpoints/ID`."""
    dns: pulumi.Output[str] | None
    """Name of its own in DNS. None where the provider does not tell it, or there is none."""


def backend(
    name: str,
    args: VertexEndpointArgs,
    resolved: Resolved,
    place: Place,
    known: Mapping[str, Any],
    more: Mapping[str, Any],
) -> Backend:
    """What the router needs to know.

    Args:
        name: The endpoint component's.
        args: Its arguments.
        resolved: These, checked.
        place: Where it is.
        known: 'name', 'project_number' and 'replica_cost_per_hour', those that were given.
        more: Other fields of the backend, which win.

    Raises:
        BackendError: See `VertexEndpoint.backend`.
    """
    model = more.get("model", args.get("hugging_face_model_id") or args.get("publisher_model_name"))
    if not isinstance(model, str):
        told = f"what endpoint '{name}' serves is not known yet; give backend() 'model'"
        raise BackendError(told, {"model": "is required with 'models'; give the name that the container has for its model"})
    location = args["location"]
    url = more.get("url") or pulumi.Output.concat(
        "https://", _host(name, args, resolved, place, known.get("project_number")), "/v1/", place.endpoint_name
    )
    made: dict[str, Any] = {
        "name": known.get("name") or name,
        "url": url,
        "protocol": "vertex-raw" if resolved.models else "vertex",
        "model": model,
        "tasks": ["chat"],
        "self_hosted": True,
        "resource": name,
        "domain": f"gcp/{location}" if isinstance(location, str) else "gcp",
        "gcp_permissions": [
            {"project": place.project, "location": location, "endpoint": place.endpoint_id, "permissions": [PREDICT]}
        ],
    }
    if (replicas := resolved.replicas) is not None:
        made |= {"min_replicas": replicas[0], "max_replicas": replicas[1]}
    if (cost := known.get("replica_cost_per_hour")) is not None:
        made["replica_cost_per_hour"] = cost
    return cast("Backend", {**made, **more})


def _host(
    name: str, args: VertexEndpointArgs, resolved: Resolved, place: Place, project_number: str | None
) -> pulumi.Output[str]:
    if "private_service_connect" in args:
        told = (
            f"endpoint '{name}' is behind Private Service Connect; give backend() 'url', with the address of your "
            "forwarding rule: 'http://ADDRESS/v1/projects/P/locations/L/endpoints/ID'"
        )
        reason = "is required with Private Service Connect; give 'http://ADDRESS/v1/projects/P/locations/L/endpoints/ID' by the "
        raise BackendError(told, {"url": reason + "address of your forwarding rule"})
    if not resolved.dedicated:
        return pulumi.Output.concat(args["location"], "-aiplatform.googleapis.com")
    if place.dns is not None:
        return place.dns.apply(lambda dns: dns.removeprefix("https://"))
    if project_number is None:
        told = (
            f"endpoint '{name}' has a name of its own, with the project's number in it; give backend() "
            "'project_number', or the component 'dedicated_endpoint': False"
        )
        reason = (
            "is required: the name of Model Garden's dedicated endpoint has the project's number in it; give it, or the model "
        )
        raise BackendError(told, {"project_number": reason + "'dedicated_endpoint: false'"})
    return pulumi.Output.concat(place.endpoint_id, ".", args["location"], f"-{project_number}.prediction.vertexai.goog")
