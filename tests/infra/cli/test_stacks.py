"""The command as a user calls it: a process of its own, its output, its exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from tests.support.project import Project, free_port


def slipway(*words: str, directory: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": "/usr/bin:/bin", "PULUMI_HOME": str(directory / "home")}
    command = [sys.executable, "-m", "slipway", *words, "-C", str(directory)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False
    )


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path / "small")
    yield project
    if list(project.directory.glob("Pulumi.test.yaml")):
        slipway("down", "-s", "test", directory=project.directory)


def test_up_preview_and_down(project: Project) -> None:
    project.servers({"name": "one", "port": free_port()})
    up = slipway("up", "-s", "test", "--json", directory=project.directory)
    assert up.returncode == 0, up.stderr
    told = json.loads(up.stdout)
    assert (told["stack"], told["changes"]) == ("test", {"create": 1})
    assert "+ one: start" in up.stderr
    preview = slipway("preview", "-s", "test", directory=project.directory)
    assert (preview.returncode, "test: no change" in preview.stderr) == (0, True)
    down = slipway("down", "-s", "test", directory=project.directory)
    assert (down.returncode, "test: 1 delete" in down.stderr) == (0, True)


@pytest.mark.parametrize("command", ["up", "preview"])
def test_an_unknown_stack_is_bad_input_with_the_stacks_there_are(project: Project, command: str) -> None:
    project.servers()
    refused = slipway(command, "-s", "tset", directory=project.directory)
    assert (refused.returncode, refused.stderr.strip()) == (2, "there is no stack 'tset' in project 'small'; there are test")


def test_a_start_that_fails_is_told_with_the_logs_last_lines_and_no_traceback(tmp_path: Path) -> None:
    program = """
    from slipway import LocalProcess
    LocalProcess("one", {"command": ["{python}", "-c", "raise SystemExit('no such model')"],
                         "health": {"url": "http://127.0.0.1:9/", "timeout_seconds": 20}})
    """
    project = Project(tmp_path / "fails", program)
    project.settings("config: {}\n")
    failed = slipway("up", "-s", "test", directory=project.directory)
    assert failed.returncode == 1
    assert "no such model" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_fault_of_the_program_names_its_place_and_is_bad_input(tmp_path: Path) -> None:
    project = Project(tmp_path / "wrong", "from slipway import LocalProcess\nLocalProcess('one', {'comand': []})\n")
    project.settings("config: {}\n")
    refused = slipway("up", "-s", "test", directory=project.directory)
    assert refused.returncode == 2
    assert "args.comand: is not an argument; did you mean 'command'?" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_version_and_no_command() -> None:
    version = subprocess.run(
        [sys.executable, "-m", "slipway", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert version.stdout.strip() == f"slipway {metadata.version('slipway')}"
    bare = subprocess.run([sys.executable, "-m", "slipway"], capture_output=True, text=True, timeout=60, check=False)
    assert bare.returncode == 2
    assert "Usage" in bare.stdout + bare.stderr


@pytest.mark.parametrize("words", [("--help",), ("up", "--help"), ("preview", "--help"), ("down", "--help")])
def test_help(words: tuple[str, ...], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "slipway", *words]
    helped = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert helped.returncode == 0
    assert "Usage" in helped.stdout
