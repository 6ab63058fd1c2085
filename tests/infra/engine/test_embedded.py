"""The embedded runner with real processes. That Pulumi's engine does the same is proven in tests/engine."""

import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.project import Project, free_port, lives

from slipway.engine.embedded import EmbeddedRunner
from slipway.engine.outcome import EngineError


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path / "small")
    yield project
    EmbeddedRunner(project.directory, "test").down(lambda _: None)


def get(port: object) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
        return answer.read().decode()


def test_up_change_heal_and_down(project: Project) -> None:
    said: list[str] = []
    runner = EmbeddedRunner(project.directory, "test")
    one, two = free_port(), free_port()
    project.servers({"name": "one", "port": one}, {"name": "two", "port": two})

    assert dict(runner.preview(said.append).changes) == {"create": 2}
    assert not runner.owns()
    first = runner.up(said.append)
    assert (dict(first.changes), get(one), runner.owns()) == ({"create": 2}, "hello", True)

    again = runner.up(said.append)
    assert (dict(again.changes), again.changed, again.outputs) == ({"same": 2}, 0, first.outputs)

    project.servers({"name": "one", "port": one, "text": "changed"}, {"name": "two", "port": two})
    assert dict(runner.preview(said.append).changes) == {"update": 1, "same": 1}
    assert get(one) == "hello"
    changed = runner.up(said.append)
    assert (dict(changed.changes), get(one)) == ({"update": 1, "same": 1}, "changed")
    assert changed.outputs["two"] == first.outputs["two"], "only what changed is restarted"
    assert "  ~ one: files changed" in said

    os.kill(int(changed.outputs["two"]), signal.SIGKILL)
    healed = runner.up(said.append)
    assert (dict(healed.changes), get(two)) == ({"update": 1, "same": 1}, "hello")
    assert "  ~ two: the process is dead" in said

    project.servers({"name": "two", "port": two})
    assert dict(runner.preview(said.append).changes) == {"same": 1, "delete": 1}
    assert get(one) == "changed"
    assert dict(runner.up(said.append).changes) == {"same": 1, "delete": 1}
    with pytest.raises(OSError, match="refused"):
        get(one)

    assert dict(runner.down(said.append).changes) == {"delete": 1}
    assert not runner.owns()
    assert not lives(int(healed.outputs["two"]))
    assert dict(runner.down(said.append).changes) == {}


def test_a_failed_start_leaves_what_came_up_and_the_next_up_goes_on(project: Project) -> None:
    runner = EmbeddedRunner(project.directory, "test")
    taken, one, two = free_port(), free_port(), free_port()
    project.servers({"name": "one", "port": taken}, {"name": "two", "port": taken})
    # Both start at the same time: either may win the port, never both.
    with pytest.raises(EngineError, match=r"(one|two): '(one|two)' (ended|cannot have port)"):
        runner.up(lambda _: None)
    project.servers({"name": "one", "port": one}, {"name": "two", "port": two})
    outcome = runner.up(lambda _: None)
    assert (dict(outcome.changes), get(one), get(two)) == ({"create": 1, "update": 1}, "hello", "hello")


def test_what_is_not_local_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    program = """
    import pulumi_kubernetes as k8s
    from slipway import LocalProcess
    LocalProcess("one", {"command": ["{python}", "-c", "raise SystemExit(1)"]})
    k8s.core.v1.Namespace("ai", metadata={"name": "ai"})
    """
    project = Project(tmp_path / "mixed", program)
    project.settings("config: {}\n")
    with pytest.raises(EngineError, match=r"only Pulumi's engine can make ai \(kubernetes:core/v1:Namespace\)"):
        EmbeddedRunner(project.directory, "test").up(lambda _: None)
    assert not (project.directory / ".slipway" / "local").exists()


def test_a_secret_is_kept_out_of_the_record(tmp_path: Path) -> None:
    program = """
    import pulumi
    from slipway import LocalProcess
    LocalProcess("one", {"command": ["{python}", "-c", "0"], "environment": {"KEY": pulumi.Output.secret("hush")}})
    """
    project = Project(tmp_path / "secret", program)
    project.settings("config: {}\n")
    with pytest.raises(EngineError, match=r"one: environment.*secret; pass it by the name of an environment variable"):
        EmbeddedRunner(project.directory, "test").up(lambda _: None)
    assert not any("hush" in f.read_text() for f in (project.directory / ".slipway").rglob("*") if f.is_file())
