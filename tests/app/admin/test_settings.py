"""What the admin API can be told, and what it refuses."""

from typing import Any

import pytest
from tests.app.serving import backend

from slipway_router.config import Config, ConfigError
from slipway_router.router import Router

ADMIN = {"key_env": "ADMIN"}


def parsed(admin: dict[str, Any], **more: Any) -> Config:
    return Config.parse({"backends": [backend("http://127.0.0.1:1/v1", api_key_env="VENDOR")], "admin": admin, **more})


@pytest.mark.parametrize(
    ("admin", "more", "path", "says"),
    [
        ({}, {}, "admin.key_env", "is required"),
        ({"key_env": "sk-123"}, {}, "admin.key_env", "is 'sk-123'; give the name of an environment variable, never the key"),
        ({**ADMIN, "key": "x"}, {}, "admin.key", "is not a setting here"),
        ({**ADMIN, "port": 0}, {}, "admin.port", "is 0; input should be greater than or equal to 1"),
        ({**ADMIN, "port": 70000}, {}, "admin.port", "less than or equal to 65535"),
        ({**ADMIN, "port": 8000}, {}, "admin.port", "is 8000, where clients are served ('listen.port'); give another"),
        (ADMIN, {"listen": {"port": 8001}}, "admin.port", "is 8001, where clients are served"),
        ({"key_env": "VENDOR"}, {}, "admin.key_env", "names the variable of backends[0].api_key_env"),
        (ADMIN, {"keys": [{"name": "k", "env": "ADMIN"}]}, "admin.key_env", "names the variable of keys[0].env"),
    ],
)
def test_each_wrong_value_is_told_with_its_path_and_the_choice(
    admin: dict[str, Any], more: dict[str, Any], path: str, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(admin, **more)
    assert says in dict(caught.value.faults)[path]


@pytest.mark.parametrize(
    ("value", "says"), [(None, "is not set"), ("a b" * 20, "is no key"), ("k" * 31, "is too short; give 32 characters")]
)
def test_a_key_that_is_missing_or_weak_is_refused_at_start_and_not_told(value: str | None, says: str) -> None:
    environ = {"VENDOR": "v", **({"ADMIN": value} if value else {})}
    with pytest.raises(ConfigError) as caught:
        Router(parsed(ADMIN), environ)
    assert says in dict(caught.value.faults)["admin.key_env"]
    assert value is None or value not in str(caught.value)
