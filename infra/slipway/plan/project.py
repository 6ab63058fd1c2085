"""A Pulumi project on disk: Pulumi.yaml, and the settings of its stacks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from slipway.plan.plan import PlanError
from slipway.plan.values import HIDDEN

_WANTED = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}
_PLACEHOLDERS: Mapping[str, Any] = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Setting:
    """One entry of `config` in Pulumi.yaml."""

    type: str | None
    """'string', 'integer', 'number', 'boolean', 'array' or 'object'; None leaves it open."""
    items: Mapping[str, Any] | None
    """What a list's entries are, in the same words."""
    secret: bool
    value: Any
    """Default, or fixed value; None where a stack must give one."""


@dataclass(frozen=True)
class Configuration:
    """A stack's settings as a program gets them: by full key (`slipway:models`), as texts, structures as JSON."""

    values: Mapping[str, str]
    secret_keys: frozenset[str] = frozenset()
    encrypted: tuple[str, ...] = ()
    """Keys whose values are encrypted. A placeholder stands for each, as no passphrase is asked for."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Project:
    """What Pulumi.yaml says."""

    directory: Path
    """Where it is."""
    name: str
    program: Path
    """The file that is run, or the folder with `__main__.py`."""
    stack_directory: Path
    """Where the stacks' settings are."""
    schema: Mapping[str, Setting] = field(default_factory=dict[str, Setting])
    """Its settings, by full key."""

    @classmethod
    def read(cls, directory: Path) -> "Project":
        """Read `Pulumi.yaml` (or `.yml`) in a directory.

        Raises:
            PlanError: there is none, or it is not what Pulumi takes for a Python project; with every fault.
        """
        directory = directory.resolve()
        file = next((f for f in _files(directory, "Pulumi") if f.is_file()), None)
        if file is None:
            raise PlanError(f"{directory} has no Pulumi.yaml; give the directory of a Pulumi project")
        data = _mapping(file, file.name)
        faults: list[str] = []
        name = data.get("name")
        if not isinstance(name, str) or not name:
            faults.append("name: is required")
        runtime = data.get("runtime")
        language = cast("Mapping[str, Any]", runtime).get("name") if isinstance(runtime, Mapping) else runtime
        if language != "python":
            faults.append(f"runtime: is {language!r}; only programs in 'python' can be planned")
        program = directory / str(data.get("main") or ".")
        if program.is_dir() and not (program / "__main__.py").is_file():
            faults.append(f"main: {data.get('main') or '.'} has no __main__.py")
        elif not program.exists():
            faults.append(f"main: {data.get('main')} is not there")
        schema = _schema(str(name), data.get("config") or {}, faults)
        _refuse(file.name, faults)
        stacks = directory / str(data.get("stackConfigDir") or ".")
        return cls(directory, str(name), program.resolve(), stacks.resolve(), schema)

    @property
    def working_directory(self) -> Path:
        """Where the program runs, first on its import path."""
        return self.program if self.program.is_dir() else self.program.parent

    def stacks(self) -> list[str]:
        """Names of the stacks that have settings here."""
        files = [f for suffix in _SUFFIXES for f in self.stack_directory.glob(f"Pulumi.*{suffix}")]
        return sorted({f.name.removeprefix("Pulumi.").rpartition(".")[0] for f in files if f.is_file()})

    def configuration(self, stack: str) -> Configuration:
        """A stack's settings, checked against the types in Pulumi.yaml.

        Raises:
            PlanError: the stack is not known, or some settings are wrong; with every fault.
        """
        if stack not in self.stacks():
            listed = ", ".join(self.stacks()) or (
                f"none: put Pulumi.{stack}.yaml into {self.stack_directory}, empty where the defaults of Pulumi.yaml will do"
            )
            raise PlanError(f"there is no stack '{stack}' in project '{self.name}'; there are {listed}")
        file = next(f for f in _files(self.stack_directory, f"Pulumi.{stack}") if f.is_file())
        data = _mapping(file, file.name)
        faults: list[str] = []
        given: dict[str, Any] = {}
        told: Any = data.get("config") or {}
        if isinstance(told, Mapping):
            given = {_full(self.name, str(k)): v for k, v in cast("Mapping[object, Any]", told).items()}
        else:
            faults.append(f"config: is {told!r}; give a mapping")
        values: dict[str, str] = {}
        secret: set[str] = set()
        encrypted: list[str] = []
        for key in sorted({*self.schema, *given}):
            setting = self.schema.get(key, Setting(None, None, False, None))
            value = given.get(key, setting.value)
            if value is None:
                # An environment may hold it; and another provider's key in the schema asks for nothing.
                if key in given:
                    faults.append(f"config.{key}: is empty; give a value or leave it out")
                elif key.startswith(f"{self.name}:") and not data.get("environment"):
                    faults.append(f"config.{key}: is required; give it here, or a default in Pulumi.yaml")
                continue
            plain = _decrypted(value, setting.type)
            if setting.secret and plain == value and key in given:
                faults.append(f"config.{key}: is in the clear; write it with `pulumi config set --secret`")
            if plain != value:
                encrypted.append(key)
            faults += [f"config.{key}{path}: {reason}" for path, reason in _unfit(plain, setting.type, setting.items)]
            values[key] = _text(plain)
            if setting.secret or plain != value:
                secret.add(key)
        _refuse(file.name, faults)
        warnings = _skipped(file.name, data)
        return Configuration(values, frozenset(secret), tuple(encrypted), warnings)


