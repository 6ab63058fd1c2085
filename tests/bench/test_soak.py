"""The soak counts failures and tells growth from chance; an hour of it is run by hand."""

import json
import random
import subprocess
import sys

import pytest
from bench.soak import slope


def test_a_short_soak_asks_in_every_way_without_a_failure() -> None:
    command = [sys.executable, "-m", "bench.soak", "--seconds", "4", "--rate", "10", "--most", "1000000", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert (told["failed"], told["first_failure"]) == (0, "")
    assert told["requests"] >= 12
    assert all(10 < mib < 500 for _, mib in told["samples"])


def test_growth_is_told_from_chance() -> None:
    chance = random.Random(1)
    flat = [(t, 50 + chance.gauss(0, 0.2)) for t in range(0, 3600, 20)]
    growing = [(t, mib + t / 3600 * 5) for t, mib in flat]
    assert not slope(flat).grows(2)
    assert slope(growing).grows(2)
    assert slope(growing).mib_per_hour == pytest.approx(5, abs=0.3)
    # Of the warm-up nothing counts.
    assert not slope([(t, mib + (0 if t > 700 else t / 100 - 7)) for t, mib in flat]).grows(2)


def test_too_few_samples_tell_nothing() -> None:
    with pytest.raises(ValueError, match="2 samples"):
        slope([(0, 50), (100, 50), (200, 50)])
