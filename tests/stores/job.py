"""The very commands of a VectorStore's jobs, run here against a store on this machine."""

import functools
import subprocess
from pathlib import Path
from typing import Any, cast

from tests.infra.kubernetes.stores import run_job

from slipway import VectorStore
from slipway.kubernetes.vector_store_args import VectorStoreArgs
from slipway.plan import Plan, plan_program

HERE = Path(__file__).parent
PYTHON = HERE / ".venv" / "bin" / "python"
MISSING = None if PYTHON.exists() else "Chroma and Qdrant's client are not installed: run `make stores` first"
OLDEST, OLDER, FOREIGN = "docs-20200101T000000Z.zip", "docs-20200102T000000Z.zip", "other-20200101T000000Z.zip"


@functools.cache
def planned(engine: str, keep: int = 7, restore_file: str | None = None) -> Plan:
    """The plan of a store with backups."""
    chosen = {} if restore_file is None else {"restore_file": restore_file}
    args: Any = {"namespace": "ai", "engine": engine, "backup": {"keep": keep, **chosen}}
    return plan_program(lambda: VectorStore("docs", cast("VectorStoreArgs", args)))


def run(plan: Plan, what: str, url: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the container of the job `backup` or `restore` with what its pod would have, but for the address and the folders."""
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return run_job(plan, f"docs-{what}", folder, scratch, {"STORE_URL": url, **env})
