"""The benchmark runs and counts; how fast anything is, is no test's business."""

import io
import json
import subprocess
import sys

from bench.router import Round, table
from rich.console import Console


def test_a_short_run_measures_both_proxies_without_failures() -> None:
    command = [sys.executable, "-m", "bench.router", "--rounds", "1", "--seconds", "0.3", "--connections", "4", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rounds = json.loads(done.stdout)
    assert [(r["proxy"], r["kind"]) for r in rounds] == [
        ("router", "requests"),
        ("FastAPI + httpx", "requests"),
        ("router", "chunks"),
        ("FastAPI + httpx", "chunks"),
    ]
    assert all(r["per_second"] > 0 and r["failures"] == 0 for r in rounds)


def test_the_table_tells_medians_and_ratios() -> None:
    rounds = [
        Round(name, kind, per_second, cpu, 1, 2, 0)
        for name, per_second, cpu in (("router", 1000.0, 100.0), ("FastAPI + httpx", 100.0, 1500.0))
        for kind in ("requests", "chunks")
    ]
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(table([*rounds, *rounds]))
    shown = console.export_text()
    assert shown.count("x 10.0") == 2
    assert shown.count("/ 15.0") == 2


def test_a_run_that_would_take_too_long_is_refused() -> None:
    command = [sys.executable, "-m", "bench.router", "--rounds", "100"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "take longer than 55 s" in done.stderr
