"""The configuration's errors, as far as its own schema makes them."""

from typing import Any

import pytest

from slipway_router.config import Config, ConfigError


def faults(**data: Any) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        Config.parse(data)
    return [path for path, _ in refused.value.faults]


def test_a_list_whose_only_entry_is_wrong_is_not_called_empty() -> None:
    assert faults(backends=[{"name": "a", "url": "ftp://h", "model": "m"}]) == ["backends[0].url"]
    assert faults(backends=[]) == ["backends"]
    assert faults(backends=[{"name": "a", "url": "ftp://h"}, 7]) == ["backends[0].url", "backends[0].model", "backends[1]"]
