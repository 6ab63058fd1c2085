"""KEDA's own schema of a ScaledObject, from its Go module where that is on this machine."""

import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
import yaml

MODULE = "github.com/kedacore/keda/v2@v2.21.0"


def schema() -> dict[str, Any]:
    """The schema, closed: what it does not name is refused, as an API server with strict validation does."""
    if shutil.which("go") is None:
        pytest.skip("KEDA's schema comes in its Go module, and there is no Go here")
    modules = subprocess.run(["go", "env", "GOMODCACHE"], capture_output=True, text=True, check=True).stdout.strip()
    file = Path(modules) / MODULE / "config" / "crd" / "bases" / "keda.sh_scaledobjects.yaml"
    if not file.exists():
        pytest.skip(f"KEDA's schema is not here; 'go mod download {MODULE}' brings it")
    (version,) = yaml.safe_load(file.read_text())["spec"]["versions"]
    return cast("dict[str, Any]", _closed(version["schema"]["openAPIV3Schema"]["properties"]["spec"]))


def faults(spec: object) -> list[str]:
    """What KEDA's schema does not take."""
    validator: Any = jsonschema.Draft7Validator(schema())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(spec)]


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(item) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    closed = {key: _closed(value) for key, value in cast("dict[str, Any]", node).items()}
    if isinstance(closed.get("properties"), dict) and "additionalProperties" not in closed:
        closed["additionalProperties"] = False
    return closed
