"""The benchmark runs and counts; how fast anything is, is no test's business."""

import json
import subprocess
import sys


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
    assert all(r["per_second"] > 0 and r["cpu_us"] > 0 and r["failures"] == 0 for r in rounds)
