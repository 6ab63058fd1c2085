"""The embedded runner's record of what it made."""

import json
import multiprocessing
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from slipway.engine.checkpoint import Checkpoint, Made, locked
from slipway.engine.outcome import EngineError

ONE = Made("urn:pulumi:s::p::t::one", "t", "1", {"a": 1}, {"b": [2]})
TWO = Made("urn:pulumi:s::p::t::two", "t", "2", {}, {})


def test_what_was_put_is_read_again_in_the_order_of_making(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "s.json"
    checkpoint = Checkpoint.load(path)
    assert checkpoint.resources == {}
    checkpoint.put(ONE)
    checkpoint.put(TWO)
    assert list(Checkpoint.load(path).resources.values()) == [ONE, TWO]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_nothing_left_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    checkpoint = Checkpoint.load(path)
    checkpoint.put(ONE)
    checkpoint.drop(ONE.urn)
    checkpoint.drop(ONE.urn)
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "cannot be read"),
        ('{"resources": []}', "cannot be read"),
        ('{"version": 1, "resources": [{"urn": "x"}]}', "cannot be read"),
        (json.dumps({"version": 9, "resources": []}), "is of version 9, this release writes 1"),
    ],
)
def test_what_cannot_be_read_is_told_and_kept(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(EngineError, match=told):
        Checkpoint.load(path)
    assert path.read_text() == text


def _hold(path: str, held: Event, done: Event) -> None:
    with locked(Path(path), "s"):
        held.set()
        done.wait(30)


def test_a_second_update_is_told_who_holds_the_stack(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(str(tmp_path / "s.lock"), held, done))
    holder.start()
    try:
        assert held.wait(30)
        with (
            pytest.raises(EngineError, match=f"another update of stack 's' is under way \\(process {holder.pid}\\)"),
            locked(tmp_path / "s.lock", "s"),
        ):
            pytest.fail("the lock was given twice")
    finally:
        done.set()
        holder.join(30)
    with locked(tmp_path / "s.lock", "s"):
        pass
