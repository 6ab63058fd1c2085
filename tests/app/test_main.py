"""The dispatcher of `slipway-router`."""

import subprocess
import sys

import pytest

from slipway_router.__main__ import COMMANDS, main


def ended(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_tells_its_options_and_exit_codes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(command, "--help") == 0
    told = capsys.readouterr().out
    assert told.startswith(f"usage: slipway-router {command}")
    assert "Exit codes: 0 " in told


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_the_commands(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([flag])
    told = capsys.readouterr().out
    assert all(f"  {name} " in told and does in told for name, does in COMMANDS.items())


def test_without_a_commands_name_it_serves(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("--config", "/none.yaml") == 2
    assert "/none.yaml: cannot be read" in capsys.readouterr().err
    assert ended() == 2
    assert "the following arguments are required: --config" in capsys.readouterr().err


def test_a_command_that_there_is_not_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("brew") == 2
    said = capsys.readouterr().err
    assert said.startswith("slipway-router: there is no command 'brew'; there are 'serve', 'check', ")
    assert said.count("\n") == 1


def test_serving_imports_no_other_command_and_nothing_that_draws() -> None:
    code = """
import sys
from slipway_router.__main__ import main
try:
    main(["serve", "--config", "/none.yaml"])
except SystemExit:
    pass
print(sorted(m for m in sys.modules if m in ("rich", "typer", "click", "httpx") or m.startswith("slipway_router.commands.")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "['slipway_router.commands.serve']"
