"""The benchmark runs and counts; how fast anything is, is no test's business."""

import io
import json
import subprocess
import sys

from bench.router import Round
from bench.telemetry import table, variants
from rich.console import Console


def test_a_short_run_measures_every_variant_without_failures() -> None:
    command = [sys.executable, "-m", "bench.telemetry", "--rounds", "1", "--seconds", "0.2", "--connections", "4", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rounds = json.loads(done.stdout)
    assert [(r["proxy"], r["kind"]) for r in rounds] == [(v, k) for k in ("requests", "chunks") for v in variants("http://c")]
    assert all(r["per_second"] > 0 and r["failures"] == 0 for r in rounds)


def test_the_table_tells_cpu_time_beside_that_of_none() -> None:
    rounds = [
        Round(name, kind, 1000.0, cpu, 1, 2, 0)
        for name, cpu in (("off", 100.0), ("logs", 125.0))
        for kind in ("requests", "chunks")
    ]
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(table([*rounds, *rounds]))
    shown = console.export_text()
    assert (shown.count("x 1.00"), shown.count("x 1.25")) == (2, 2)
