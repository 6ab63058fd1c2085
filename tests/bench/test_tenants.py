"""Both runs in small, over a real Redis and two routers' processes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bench.overhead import has_redis
from bench.tenants import admissions

needs_redis = pytest.mark.skipif(not has_redis(), reason="redis-server is not here")


def run(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.tenants", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_redis
def test_a_few_seconds_of_four_clients_are_admitted_a_hundred_times() -> None:
    told = run("limits", "--minutes", "0.13")
    assert told["asked"] > 110
    assert told["passed"] == told["admitted"] == told["reached_the_backend"] == told["most_in_any_minute"] == 100
    assert told["in_each_minute"] == [100]


@needs_redis
def test_what_is_booked_is_what_it_comes_to_by_hand() -> None:
    told = run("budget", "--requests", "60", "--no-kill")
    assert told["answered"] == told["reached_the_backend"] == told["asked"] >= 60
    assert told["booked_dollars"] == told["by_hand_dollars"] == told["asked"] * 0.048
    assert (told["difference_units"], told["held_units"]) == (0, 0)


def test_admissions_are_read_from_the_append_only_file(tmp_path: Path) -> None:
    pushed = b"*3\r\n$5\r\nRPUSH\r\n$17\r\n{slipway}:r:bench\r\n$16\r\n%d\r\n"
    (tmp_path / "one.aof").write_bytes(b"*1\r\n$5\r\nMULTI\r\n" + pushed % 1764000000000002 + pushed % 1764000000000001)
    several = b"*4\r\n$5\r\nRPUSH\r\n$17\r\n{slipway}:r:bench\r\n$16\r\n%d\r\n$16\r\n%d\r\n*1\r\n$4\r\nEXEC\r\n"
    (tmp_path / "three.aof").write_bytes(several % (1764000000000004, 1764000000000005))
    (tmp_path / "two.aof").write_bytes(pushed.replace(b":r:bench", b":r:other") % 1764000000000003)
    assert admissions(tmp_path) == [1764000000000000 + n for n in (1, 2, 4, 5)]


@pytest.mark.parametrize("wrong", [["limits", "--minutes", "0"], ["budget", "--requests", "1"]])
def test_runs_that_would_show_nothing_are_refused(wrong: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.tenants", *wrong], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "at least 0.1 minutes and 2 requests" in done.stderr
