"""Which engine is taken, and what is said of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.project import Project, free_port

from slipway.engine.choice import Wanted, choose
from slipway.engine.embedded import EmbeddedRunner
from slipway.engine.outcome import EngineError


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path / "small")
    project.servers({"name": "one", "port": free_port()})
    yield project
    EmbeddedRunner(project.directory, "test").down(lambda _: None)


def refuse(why: str) -> bool:
    return False


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_a_local_stack_has_the_embedded_runner_which_says_so_in_one_line(
    local: Project, said: list[str]
) -> None:
    assert isinstance(choose(local.directory, "test", Wanted.AUTO, said.append, refuse), EmbeddedRunner)
    assert said == ["Pulumi's engine is not installed: the embedded runner brings up this stack, which is local."]


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_any_other_stack_is_told_the_two_ways_there_are(tmp_path: Path, said: list[str]) -> None:
    project = Project(tmp_path / "k", "import pulumi_kubernetes as k8s\nk8s.core.v1.Namespace('ai', metadata={'name': 'ai'})\n")
    project.settings("config: {}\n")
    asked: list[str] = []

    def offer(why: str) -> bool:
        asked.append(why)
        return False

    with pytest.raises(EngineError, match=r"slipway up -s test --install.*slipway render -s test"):
        choose(project.directory, "test", Wanted.AUTO, said.append, offer)
    assert asked == ["Pulumi's engine is not installed, and stack 'test' needs it for ai (kubernetes:core/v1:Namespace)"]


@pytest.mark.usefixtures("no_engine")
def test_pulumi_is_not_replaced_by_the_embedded_runner_where_it_was_asked_for(local: Project, said: list[str]) -> None:
    with pytest.raises(EngineError, match="Pulumi's engine is not installed, and stack 'test' needs it"):
        choose(local.directory, "test", Wanted.PULUMI, said.append, refuse)


def test_who_has_the_stack_keeps_it(local: Project, said: list[str]) -> None:
    EmbeddedRunner(local.directory, "test").up(lambda _: None)
    assert isinstance(choose(local.directory, "test", Wanted.AUTO, said.append, refuse), EmbeddedRunner)
    with pytest.raises(EngineError, match=r"is run by the embedded runner; `slipway down -s test` first"):
        choose(local.directory, "test", Wanted.PULUMI, said.append, refuse)
