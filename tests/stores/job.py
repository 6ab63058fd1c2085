"""The very commands of a VectorStore's jobs, run here against a store on this machine."""

import functools
import os
import subprocess
from pathlib import Path
from typing import Any, cast

from slipway import VectorStore
from slipway.kubernetes.vector_store_args import VectorStoreArgs
from slipway.plan import Plan, plan_program

HERE = Path(__file__).parent
PYTHON = HERE / ".venv" / "bin" / "python"
MISSING = None if PYTHON.exists() else "Chroma and Qdrant's client are not installed: run `make stores` first"


@functools.cache
def planned(engine: str, keep: int = 7) -> Plan:
    """The plan of a store with backups."""
    args: Any = {"namespace": "ai", "engine": engine, "backup": {"keep": keep}}
    return plan_program(lambda: VectorStore("docs", cast("VectorStoreArgs", args)))


def container(plan: Plan, what: str) -> dict[str, Any]:
    """The container of the job `backup` or `restore`."""
    template = plan[f"docs-{what}"].inputs["spec"]["jobTemplate"]["spec"]["template"]
    return cast("dict[str, Any]", template["spec"]["containers"][0])


def run(plan: Plan, what: str, url: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run it with what its pod would have, but for the address and the folder."""
    rendered = {e["name"]: e["value"] for e in container(plan, what)["env"] if "value" in e}
    told = {**rendered, "STORE_URL": url, "BACKUPS": str(folder), **env}
    return subprocess.run(
        container(plan, what)["command"],
        env={"PATH": os.environ["PATH"], **told},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
