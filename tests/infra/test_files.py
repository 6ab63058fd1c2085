from pathlib import Path

import pytest

from slipway.files import write_private


def test_only_its_owner_can_read_it_and_its_folder(tmp_path: Path) -> None:
    file = write_private(tmp_path / "deep" / "file", "text")
    assert (file.read_text(), file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == ("text", 0o600, 0o700)


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path: Path) -> None:
    write_private(tmp_path / "file", "old")
    with pytest.raises(UnicodeEncodeError):
        write_private(tmp_path / "file", "\ud800")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("file", "old")]
