"""The clients that the tests do not find in the project's own environment: `make clients` installs them."""

import shutil
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
PYTHON = HERE / ".venv" / "bin" / "python"
MODULES = HERE / "node" / "node_modules"


def command(script: str, *arguments: str) -> Sequence[str]:
    """How a script is run: one for Python from scripts/, one for Node from node/."""
    if script.endswith(".mjs"):
        return [shutil.which("node") or "node", str(HERE / "node" / script), *arguments]
    return [str(PYTHON), str(HERE / "scripts" / script), *arguments]


def missing(script: str) -> str | None:
    """Why a script cannot be run; None if it can."""
    if script.endswith(".mjs"):
        if shutil.which("node") is None:
            return "Node is not installed"
        return None if MODULES.is_dir() else "the clients for Node are not installed; run: make clients"
    return None if PYTHON.exists() else "the clients for Python are not installed; run: make clients"
