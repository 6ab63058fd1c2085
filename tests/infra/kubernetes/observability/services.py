"""Services to watch, as their components tell them."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pulumi
import pytest
import yaml

from slipway import AiApiService, GpuModelServer, GpuPrerequisites, vendor
from slipway.kubernetes.observability.objectives import Promise
from slipway.kubernetes.observability.rules import rule_groups
from slipway.kubernetes.observability.watched import Watched, WatchedService
from slipway.kubernetes.observability.workload import Workload
from slipway.plan import plan_program

MODEL: Mapping[str, Any] = {
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "namespace": "ai",
    "accelerator": "l4:1",
    "context_tokens": 8192,
}
SCALING: Mapping[str, Any] = {"max": 4, "prometheus_url": "http://prometheus:9090"}
ROUTER: Mapping[str, Any] = {
    "namespace": "ai",
    "image": "router:1.0.0",
    "backends": [vendor("openai", name="gpt", model="gpt-4o-mini", api_key={"name": "keys", "key": "openai"})],
}
STORE = Workload("db", "ai", "db-postgres", ["data-db-postgres-0", "db-backups"], "db-backup")
WORKERS = Workload("work", "ai", autoscaler="work-keda")
TRAINING = Workload("tune", "ai", job="tune")
RUNBOOKS = "https://wiki.example.com/runbooks"


def known(declare: Callable[[], WatchedService]) -> Watched:
    """What a component tells, with all that is an Output known."""
    seen: list[Watched] = []

    def program() -> None:
        told = pulumi.Output.from_input(dict(declare()))
        told.apply(lambda service: seen.append(Watched.of(cast("WatchedService", service))))

    plan_program(program)
    return seen[0]


def model(name: str = "llama", **more: Any) -> Watched:
    return known(lambda: GpuModelServer(name, cast("Any", {**MODEL, **more})).watched())


def router(name: str = "api", **more: Any) -> Watched:
    return known(lambda: AiApiService(name, cast("Any", {**ROUTER, **more})).watched())


def gpus(name: str = "gpus", **more: Any) -> Watched:
    """A DCGM exporter, as GpuPrerequisites brings it."""
    return known(lambda: GpuPrerequisites(name, cast("Any", more or {"existing": True})).watched())


def promtool() -> str:
    """Where promtool is; without it the test is skipped."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed")
    return found


def rule_faults(
    services: Sequence[Watched],
    promise: Promise,
    tests: Sequence[Mapping[str, Any]],
    every: str = "1m",
    workloads: Sequence[Workload] = (),
) -> str:
    """What promtool finds wrong with the rules of these services by these tests of its own format, judged so often; empty if
    nothing."""
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.yml"
        groups = rule_groups(services, promise, RUNBOOKS, workloads)
        rules.write_text(yaml.safe_dump({"groups": groups}))
        file = Path(folder) / "tests.json"
        # promtool takes groups in any order unless told; judged seldom, an alert would look for a reading that is stale.
        order = [group["name"] for group in groups]
        file.write_text(
            json.dumps(
                {"rule_files": [str(rules)], "evaluation_interval": every, "group_eval_order": order, "tests": list(tests)}
            )
        )
        done = subprocess.run([promtool(), "test", "rules", str(file)], capture_output=True, text=True, timeout=120, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr
