"""The benchmark runs and counts; how fast anything is, is no test's business."""

import io
import json
import subprocess
import sys

from bench.telemetry import Cost, table
from rich.console import Console


def test_a_short_run_measures_each_router_without_failures() -> None:
    two = ["off", "all, 10 %"]
    command = [sys.executable, "-m", "bench.telemetry", "--rounds", "1", "--seconds", "0.2", "--connections", "4", "--json"]
    command += [f"--only={name}" for name in two]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rounds = json.loads(done.stdout)
    assert [(r["proxy"], r["kind"]) for r in rounds] == [(v, k) for k in ("requests", "chunks") for v in two]
    assert all(r["per_second"] > 0 and r["failures"] == 0 for r in rounds)


def costs(instructions: float) -> list[Cost]:
    return [
        Cost(name, kind, 1000.0, cpu, 1, 2, 0, instructions * cpu**2)
        for name, cpu in (("off", 100.0), ("logs", 125.0))
        for kind in ("requests", "chunks")
    ]


def shown(measured: list[Cost]) -> str:
    console = Console(record=True, width=140, file=io.StringIO())
    console.print(table(measured))
    return console.export_text()


def test_the_table_compares_instructions_where_they_are_counted_and_else_cpu_time() -> None:
    timed, counted = shown(costs(0) * 2), shown(costs(1) * 2)
    assert (timed.count("x 1.00"), timed.count("x 1.25")) == (2, 2)
    assert (counted.count("x 1.00"), counted.count("x 1.56")) == (2, 2)
