"""The variables that a configuration names."""

from typing import Any

import pytest

from slipway_router.config import Config, ConfigError
from slipway_router.variables import check_variables, is_key, named, named_in

DATA: dict[str, Any] = {
    "backends": [
        {"name": "a", "url": "http://h/v1", "model": "m"},
        {"name": "b", "url": "http://h/v1", "model": "m", "api_key_env": "KEY_B"},
    ],
    "keys": [{"name": "x", "sha256": "0" * 64}, {"name": "y", "env": "KEY_Y"}],
}
NAMED = [("backends[1].api_key_env", "KEY_B"), ("keys[1].env", "KEY_Y")]


def test_they_are_found_in_data_and_in_what_was_made_of_it() -> None:
    assert named_in(DATA) == NAMED
    assert named(Config.parse(DATA)) == NAMED


@pytest.mark.parametrize(
    "data", [None, [], "text", {}, {"backends": None}, {"backends": [1], "keys": {"env": "X"}}, {"keys": [{"env": 1}]}]
)
def test_data_of_the_wrong_shape_name_none(data: object) -> None:
    assert named_in(data) == []


def test_all_that_are_wrong_are_told_and_none_of_what_they_hold() -> None:
    check_variables(Config.parse(DATA), {"KEY_B": "sk-1", "KEY_Y": "sk-2"}, "router.yaml")
    with pytest.raises(ConfigError) as refused:
        check_variables(Config.parse(DATA), {"KEY_B": "two words"}, "router.yaml")
    said = str(refused.value)
    assert said.startswith(
        "router.yaml has 2 faults:\n  backends[1].api_key_env: names the environment variable KEY_B, whose value"
    )
    assert "keys[1].env: names the environment variable KEY_Y, which is not set" in said
    assert "two words" not in said


@pytest.mark.parametrize(("value", "right"), [("sk-1", True), ("", False), ("a b", False), ("a\r\nx: y", False), ("ключ", False)])
def test_what_can_be_sent_as_a_key(value: str, right: bool) -> None:
    assert is_key(value) is right
