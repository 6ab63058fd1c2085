"""The schema of the admin API."""

import re
from collections.abc import Mapping
from typing import Any, cast

from pydantic import Field, field_validator

from slipway_router.schema import Strict, to_bind

ADMIN_PORT = 8001
LEAST_CHARACTERS = 32
"""Of the admin key: 128 bits, where it is written in hexadecimal digits."""
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class AdminSettings(Strict):
    """Where operators ask and change the router's state. Changes to it need a restart."""

    key_env: str
    """Environment variable that holds the key, sent as `Authorization: Bearer`: random, 32 characters or more."""
    host: str = "127.0.0.1"
    """Address to bind. Only this machine can reach the default; in a container it is `0.0.0.0`."""
    port: int = Field(default=ADMIN_PORT, ge=1, le=65535)
    """TCP port, another one than clients use."""

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        return to_bind(value)

    @field_validator("key_env")
    @classmethod
    def _key_env(cls, value: str) -> str:
        if not _ENV_NAME.fullmatch(value):
            raise ValueError(f"is {value!r}; give the name of an environment variable, never the key itself")
        return value


def admin_faults(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """An admin API where clients are let in: on their port, or with a key of theirs."""
    admin = data.get("admin")
    if not isinstance(admin, Mapping):
        return []
    told = cast("Mapping[str, object]", admin)
    listen = data.get("listen")
    theirs = cast("Mapping[str, object]", listen).get("port", 8000) if isinstance(listen, Mapping) else 8000
    faults: list[tuple[str, str]] = []
    if told.get("port", ADMIN_PORT) == theirs:
        faults.append(("admin.port", f"is {theirs}, where clients are served ('listen.port'); give another"))
    key = told.get("key_env")
    for group, field in (("backends", "api_key_env"), ("keys", "env")):
        found = data.get(group)
        for i, entry in enumerate(cast("list[object]", found) if isinstance(found, list | tuple) else ()):
            if key is not None and isinstance(entry, Mapping) and cast("Mapping[str, object]", entry).get(field) == key:
                faults.append(
                    ("admin.key_env", f"names the variable of {group}[{i}].{field}; give the admin API a key of its own")
                )
    return faults
