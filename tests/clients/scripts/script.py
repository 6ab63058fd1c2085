"""What the scripts share. Each is run by a Python that has its client; nothing of this project is to be had there.

A script gets one JSON object by its standard input, `{"url", "key", "name", "models": {MODEL: [FEATURE, ...]}, "refused": {MODEL:
PROMPT}, "push": {MODEL: FIELDS}}`, and writes a line of JSON for each feature of each model: what came, or what was raised.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

ASKED: dict[str, Any] = json.load(sys.stdin)
URL: str = ASKED["url"]
KEY: str = ASKED["key"]
PUSH: dict[str, dict[str, Any]] = ASKED["push"]
"""What brings a model to call a tool that would not by itself."""
NAME: str = ASKED["name"]
Feature = Callable[[str], object]


def run(features: Mapping[str, Feature]) -> None:
    """Try all that is asked for."""
    for model, wanted in ASKED["models"].items():
        for name in wanted:
            try:
                found: dict[str, Any] = {"said": features[name](model)} if name in features else {"missing": True}
            except Exception as error:  # noqa: BLE001 -- whatever the client raises is what is looked at
                found = {"raised": told(error)}
            print(json.dumps({"model": model, "feature": name, **found}), flush=True)


def told(error: BaseException) -> dict[str, Any]:
    """An error as its user sees it."""
    return {
        "classes": [c.__name__ for c in type(error).__mro__ if c.__module__ != "builtins"],
        "message": str(error),
        "status": getattr(error, "status_code", None),
        "request_id": getattr(error, "request_id", None),
    }


def until_broken(parts: Iterable[str]) -> dict[str, Any]:
    """What a stream said before it broke off, and how that was told."""
    said = ""
    try:
        for part in parts:
            said += part
    except Exception as error:  # noqa: BLE001 -- see above
        return {"text": said, "raised": told(error)}
    return {"text": said}


def left(close: Callable[[], object]) -> dict[str, float]:
    """Close a stream, and tell when."""
    at = time.monotonic()
    close()
    return {"closed": at}
