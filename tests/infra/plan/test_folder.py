"""Folders of generated files: whole or not at all, and never at the cost of somebody else's file."""

import os
import stat
from pathlib import Path

import pytest

from slipway.plan import PlanError
from slipway.plan.folder import LIST, write_folder


def content(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in folder.iterdir() if p.name != LIST}


def test_a_new_folder_and_its_parents(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    write_folder(folder, {"x.yaml": "1", "y.yaml": "2"})
    assert content(folder) == {"x.yaml": "1", "y.yaml": "2"}
    assert (folder / LIST).read_text() == "x.yaml\ny.yaml\n"
    plain = tmp_path / "plain"
    plain.mkdir()
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    assert [p.name for p in folder.parent.iterdir()] == ["b"]


def test_a_later_run_replaces_and_removes_what_was_generated_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_folder(folder, {"x.yaml": "1", "y.yaml": "2"})
    (folder / "kustomization.yaml").write_text("mine")
    write_folder(folder, {"y.yaml": "3", "z.yaml": "4"})
    assert content(folder) == {"y.yaml": "3", "z.yaml": "4", "kustomization.yaml": "mine"}
    assert (folder / LIST).read_text() == "y.yaml\nz.yaml\n"
    write_folder(folder, {})
    assert content(folder) == {"kustomization.yaml": "mine"}


def test_a_name_that_is_taken_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "y.yaml").write_text("mine")
    with pytest.raises(PlanError, match=r"not generated here: y\.yaml"):
        write_folder(tmp_path, {"x.yaml": "1", "y.yaml": "2"})
    assert content(tmp_path) == {"y.yaml": "mine"}


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(PlanError, match="is a file"):
        write_folder(tmp_path / "out", {})
    with pytest.raises(PlanError, match="cannot be written"):
        write_folder(tmp_path / "out" / "below", {})


def test_a_failure_in_the_middle_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    write_folder(folder, {"a.yaml": "1", "b.yaml": "2"})
    before = {p.name: p.read_text() for p in folder.iterdir()}
    replaced: list[Path] = []
    replace = Path.replace

    def failing(self: Path, target: Path) -> Path:
        replaced.append(target)
        if len(replaced) == 3:
            raise OSError(28, os.strerror(28))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(PlanError, match="No space left"):
        write_folder(folder, {"a.yaml": "3", "c.yaml": "4", "d.yaml": "5"})
    assert len(replaced) == 3
    assert {p.name: p.read_text() for p in folder.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_list_with_paths_in_it_removes_nothing_outside(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_folder(folder, {"a.yaml": "1"})
    outside = tmp_path / "precious"
    outside.write_text("mine")
    (folder / LIST).write_text("a.yaml\n../precious\n")
    write_folder(folder, {"b.yaml": "2"})
    assert outside.read_text() == "mine"
