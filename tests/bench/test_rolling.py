"""The benchmark of a rolling restart counts what is lost; long streams are run by hand."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from bench import rolling


def test_nothing_is_lost_while_replicas_are_replaced() -> None:
    command = [sys.executable, "-m", "bench.rolling", "--streams", "6", "--stream-seconds", "1.5", "--lag", "0.5", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    outcome = json.loads(done.stdout)
    assert done.returncode == 0, outcome
    assert (outcome["lost"], outcome["replaced"]) == (0, 2)
    assert outcome["streams"] >= 6


def test_a_replica_that_is_killed_loses_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    kill: Callable[[int, int], None] = os.kill
    monkeypatch.setattr(rolling.os, "kill", lambda pid, number: kill(pid, signal.SIGKILL))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    outcome = asyncio.run(rolling.roll(1, 6, 1.5, 0.3))
    assert outcome.lost > 0
    assert outcome.first_loss


@pytest.mark.parametrize("wrong", [["--lag", "9"], ["--replicas", "0"], ["--stream-seconds", "100"]])
def test_senseless_numbers_are_refused(
    wrong: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["rolling", *wrong])
    with pytest.raises(SystemExit):
        rolling.main()
    assert "give" in capsys.readouterr().err
