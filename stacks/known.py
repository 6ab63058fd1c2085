"""What is known of a model's backend before anything is registered."""

from typing import Any, cast

import pulumi

from settings import Model
from slipway import Backend
from slipway.backend import PLACEHOLDER_NAME, PLACEHOLDER_URL


def known_backend(model: Model) -> Backend:
    """A model's backend, with a placeholder for all that only `up` tells. Each place is imported only where a model runs there.

    Raises:
        BackendError: The settings lack what the router must know.
    """
    try:
        match model.place:
            case "aws":
                return _sagemaker(model)
            case "gcp":
                return _vertex(model)
            case _:
                return placeholder(model)
    except pulumi.InputPropertiesError:
        # Its arguments have faults, which are told as these.
        return placeholder(model)


def placeholder(model: Model) -> Backend:
    """A backend of which the name is known, and who may ask it."""
    url = PLACEHOLDER_URL if model.place in ("local", "kubernetes") else PLACEHOLDER_URL.replace("http:", "https:")
    known: dict[str, Any] = {"name": model.name, "url": url, "model": model.name}
    of_place: dict[str, dict[str, Any]] = {
        "local": {},
        "kubernetes": {"egress": {"port": 443, "cidr": "0.0.0.0/0"}},
        "aws": {"protocol": "sagemaker", "region": "us-east-1", "aws_permissions": [{"actions": [], "resources": []}]},
        "gcp": {"protocol": "vertex", "gcp_permissions": [{"project": PLACEHOLDER_NAME, "permissions": []}]},
    }
    routing = {key: value for key, value in model.backend.items() if key in _ROUTER_S}
    return cast("Backend", {**known, **of_place[model.place], **routing})


_ROUTER_S = ("quality", "cost_per_1k_tokens", "serves", "replica_cost_per_hour")


def _sagemaker(model: Model) -> Backend:
    from slipway.aws.sagemaker_backend import backend
    from slipway.aws.sagemaker_fleet import Fleet

    args: Any = model.args
    routing = model.backend
    known = {"name": model.name, **{key: routing.pop(key, None) for key in ("model", "instance_cost_per_hour")}}
    variant, component = routing.pop("variant", None), routing.pop("component", None)
    later = pulumi.Output.from_input(PLACEHOLDER_NAME)
    made = backend(
        model.name,
        Fleet.of(model.name, args),
        args,
        (later, later),
        variant=variant,
        component=component,
        component_name=later if component else None,
        known=known,
    )
    return cast("Backend", {**made, **routing})


def _vertex(model: Model) -> Backend:
    from slipway.gcp.vertex_backend import Place, backend
    from slipway.gcp.vertex_endpoint_checks import resolve

    args: Any = model.args
    routing = model.backend
    resolved = resolve(model.name, args)
    known = {"name": model.name, "project_number": routing.pop("project_number", None)}
    later = pulumi.Output.from_input(PLACEHOLDER_NAME)
    dns = later if resolved.models else None
    return backend(model.name, args, resolved, Place(later, later, later, later, dns), known, routing)
