"""A folder of generated files: replaced as a whole, without touching what is not ours."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from slipway.plan.plan import PlanError

# No suffix that kubectl reads.
LIST = ".slipway-rendered"
"""File that lists the generated files of a folder, so that a later run knows which it may replace."""


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Make a folder hold these files and no other generated ones. Files of somebody else stay; if anything fails, so does all.

    Args:
        folder: The folder; made if it is not there.
        files: Text by name, without subfolders.

    Raises:
        PlanError: the folder cannot be written, or a name is taken by a file that was not generated.
    """
    if folder.exists() and not folder.is_dir():
        raise PlanError(f"{folder} is a file; give a folder")
    before = _generated(folder)
    taken = sorted(name for name in files if name not in before and (folder / name).exists())
    if taken:
        raise PlanError(f"{folder} has files that were not generated here: {', '.join(taken)}. Move them, or give another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".slipway-render-", dir=folder.parent))
    except OSError as error:
        raise PlanError(f"{folder} cannot be written: {error.strerror}") from None
    try:
        for name, text in {**files, LIST: "".join(f"{name}\n" for name in sorted(files))}.items():
            (stage / name).write_text(text, encoding="utf-8")
        if folder.exists():
            _exchange(stage, folder, before)
        else:
            stage.chmod(0o777 & ~_umask())
            stage.rename(folder)
    except OSError as error:
        raise PlanError(f"{folder} cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _generated(folder: Path) -> set[str]:
    try:
        names = (folder / LIST).read_text(encoding="utf-8").split("\n")
    except OSError:
        return set()
    # Somebody could have written a path into it.
    return {name for name in names if name and Path(name).name == name}


def _exchange(stage: Path, folder: Path, before: set[str]) -> None:
    """Put the staged files in the place of the old ones; if that fails, put the old ones back."""
    staged = {p.name for p in stage.iterdir()}
    old = {name: (folder / name).read_bytes() for name in {*before, LIST} if (folder / name).is_file()}
    # Should this process be killed in between, the next run must know both as ours.
    both = sorted({*before, *staged} - {LIST})
    try:
        (folder / LIST).write_text("".join(f"{name}\n" for name in both), encoding="utf-8")
        for name in sorted(staged - {LIST}):
            (stage / name).replace(folder / name)
        for name in sorted(before - staged):
            (folder / name).unlink(missing_ok=True)
        (stage / LIST).replace(folder / LIST)
    except OSError:
        for name in staged - old.keys():
            (folder / name).unlink(missing_ok=True)
        for name, data in old.items():
            (folder / name).write_bytes(data)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
