"""Finding Pulumi's engine: on PATH, by its version. That a found one works is proven in tests/engine."""

from pathlib import Path

import pytest

from slipway.engine import installation


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def engine(file: Path, script: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_none(path: Path) -> None:
    assert installation.find() == installation.Found(None, "Pulumi's engine is not installed")


def test_one_on_the_path_that_is_new_enough(path: Path) -> None:
    engine(path / "bin" / "pulumi", "echo v3.250.0")
    found = installation.find()
    assert found.command
    assert str(found.command.version) == "3.250.0"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo v3.249.9", "is older than 3.250.0, or tells no version; update it"),
        ("exit 3", "does not run: "),
        ("echo x", "is older than 3.250.0, or tells no version"),
    ],
)
def test_one_that_cannot_be_used_is_told_with_its_place(path: Path, script: str, told: str) -> None:
    engine(path / "bin" / "pulumi", script)
    found = installation.find()
    assert found.command is None
    assert f"the engine {path / 'bin' / 'pulumi'} {told}" in found.reason


def test_the_one_that_our_command_installed_serves_where_the_path_has_an_old_one(path: Path) -> None:
    engine(path / "bin" / "pulumi", "echo v3.1.0")
    engine(path / "home" / "versions" / str(installation.PINNED) / "bin" / "pulumi", f"echo v{installation.PINNED}")
    found = installation.find()
    assert found.command
    assert found.command.version == installation.PINNED
