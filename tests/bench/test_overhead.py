"""The benchmark asks routers that have what it says; how fast anything is, is no test's business."""

import json
import subprocess
import sys

import pytest
from bench.overhead import REDIS, configuration, has_redis, variants

from slipway_router.config import Config


def test_a_short_run_measures_the_router_with_none_and_all_of_it() -> None:
    names = ["all of it, in Redis" if has_redis() else "all of it, in memory"]
    command = [sys.executable, "-m", "bench.overhead", "--rounds", "1", "--seconds", "0.2", "--connections", "4", "--json"]
    command += [f"--only={name}" for name in names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rounds = json.loads(done.stdout)
    assert [(r["proxy"], r["kind"]) for r in rounds] == [(n, k) for k in ("requests", "streams") for n in ("off", *names)]
    assert all(r["per_second"] > 0 and r["cpu_us"] > 0 and r["failures"] == 0 for r in rounds)


@pytest.mark.parametrize("name", variants("", ""))
def test_a_router_has_what_its_name_says(name: str) -> None:
    told = Config.parse(configuration("http://127.0.0.1:1", variants("http://127.0.0.1:2", "redis://127.0.0.1:3/0")[name]))
    every = "all of it" in name
    keys, telemetry = told.keys, told.telemetry
    assert [k.monthly_budget is not None for k in keys] == (
        [every or "limits" in name] if every or "key" in name or "limits" in name else []
    )
    assert (told.redis is not None) == name.endswith(REDIS)
    assert telemetry.logs.requests == (every or "logs" in name)
    otel = telemetry.otel
    assert (otel is not None and otel.metrics) == (every or "OTLP" in name)
    shares = {"1 %": 0.01, "10 %": 0.1, "all": 1.0}
    share = 0.01 if every else next((s for end, s in shares.items() if name.endswith(f"traces of {end}")), 0.0)
    assert (otel.sample if otel is not None and otel.traces else 0.0) == share
