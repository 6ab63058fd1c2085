from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from tests.infra.local.place import Place

from slipway.local.process import LocalProcessProvider


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A project directory to work in. Whatever a failed test leaves running is ended, by pid."""
    (tmp_path / "Pulumi.yaml").write_text("name: test\nruntime: python\n")
    monkeypatch.chdir(tmp_path)
    place = Place(tmp_path.resolve(), LocalProcessProvider(owner="slipway"))
    yield place
    for process in place.alive():
        with suppress(psutil.Error):
            process.kill()
