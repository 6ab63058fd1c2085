"""A model in Vertex AI's registry as its resource is told of it: its id by its content, and its service's own message."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

CONTAINER = (
    "image",
    "command",
    "args",
    "env",
    "secret_env",
    "port",
    "predict_route",
    "health_route",
    "artifact_uri",
    "shared_memory_mb",
    "start_timeout_seconds",
)
"""Inputs that Vertex AI changes of no model that is there: another value makes another model."""
PLACE = ("project", "location", "owner", "name")
MODEL_ID_LIMIT = 63
"""Characters of a model's id, of [a-z0-9_-], a letter first (Vertex AI API reference: projects.locations.models.upload)."""
OWNER_LABEL = "slipway-owner"


def digest(*parts: Any) -> str:
    """Hexadecimal digest of plain values. Whole floats count as integers, since Pulumi hands both on as floats."""
    return hashlib.sha256(json.dumps(plain(parts), sort_keys=True).encode()).hexdigest()


def plain(value: Any) -> Any:
    """A value as it compares: whole floats are integers, absent and empty ones None."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return {str(k): plain(v) for k, v in items if plain(v) is not None} or None
    if isinstance(value, list | tuple):
        return [plain(v) for v in cast("Sequence[Any]", value)] or None
    return None if value == "" else value


def model_id(props: Mapping[str, Any]) -> str:
    """The same for the same stack, name and content, so that a second upload finds the first; another for anything else."""
    stem = re.sub(r"[^a-z0-9_-]", "-", str(props["name"]).lower()).strip("-")
    stem = stem if stem[:1].isalpha() else f"m-{stem}"
    mark = digest({key: props.get(key) for key in (*PLACE, *CONTAINER)})[:12]
    return f"{stem[: MODEL_ID_LIMIT - len(mark) - 1]}-{mark}"


def message(props: Mapping[str, Any]) -> dict[str, Any]:
    """The model as Vertex AI's service is told of it (`google.cloud.aiplatform.v1.Model`)."""
    given = {key: value for key in CONTAINER if (value := plain(props.get(key))) is not None}
    variables = {**given.get("env", {}), **given.get("secret_env", {})}
    container: dict[str, Any] = {
        "image_uri": given["image"],
        "command": given.get("command", []),
        "args": given.get("args", []),
        "env": [{"name": name, "value": str(value)} for name, value in sorted(variables.items())],
        "ports": [{"container_port": given["port"]}] if "port" in given else [],
        "predict_route": given.get("predict_route", ""),
        "health_route": given.get("health_route", ""),
    }
    if "shared_memory_mb" in given:
        container["shared_memory_size_mb"] = given["shared_memory_mb"]
    if "start_timeout_seconds" in given:
        container["deployment_timeout"] = {"seconds": given["start_timeout_seconds"]}
    own: Mapping[str, str] = plain(props.get("labels")) or {}
    labels = {**own, OWNER_LABEL: props["owner"]}
    return {
        "display_name": props["name"],
        "artifact_uri": given.get("artifact_uri", ""),
        "container_spec": container,
        "labels": labels,
    }
