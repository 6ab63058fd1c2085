"""What is asked of a local process: its faults, its paths, and when it counts as another one."""

import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime.rpc import UNKNOWN

from slipway.args import Faults
from slipway.local.spec import Health, ProcessSpec, check_process, portable, project_directory, without_unknowns

ARGS: dict[str, Any] = {"command": ["sleep", "1"]}


def paths(name: str, args: object) -> list[str]:
    faults = Faults("LocalProcess")
    check_process(name, args, faults)
    try:
        faults.refuse(name)
    except pulumi.InputPropertiesError as error:
        return [fault["property_path"].removeprefix("args.") for fault in error.errors or []]
    return []


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"command": []}, ["command"]),
        ({"command": "sleep 1"}, ["command"]),
        ({"command": ["a", "b\0"]}, ["command[1]"]),
        ({"port": 0}, ["port"]),
        ({"port": 65536}, ["port"]),
        ({"stop_grace_seconds": -1}, ["stop_grace_seconds"]),
        (
            {"environment": {"1A": "x", "B": "\0", "SLIPWAY_PROCESS": "x"}},
            [f"environment.{k}" for k in ("1A", "B", "SLIPWAY_PROCESS")],
        ),
        ({"pass_environment": ["A B"]}, ["pass_environment[0]"]),
        ({"pass_environment": ["A"], "environment": {"A": "x"}}, ["pass_environment[0]"]),
        ({"files": {"../x": "", ".hidden": "", "a.json": ""}}, ["files.../x", "files..hidden"]),
        ({"health": {"url": "https://127.0.0.1/", "status": 99}}, ["health.url", "health.status"]),
        ({"health": {"url": "http://h/", "timeout_seconds": 0}}, ["health.timeout_seconds"]),
        ({"health": {"url": "http://h/", "interval_seconds": -1}}, ["health.interval_seconds"]),
        ({"health": {}}, ["health.url"]),
        ({"comand": []}, ["comand"]),
    ],
)
def test_every_fault_is_told_by_its_path(wrong: dict[str, Any], expected: list[str]) -> None:
    assert paths("web", {**ARGS, **wrong}) == expected


def test_faults_are_told_together() -> None:
    assert paths("a/b", {"port": 0, "files": {"/": ""}}) == ["command", "name", "files./", "port"]


def test_what_is_right_passes() -> None:
    health = {"url": "http://[::1]:80/x?y", "status": 204.0, "timeout_seconds": 1, "interval_seconds": 0.5}
    more = {"port": 8000.0, "files": {"a.json": ""}, "environment": {"A": "x"}, "pass_environment": ["B"], "health": health}
    assert paths("web-1.x_y", {**ARGS, **more, "stop_grace_seconds": 0}) == []


def test_what_a_preview_does_not_know_passes() -> None:
    unknown = {
        "command": ["x", UNKNOWN],
        "port": UNKNOWN,
        "environment": {"A": UNKNOWN},
        "pass_environment": UNKNOWN,
        "files": {"a": UNKNOWN},
        "health": {"url": UNKNOWN, "status": UNKNOWN, "timeout_seconds": UNKNOWN},
        "stop_grace_seconds": UNKNOWN,
    }
    assert paths("web", without_unknowns(unknown)) == []
    assert paths("web", without_unknowns({"command": UNKNOWN, "port": 0})) == ["port"]


def test_paths_below_the_project_are_the_same_on_every_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stacks").mkdir()
    monkeypatch.chdir(tmp_path / "stacks")
    assert project_directory() == tmp_path / "stacks"
    (tmp_path / "Pulumi.yaml").write_text("")
    assert project_directory() == tmp_path
    assert portable(str(tmp_path / ".slipway" / "x")) == ".slipway/x"
    assert portable(".slipway/x") == ".slipway/x"
    assert portable("/elsewhere/x") == "/elsewhere/x"


def spec(**more: Any) -> ProcessSpec:
    props = {"name": "web", "stack": "local", "state_dir": "state", **ARGS, **more}
    return ProcessSpec.of(props, Path("/project"))


def test_placeholders_and_defaults_are_filled_in() -> None:
    made = spec(command=["{python}", "-c", "{x}", "--config={dir}/a", "{python}"], health={"url": "http://h/"})
    assert made == ProcessSpec(
        name="web",
        stack="local",
        home=Path("/project/state/web"),
        directory=Path("/project"),
        command=(sys.executable, "-c", "{x}", "--config=/project/state/web/files/a", sys.executable),
        health=Health("http://h/", 200, 30.0, 0.1),
        stop_grace_seconds=10.0,
    )


def test_programs_are_found_on_the_path_or_from_the_working_directory() -> None:
    assert spec().command[0] == shutil.which("sleep")
    assert spec(command=["no-such-program"]).command == ("no-such-program",)
    assert spec(command=["bin/x"], directory="sub").command == ("/project/sub/bin/x",)
    assert spec(directory="/elsewhere").directory == Path("/elsewhere")


@pytest.mark.parametrize(
    "more",
    [
        {"command": ["sleep", "2"]},
        {"environment": {"A": "1"}},
        {"pass_environment": ["A"]},
        {"files": {"a": "1"}},
        {"directory": "sub"},
        {"port": 8000},
        {"host": "::1"},
        {"health": {"url": "http://h/"}},
    ],
)
def test_another_setting_makes_another_process(more: dict[str, Any]) -> None:
    assert spec(**more).inputs_digest() != spec().inputs_digest()


def test_how_long_to_wait_makes_no_other_process() -> None:
    health = {"url": "http://h/"}
    patient = spec(health={**health, "timeout_seconds": 99, "interval_seconds": 1}, stop_grace_seconds=99)
    assert patient.inputs_digest() == spec(health=health).inputs_digest()


def test_another_python_is_another_command(monkeypatch: pytest.MonkeyPatch) -> None:
    before = spec(command=["{python}"]).command_digest()
    monkeypatch.setattr(sys, "executable", "/other/python")
    assert spec(command=["{python}"]).command_digest() != before
    assert dataclasses.replace(spec(), name="other").command_digest() == spec().command_digest()
