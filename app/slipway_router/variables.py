"""The environment variables that a configuration names: where its keys are."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from slipway_router.admin.settings import LEAST_CHARACTERS
from slipway_router.config import Config, ConfigError

_NAMING = {"backends": "api_key_env", "keys": "env"}
"""The field that names one, by the list whose entries have it."""
_ALONE = (("admin", "key_env"), ("redis", "password_env"), ("telemetry", "otel", "token_env"))
"""Where else a field names one."""


def named_in(data: object) -> list[tuple[str, str]]:
    """The path and name of each variable. Works on data as given, so that it speaks even where something else is wrong."""
    found: list[tuple[str, str]] = []
    if isinstance(data, Mapping):
        for group, field in _NAMING.items():
            listed = cast("Mapping[str, object]", data).get(group)
            for i, entry in enumerate(cast("Sequence[object]", listed) if isinstance(listed, list | tuple) else ()):
                name = cast("Mapping[str, object]", entry).get(field) if isinstance(entry, Mapping) else None
                if isinstance(name, str):
                    found.append((f"{group}[{i}].{field}", name))
        for path in _ALONE:
            at: object = cast("object", data)
            for part in path:
                at = cast("Mapping[str, object]", at).get(part) if isinstance(at, Mapping) else None
            if isinstance(at, str):
                found.append((".".join(path), at))
    return found


def named(config: Config) -> list[tuple[str, str]]:
    """The path and name of each variable."""
    including: Any = {group: {"__all__": {field}} for group, field in _NAMING.items()}
    including |= {path[0]: True for path in _ALONE}
    return named_in(config.model_dump(include=including))


def variable_faults(variables: Sequence[tuple[str, str]], environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Those that are unset or hold no key, with the reason; never what they hold."""
    faults: list[tuple[str, str]] = []
    for path, variable in variables:
        value = environ.get(variable)
        if not value:
            faults.append((path, f"names the environment variable {variable}, which is not set; set it to the key"))
        elif not is_key(value):
            faults.append(
                (path, f"names the environment variable {variable}, whose value is no key: only visible ASCII characters")
            )
        elif path == "admin.key_env" and len(value) < LEAST_CHARACTERS:
            faults.append(
                (path, f"names the environment variable {variable}, whose value is too short; give {LEAST_CHARACTERS} characters")
            )
    return faults


def check_variables(config: Config, environ: Mapping[str, str], source: str) -> None:
    """Make sure that every variable is there.

    Raises:
        ConfigError: naming each that is unset or holds no key.
    """
    faults = variable_faults(named(config), environ)
    if faults:
        raise ConfigError(faults, source)


def is_key(value: str) -> bool:
    """Whether a text can be sent as a key in a header."""
    return bool(value) and value.isascii() and value.isprintable() and " " not in value
