"""Vendors' APIs as backends: where they are, how they are asked, and what their clouds must allow the router."""

import re
from collections.abc import Mapping
from typing import Any, cast

from slipway.backend import AwsPermission, Backend, GcpPermission

_KNOWN: Mapping[str, Mapping[str, Any]] = {
    "openai": {
        "url": "https://api.openai.com/v1",
        "api_key_env": "OPENAI_API_KEY",
        "tasks": ["chat", "completions", "embeddings"],
    },
    # Its address is the resource's own: give `url`.
    "azure": {"protocol": "azure", "api_key_env": "AZURE_OPENAI_API_KEY", "tasks": ["chat", "completions", "embeddings"]},
    "anthropic": {
        "url": "https://api.anthropic.com/v1",
        "protocol": "anthropic",
        "api_key_env": "ANTHROPIC_API_KEY",
        "tasks": ["chat"],
    },
}
_NAMES = (*_KNOWN, "bedrock", "vertex")
_REGION = re.compile(r"[a-z]{2,3}(-[a-z]+)+-[0-9]{1,2}")
_LOCATION = re.compile(r"global|[a-z]+-[a-z]+[0-9]+")
_PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
_GEOGRAPHY = re.compile(r"(global|us-gov|us|eu|apac|jp|au|ca)\.")
_BEDROCK_ACTIONS = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")
"""What Converse and ConverseStream ask for (Amazon Bedrock Runtime's API reference)."""
PREDICT = "aiplatform.endpoints.predict"
"""The one permission of a caller, for publishers' models too (Vertex AI access control with IAM)."""


def vendor(vendor: str, *, name: str, model: str, **more: Any) -> Backend:
    """A vendor's API as a backend.

    Args:
        vendor: 'openai', 'azure' (with `url`, the resource's endpoint), 'anthropic', 'bedrock' (with `region`) or 'vertex' (with
            `project` and `location`). The last two are asked by the pods' identity, without a key.
        name: Name in metrics, headers and the policy.
        model: The vendor's name of the model, such as 'gpt-4o-mini'. For 'bedrock' the id of a model or of an inference profile,
            or an ARN; for 'vertex' `google/gemini-2.5-flash`, or a model of Anthropic's such as `claude-sonnet-4-5@20250929`.
        more: Any other field of `Backend`, such as its prices, which change too often to be known here; it wins over what is
            known of the vendor.

    Raises:
        ValueError: The vendor is not known, or what it needs is missing or wrong.
    """
    match vendor:
        case "bedrock":
            known = _bedrock(model, more.get("region"))
        case "vertex":
            known = _vertex(model, more.pop("project", None), more.pop("location", None))
        case _ if vendor in _KNOWN:
            known = {**_KNOWN[vendor], "domain": vendor}
        case _:
            raise ValueError(f"vendor is {vendor!r}; there are {', '.join(repr(v) for v in _NAMES)}")
    return cast("Backend", {**known, "name": name, "model": model, **more})


def bedrock_resources(model: str, region: str) -> list[str]:
    """ARNs that a call of this model touches.

    An inference profile sends requests on to its regions, so that the model must be allowed in each ("Prerequisites for inference
    profiles" in Amazon Bedrock's guide). The model behind an ARN of an application's profile is not told by it: give
    `aws_permissions` then.
    """
    if model.startswith("arn:"):
        return [model]
    partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
    profile = _GEOGRAPHY.match(model)
    if profile is None:
        return [f"arn:{partition}:bedrock:{region}::foundation-model/{model}"]
    # A plan knows no account; a role can use profiles of its own account only.
    return [
        f"arn:{partition}:bedrock:{region}:*:inference-profile/{model}",
        f"arn:{partition}:bedrock:*::foundation-model/{model[profile.end() :]}",
    ]


def _bedrock(model: str, region: object) -> dict[str, Any]:
    if not isinstance(region, str) or not _REGION.fullmatch(region):
        raise ValueError(f"vendor 'bedrock' needs an AWS region, and region is {region!r}; give one such as 'eu-central-1'")
    suffix = ".cn" if region.startswith("cn-") else ""
    allowed: AwsPermission = {"actions": _BEDROCK_ACTIONS, "resources": bedrock_resources(model, region)}
    return {
        "url": f"https://bedrock-runtime.{region}.amazonaws.com{suffix}",
        "protocol": "bedrock",
        "tasks": ["chat"],
        "domain": f"aws/{region}",
        "aws_permissions": [allowed],
    }


def _vertex(model: str, project: object, location: object) -> dict[str, Any]:
    if not isinstance(project, str) or not _PROJECT.fullmatch(project):
        raise ValueError(f"vendor 'vertex' needs a project's id, and project is {project!r}; give one such as 'my-project'")
    if not isinstance(location, str) or not _LOCATION.fullmatch(location):
        raise ValueError(f"vendor 'vertex' needs a location, and location is {location!r}; give 'global' or a region")
    host = "aiplatform.googleapis.com" if location == "global" else f"{location}-aiplatform.googleapis.com"
    place = f"https://{host}/v1/projects/{project}/locations/{location}"
    anthropics = model.startswith("claude")
    allowed: GcpPermission = {"project": project, "permissions": [PREDICT]}
    return {
        "url": place if anthropics else f"{place}/endpoints/openapi",
        "protocol": "vertex-anthropic" if anthropics else "vertex",
        "tasks": ["chat"],
        "domain": f"gcp/{location}",
        "gcp_permissions": [allowed],
    }
