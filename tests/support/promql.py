"""Questions in PromQL, answered by Prometheus' own promtool over series of a test's. Without promtool the test is skipped."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest


def promql_faults(query: str, series: Mapping[str, str], expected: float | None, at: str = "10m") -> str:
    """What promtool has against the query having this value, or none where that is `None`; empty if nothing.

    Args:
        query: An expression whose answer has no labels.
        series: Values by series, one a minute in promtool's notation, such as `{'a{b="c"}': "0+60x10"}`.
        expected: The value.
        at: When it is asked, from the first sample.
    """
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    samples = [] if expected is None else [{"labels": "{}", "value": expected}]
    test = {
        "rule_files": [],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [{"expr": query, "eval_time": at, "exp_samples": samples}],
            }
        ],
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "test.json"
        file.write_text(json.dumps(test))
        done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr
