import dataclasses
import json
import stat
from pathlib import Path

import pytest

from slipway.local.record import Record, environment_digest, new_salt, remove_record

RECORD = Record(
    owner="slipway",
    stack="test",
    token="t",
    started="2026-01-01T00:00:00+00:00",
    command_digest="c",
    inputs_digest="i",
    environment_salt="00" * 16,
    environment_digest=environment_digest("00" * 16, ["A_KEY"], {"A_KEY": "hush"}),
)


def test_it_is_read_as_it_was_written_and_only_its_owner_can(tmp_path: Path) -> None:
    record = dataclasses.replace(RECORD, pid=7, create_time=1.5, port=8000, ready=True)
    record.save(tmp_path / "web")
    assert Record.load(tmp_path / "web") == record
    assert stat.S_IMODE((tmp_path / "web" / "record.json").stat().st_mode) == 0o600
    assert [p.name for p in (tmp_path / "web").iterdir()] == ["record.json"]
    remove_record(tmp_path / "web")
    remove_record(tmp_path / "web")
    assert Record.load(tmp_path / "web") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"owner": "slipway"}'])
def test_what_cannot_be_read_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text)
    assert Record.load(tmp_path) is None


def test_a_later_versions_fields_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(json.dumps({**dataclasses.asdict(RECORD), "later": 1}))
    assert Record.load(tmp_path) == RECORD


def test_the_digest_tells_values_apart_and_none_from_empty() -> None:
    assert not RECORD.environment_changed(["A_KEY"], {"A_KEY": "hush", "OTHER": "x"})
    assert not RECORD.environment_changed(["A_KEY", "A_KEY"], {"A_KEY": "hush"})
    assert RECORD.environment_changed(["A_KEY"], {"A_KEY": "hush2"})
    assert RECORD.environment_changed(["A_KEY"], {})
    salt = new_salt()
    assert environment_digest(salt, ["A"], {}) != environment_digest(salt, ["A"], {"A": ""})
    assert environment_digest(salt, ["A"], {"A": "x"}) != environment_digest(new_salt(), ["A"], {"A": "x"})
