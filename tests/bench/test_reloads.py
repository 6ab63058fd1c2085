"""The benchmark of reloads counts what is lost and what is wrongly taken; a thousand of them are run by hand."""

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

from bench import reloads
from slipway_router.config import Config, ConfigError


def test_nothing_is_lost_and_every_broken_configuration_is_refused_with_all_its_faults() -> None:
    command = [sys.executable, "-m", "bench.reloads", "--reloads", "20", "--clients", "6", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["taken"], outcome["refused"], outcome["wrong"], outcome["lost"]) == (10, 10, 0, 0)
    assert outcome["streams"] >= 6


def test_the_broken_ones_are_broken_where_it_is_said() -> None:
    with pytest.raises(ConfigError) as caught:
        Config.parse(reloads.configuration(1, 2, broken=True))
    assert sorted(path for path, _ in caught.value.faults) == sorted(reloads.FAULTS)
    assert Config.parse(reloads.configuration(1, 1, broken=False)) != Config.parse(reloads.configuration(1, 3, broken=False))


def test_one_that_is_wrongly_taken_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = reloads.configuration

    def always_right(port: int, number: int, *, broken: bool) -> dict[str, Any]:
        return made(port, number, broken=False)

    monkeypatch.setattr(reloads, "configuration", always_right)
    outcome = asyncio.run(reloads.reload(2, 1))
    assert (outcome.taken, outcome.refused, outcome.wrong) == (2, 0, 1)


@pytest.mark.parametrize("wrong", [["--reloads", "1"], ["--clients", "0"]])
def test_senseless_numbers_are_refused(
    wrong: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["reloads", *wrong])
    with pytest.raises(SystemExit):
        reloads.main()
    assert "give" in capsys.readouterr().err
