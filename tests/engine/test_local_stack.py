"""The local stack on Pulumi's real engine, by its command line and through ours. Skipped where no engine is on PATH."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.project import Project, free_port, lives

pytestmark = pytest.mark.skipif(shutil.which("pulumi") is None, reason="no Pulumi engine: there is no 'pulumi' on PATH")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path / "small")
    yield project
    slipway("down", "-s", "test", directory=project.directory)


def environment(directory: Path) -> dict[str, str]:
    keep = {
        k: v for k, v in os.environ.items() if k not in ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE")
    }
    # The engine runs the 'python' on PATH where a project names no virtual environment.
    return {**keep, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PULUMI_SKIP_UPDATE_CHECK": "1"}


def run(command: list[str], directory: Path, more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=directory,
        env={**environment(directory), **(more or {})},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def slipway(*words: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "slipway", *words, "-C", str(directory)], directory)


def up(project: Project, *more: str) -> dict[str, Any]:
    done = slipway("up", "-s", "test", "--json", *more, directory=project.directory)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_up_again_change_heal_and_down_through_our_command(project: Project) -> None:
    one, two = free_port(), free_port()
    project.servers({"name": "one", "port": one}, {"name": "two", "port": two})
    settings = (project.directory / "Pulumi.test.yaml").read_bytes()
    first = up(project)
    assert first["changes"]["create"] == 3  # the stack itself too
    assert (project.directory / "Pulumi.test.yaml").read_bytes() == settings, "the committed settings stay as they are"
    assert (project.directory / ".slipway" / "engine" / "passphrase").stat().st_mode & 0o777 == 0o600

    again = up(project)
    assert set(again["changes"]) == {"same"}
    assert again["outputs"] == first["outputs"]

    project.servers({"name": "one", "port": one, "text": "changed"}, {"name": "two", "port": two})
    changed = up(project)
    assert changed["changes"]["update"] == 1
    assert changed["outputs"]["two"] == first["outputs"]["two"]

    os.kill(int(changed["outputs"]["two"]), signal.SIGKILL)
    assert up(project)["changes"]["update"] == 1
    # With a look at what is there first, which finds all as it should be.
    assert set(up(project, "--refresh")["changes"]) == {"same"}

    refused = run(
        [sys.executable, "-m", "slipway", "up", "-s", "test", "--engine", "embedded", "-C", str(project.directory)],
        project.directory,
    )
    assert refused.returncode == 1
    assert "is run by Pulumi's engine; `slipway down -s test` first" in refused.stderr

    down = slipway("down", "-s", "test", "--json", directory=project.directory)
    assert json.loads(down.stdout)["changes"] == {"delete": 3}
    assert not lives(int(changed["outputs"]["one"]))


def test_a_taken_port_is_one_clear_error_without_a_traceback(project: Project) -> None:
    project.servers({"name": "one", "port": free_port(), "text": "x"})
    up(project)
    port = json.loads((project.directory / "Pulumi.test.yaml").read_text().split("- ")[1].replace("'", '"'))["port"]
    project.servers({"name": "one", "port": port, "text": "x"}, {"name": "two", "port": port})
    refused = slipway("up", "-s", "test", directory=project.directory)
    assert refused.returncode == 1
    assert f"two: 'two' cannot have port {port} on 127.0.0.1" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_same_by_hand(project: Project, tmp_path: Path) -> None:
    port = free_port()
    project.servers({"name": "one", "port": port})
    (tmp_path / "state").mkdir()
    hand = {"PULUMI_BACKEND_URL": (tmp_path / "state").as_uri(), "PULUMI_CONFIG_PASSPHRASE": "a test's own"}

    def pulumi(*words: str) -> str:
        done = run(["pulumi", "--non-interactive", *words], project.directory, hand)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    pulumi("stack", "init", "test")
    assert "+ 2 created" in pulumi("up", "-s", "test", "--yes")
    assert "2 unchanged" in pulumi("preview", "-s", "test")
    pid = int(json.loads(pulumi("stack", "output", "--json", "-s", "test"))["one"])
    os.kill(pid, signal.SIGKILL)
    assert "- 1 deleted" in pulumi("refresh", "-s", "test", "--yes"), "refresh notices that it died"
    assert "+ 1 created" in pulumi("up", "-s", "test", "--yes")
    state = json.loads(pulumi("stack", "export", "-s", "test"))
    (process,) = [r for r in state["deployment"]["resources"] if r["type"].endswith("LocalProcess")]
    assert len(process["inputs"]["__provider"]) < 400, "the state holds a reference to the provider, not its code"
    assert "2 deleted" in pulumi("destroy", "-s", "test", "--yes")
