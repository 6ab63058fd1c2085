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
def planned(engine: str, keep: int = 7, restore_file: str | None = None, bucket: str | None = None) -> Plan:
    """The plan of a store with backups."""
    chosen: dict[str, Any] = {} if restore_file is None else {"restore_file": restore_file}
    chosen |= {} if bucket is None else {"bucket": {"uri": bucket}}
    args: Any = {"namespace": "ai", "engine": engine, "backup": {"keep": keep, **chosen}}
    return plan_program(lambda: VectorStore("docs", cast("VectorStoreArgs", args)))


def run(plan: Plan, what: str, url: str, folder: Path, which: str = "containers", **env: str) -> subprocess.CompletedProcess[str]:
    """Run the container of the job `backup` or `restore` with what its pod would have, but for the address and the folders."""
    return _run(plan, what, folder, which, {"STORE_URL": url, **env})


def carry(plan: Plan, what: str, folder: Path, bucket: Path) -> subprocess.CompletedProcess[str]:
    """Run the container that brings a backup to a bucket, or from there. rclone's own kind "local" stands in for the bucket."""
    there = {"TARGET": str(bucket), "RCLONE_CONFIG_TARGET_TYPE": "local"}
    return _run(plan, what, folder, "containers" if what == "backup" else "initContainers", there)


def _run(plan: Plan, what: str, folder: Path, which: str, told: dict[str, str]) -> subprocess.CompletedProcess[str]:
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return run_job(plan, f"docs-{what}", folder, scratch, told, which=which)
