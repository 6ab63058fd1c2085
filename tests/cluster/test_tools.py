"""Where the test cluster's programs are looked for, and what is said where they are not there."""

from pathlib import Path

import pytest
from tests.cluster import tools


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("SLIPWAY_TOOLS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def program(folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("#!/bin/sh\nexit 1\n")
    (folder / name).chmod(0o755)


def test_the_folder_is_named_by_what_is_pinned(empty: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = tools.folder()
    assert first.parent == empty / "slipway" / "tools"
    assert tools.folder() == first
    for module in ("extra", "lint", ""):
        (tmp_path / "pins" / module).mkdir(parents=True, exist_ok=True)
        for name in ("go.mod", "go.sum"):
            (tmp_path / "pins" / module / name).write_text("other versions")
    monkeypatch.setattr(tools, "KUBERNETES", tmp_path / "pins")
    monkeypatch.setattr(tools, "EXTRA", tmp_path / "pins" / "extra")
    monkeypatch.setattr(tools, "LINT", tmp_path / "pins" / "lint")
    assert tools.folder() != first
    monkeypatch.setenv("SLIPWAY_TOOLS", str(tmp_path / "mine"))
    assert tools.folder() == tmp_path / "mine"


def test_what_is_missing_is_said_with_what_to_do(empty: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "path"
    monkeypatch.setenv("PATH", str(path))
    reason = "the test cluster is not built: run `make cluster` first"
    assert tools.missing() == f"{reason}, which needs Go 1.26 or later (go.dev/dl), and there is none on PATH"
    program(path, "go")
    assert tools.missing() == reason
    tools.folder().mkdir(parents=True)
    (tools.folder() / tools.STAGES).write_text("")
    assert tools.missing() == "the test cluster needs openssl on PATH, for its certificates"
    program(path, "openssl")
    assert tools.missing() is None


def test_a_build_that_cannot_be_says_why_and_leaves_nothing_that_looks_built(
    empty: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "path"
    monkeypatch.setenv("PATH", str(path))
    with pytest.raises(tools.BuildError, match="there is no 'go' on PATH"):
        tools.build()
    program(path, "go")
    monkeypatch.setenv("PATH", f"{path}:/usr/bin:/bin")
    with pytest.raises(tools.BuildError, match="`go list` failed"):
        tools.build()
    assert not tools.folder().exists()
    assert tools.missing()


def test_what_is_built_is_not_built_again(empty: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tools.folder().mkdir(parents=True)
    (tools.folder() / tools.STAGES).write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tools.build() == tools.folder()
