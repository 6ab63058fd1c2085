"""An endpoint, one of its variants or one of its components, as a backend of a router."""

from collections.abc import Mapping
from typing import Any, cast

import pulumi

from slipway.aws import policies
from slipway.aws.ecr_image import EcrImage
from slipway.aws.sagemaker_components import Component
from slipway.aws.sagemaker_fleet import Fleet
from slipway.aws.sagemaker_rules import STREAM_LIMIT_SECONDS, package_place
from slipway.aws.sagemaker_variants import Variant
from slipway.backend import Backend, BackendError

_MODEL_NAMES = (
    "SM_VLLM_SERVED_MODEL_NAME",
    "SM_VLLM_MODEL",
    "SM_SGLANG_SERVED_MODEL_NAME",
    "SM_SGLANG_MODEL_PATH",
    "HF_MODEL_ID",
)
"""Variables that tell AWS's containers the model, those first that go before the others."""
_CONTEXT = ("OPTION_MAX_MODEL_LEN", "SM_VLLM_MAX_MODEL_LEN", "SM_SGLANG_CONTEXT_LENGTH")
"""Variables that tell them the longest prompt and answer."""
_MISSING = {
    "model": "is required: no variable HF_MODEL_ID tells what the container calls its model; give that name",
    "region": "is required: no image tells it; give the endpoint's region",
}

SERVERLESS_LIMIT_SECONDS = 60
"""Longest answer of a serverless endpoint (Amazon SageMaker AI endpoints and quotas)."""


def backend(
    name: str,
    fleet: Fleet,
    args: Mapping[str, Any],
    endpoint: tuple[pulumi.Output[str], pulumi.Output[str]],
    *,
    variant: str | None,
    component: str | None,
    component_name: pulumi.Output[str] | None,
    known: Mapping[str, Any],
) -> Backend:
    """What the router needs to know.

    Args:
        name: The endpoint component's.
        fleet: The endpoint's numbers.
        args: Its arguments.
        endpoint: Its name and ARN.
        variant: Key of the variant that alone is asked, if one is.
        component: Key of the component that is asked, if one is.
        component_name: SageMaker's name of it.
        known: 'name', 'model', 'region' and 'instance_cost_per_hour', those that were given.

    Raises:
        BackendError: See `SageMakerEndpoint.backend`.
    """
    subject = _subject(name, fleet, args, variant, component)
    environment: Mapping[str, object] = subject.model.get("environment") or {}
    model = known.get("model") or _first(environment, _MODEL_NAMES)
    region = known.get("region") or _region(subject.model)
    missing = [k for k, v in (("model", model), ("region", region)) if v is None]
    if missing:
        told = f"what endpoint '{name}' serves is not known yet; give backend() {' and '.join(missing)}"
        raise BackendError(told, {k: _MISSING[k] for k in missing})
    host = f"runtime.sagemaker.{region}.amazonaws.com{'.cn' if str(region).startswith('cn-') else ''}"
    part = variant or component
    made: dict[str, Any] = {
        "name": known.get("name") or (f"{name}-{part}" if part else name),
        "url": pulumi.Output.concat(f"https://{host}/endpoints/", endpoint[0]),
        "protocol": "sagemaker",
        "region": region,
        "model": model,
        "self_hosted": True,
        "timeouts": {"total": float(SERVERLESS_LIMIT_SECONDS if "serverless" in args else STREAM_LIMIT_SECONDS)},
        "ready_seconds": subject.download_timeout + subject.startup_timeout,
        "resource": name,
        "domain": f"aws/{region}",
        "aws_permissions": [{"actions": policies.INVOKE_ENDPOINT, "resources": [endpoint[1]]}],
    }
    if isinstance(subject, Variant) and variant is not None:
        made["target_variant"] = subject.name
    if component_name is not None:
        made["inference_component"] = component_name
    if "serverless" not in args:
        made["min_replicas"], made["max_replicas"] = _replicas(subject if part else fleet)
    context = _first(environment, _CONTEXT)
    if context is not None and context.isdigit():
        made["context_tokens"] = int(context)
    if (cost := known.get("instance_cost_per_hour")) is not None:
        made["replica_cost_per_hour"] = cost
    return cast("Backend", made)


def _subject(name: str, fleet: Fleet, args: Mapping[str, Any], variant: str | None, component: str | None) -> Variant | Component:
    if "async_inference" in args:
        told = f"endpoint '{name}' answers asynchronously, into S3, and a router waits for answers; it is no backend"
        raise BackendError(told, {})
    components = {c.key: c for c in fleet.components}
    if components or component is not None:
        if component not in components:
            there = ", ".join(f"'{k}'" for k in components) or "none"
            told = f"endpoint '{name}' has the components {there}; give backend() one of them as `component`"
            raise BackendError(told, {"component": _not_there(component, "components", there)})
        return components[component]
    variants = {v.key: v for v in fleet.variants}
    if variant not in variants:
        there = ", ".join(f"'{k}'" for k in variants if k) or "none"
        told = f"endpoint '{name}' has no variant '{variant}' beside its own; there are: {there}"
        raise BackendError(told, {"variant": _not_there(variant, "variants", there)})
    return variants[variant]


def _not_there(given: str | None, kind: str, there: str) -> str:
    said = "is required" if given is None else f"is {given!r}"
    return f"{said}; the endpoint's {kind} are: {there}"


def _replicas(subject: Variant | Component | Fleet) -> tuple[int, int]:
    if isinstance(subject, Fleet):
        each = [_replicas(v) for v in subject.variants]
        return sum(low for low, _ in each), sum(high for _, high in each)
    if subject.scaling:
        return subject.scaling.min, subject.scaling.max
    count = subject.copies if isinstance(subject, Component) else subject.instance_count
    return count, count


def _region(model: Mapping[str, Any]) -> str | None:
    image, package = _plain(model.get("image")), _plain(model.get("model_package_arn"))
    if package is not None and (place := package_place(package)):
        return place[1]
    found = EcrImage.parse(image) if image else None
    return found.region if found else None


def _first(environment: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := _plain(environment.get(name))) is not None), None)


def _plain(value: object) -> str | None:
    return value if isinstance(value, str) else None