def _files(directory: Path, stem: str) -> list[Path]:
    return [directory / f"{stem}{suffix}" for suffix in _SUFFIXES]


def _mapping(file: Path, name: str) -> Mapping[str, Any]:
    try:
        data: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"{name} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PlanError(f"{name} is not YAML: {' '.join(str(error).split())}") from None
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise PlanError(f"{name} holds {type(data).__name__}; give a mapping")
    return cast("Mapping[str, Any]", data)


def _schema(project: str, config: object, faults: list[str]) -> dict[str, Setting]:
    if not isinstance(config, Mapping):
        faults.append(f"config: is {config!r}; give a mapping")
        return {}
    settings: dict[str, Setting] = {}
    for key, told in cast("Mapping[object, Any]", config).items():
        full = _full(project, str(key))
        if not isinstance(told, Mapping):
            settings[full] = Setting(None, None, False, told)
            continue
        entry = cast("Mapping[str, Any]", told)
        type_, told_items = entry.get("type"), entry.get("items")
        if type_ is not None and type_ not in _WANTED:
            faults.append(f"config.{key}.type: is {type_!r}; give one of {', '.join(_WANTED)}")
            continue
        value = entry.get("default", entry.get("value"))
        items = cast("Mapping[str, Any]", told_items) if isinstance(told_items, Mapping) else None
        setting = Setting(type_, items, bool(entry.get("secret")), value)
        if value is not None:
            faults += [f"config.{key}.default{path}: {reason}" for path, reason in _unfit(value, type_, setting.items)]
        settings[full] = setting
    return settings


def _full(project: str, key: str) -> str:
    return key if ":" in key else f"{project}:{key}"


def _unfit(value: Any, type_: str | None, items: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What of a value is not of the type asked for, by path."""
    if type_ is None:
        return []
    # Pulumi keeps scalars as texts: `pulumi config set replicas 3` writes "3".
    text = isinstance(value, str)
    fits = {
        "string": not isinstance(value, list | Mapping),
        "integer": _is_number(value, int),
        "number": _is_number(value, float),
        "boolean": isinstance(value, bool) or (text and value in ("true", "false")),
        "array": isinstance(value, list),
        "object": isinstance(value, Mapping),
    }[type_]
    if not fits:
        return [("", f"is {value!r}; give {_WANTED[type_]}")]
    if type_ != "array" or items is None:
        return []
    found: list[tuple[str, str]] = []
    for i, item in enumerate(cast("list[Any]", value)):
        found += [(f"[{i}]{path}", reason) for path, reason in _unfit(item, items.get("type"), items.get("items"))]
    return found


def _is_number(value: Any, kind: type[int] | type[float]) -> bool:
    if isinstance(value, bool | list | Mapping):
        return False
    if isinstance(value, float) and kind is int:
        return False
    try:
        kind(value)
    except (TypeError, ValueError):
        return False
    return True


def _decrypted(value: Any, type_: str | None) -> Any:
    """The value with a placeholder for whatever is encrypted in it."""
    if isinstance(value, Mapping):
        entries = cast("Mapping[str, Any]", value)
        if set(entries) == {"secure"} and isinstance(entries["secure"], str):
            return _PLACEHOLDERS.get(type_ or "", HIDDEN)
        return {key: _decrypted(item, None) for key, item in entries.items()}
    if isinstance(value, list):
        return [_decrypted(item, None) for item in cast("list[Any]", value)]
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | Mapping):
        return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return str(value)


def _skipped(name: str, data: Mapping[str, Any]) -> tuple[str, ...]:
    environment = data.get("environment")
    if not environment:
        return ()
    imports: Any = cast("Mapping[str, Any]", environment).get("imports", []) if isinstance(environment, Mapping) else environment
    listed = ", ".join(str(i) for i in cast("list[Any]", imports)) if isinstance(imports, list) else "its values"
    return (f"warning: {name}: the environment ({listed}) is skipped: it is Pulumi Cloud's to open",)


def _refuse(file: str, faults: list[str]) -> None:
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise PlanError(f"{file} cannot be used, {count}:" + "".join(f"\n  {fault}" for fault in faults))
