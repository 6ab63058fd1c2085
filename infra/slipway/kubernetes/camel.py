"""What is written for Pulumi's own types, as Kubernetes writes it: for a custom resource Pulumi translates nothing."""

from collections.abc import Mapping
from typing import Any, cast

_MAPS = frozenset({"annotations", "labels", "match_labels", "node_selector", "requests", "limits"})
"""Fields whose keys are the user's, and stay as they are."""


def camel(value: object) -> Any:
    """The value with `snake_case` keys as `camelCase`, at every depth."""
    if isinstance(value, list):
        return [camel(item) for item in cast("list[object]", value)]
    if not isinstance(value, Mapping):
        return value
    pairs = cast("Mapping[str, object]", value).items()
    return {_key(key): dict(cast("Mapping[str, object]", item)) if key in _MAPS else camel(item) for key, item in pairs}


def _key(key: str) -> str:
    head, _, rest = key.partition("_")
    return head + rest.title().replace("_", "")
