"""What a local process is asked to be: its arguments, their check, and the plain values that a supervisor starts from."""

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import pulumi
from pulumi.runtime.rpc import UNKNOWN

from slipway.args import Faults, check_shape, known

PYTHON = "{python}"
"""In a command: the Python that runs the stack. Replaced at the start, so that a plan is the same on every machine."""
DIRECTORY = "{dir}"
"""In a command: the directory in which the process's `files` are."""
FILES = "files"
MARK = "SLIPWAY_PROCESS"
"""Environment variable by which a process and all its descendants are known again."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEALTH_URL = re.compile(r"http://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[^\s]*)?")


class LocalProcessHealthArgs(TypedDict):
    url: pulumi.Input[str]
    """Address that is asked with GET until it answers as expected, such as `http://127.0.0.1:8000/health`."""
    status: NotRequired[pulumi.Input[int]]
    """HTTP status of a healthy answer. Default 200."""
    timeout_seconds: NotRequired[pulumi.Input[float]]
    """How long the start may take, in seconds; then the process is stopped and the start has failed. Default 30."""
    interval_seconds: NotRequired[pulumi.Input[float]]
    """Pause between two questions, in seconds. Default 0.1."""


class LocalProcessArgs(TypedDict):
    command: pulumi.Input[Sequence[pulumi.Input[str]]]
    """Program and arguments, without a shell. `{python}` is the Python that runs the stack, `{dir}` where `files` are.

    It is kept in state and every user of the machine can read it: no secrets."""
    directory: NotRequired[pulumi.Input[str]]
    """Working directory, relative to the project's. Default: the project's, where Pulumi.yaml is."""
    environment: NotRequired[pulumi.Input[Mapping[str, pulumi.Input[str]]]]
    """Variables to set. Kept in state in the clear: no secrets. Beside these, `pass_environment` and a few such as PATH
    and HOME, the process sees no variable."""
    pass_environment: NotRequired[pulumi.Input[Sequence[pulumi.Input[str]]]]
    """Names of variables that are handed on from whoever runs `up`, such as OPENAI_API_KEY. A value is never kept; when
    it changes, the next `up` restarts the process."""
    files: NotRequired[pulumi.Input[Mapping[str, pulumi.Input[str]]]]
    """Files to write before the start, name to text, readable by their owner alone. Kept in state in the clear."""
    health: NotRequired[LocalProcessHealthArgs]
    """How to tell that it is up. Default: it is up when it still runs after half a second."""
    host: NotRequired[pulumi.Input[str]]
    """Address on which `port` must be free. Default 127.0.0.1."""
    port: NotRequired[pulumi.Input[int]]
    """TCP port that the process will listen on, checked to be free before the start. Default: none is checked."""
    stop_grace_seconds: NotRequired[pulumi.Input[float]]
    """How long it may take to end on SIGTERM, in seconds, before SIGKILL. Default 10."""
    state_dir: NotRequired[pulumi.Input[str]]
    """Directory for what belongs to the stack's processes: records, logs, files. Relative to the project's.
    Default `.slipway/local/STACK`. A change replaces the process."""


def default_state_dir() -> str:
    """Where the running program's stack keeps its local processes."""
    return f".slipway/local/{pulumi.get_stack()}"


def project_directory() -> Path:
    """The nearest directory upwards with a Pulumi.yaml; without one, the working directory.

    The engine runs a program, and the provider beside it, in the program's directory, which may lie below the project's.
    """
    here = Path.cwd()
    return next((d for d in (here, *here.parents) if (d / "Pulumi.yaml").is_file()), here)


def portable(path: str) -> str:
    """A path as state keeps it: relative where it lies in the project, the same on every machine then."""
    absolute = Path(path).expanduser()
    if not absolute.is_absolute():
        return absolute.as_posix()
    project = project_directory()
    return (absolute.relative_to(project) if absolute.is_relative_to(project) else absolute).as_posix()


def check_process(name: str, args: object, faults: Faults) -> dict[str, Any]:
    """Check the arguments of `LocalProcess`. What is not known yet is left to the next check.

    Returns:
        The arguments that passed.
    """
    checked = check_shape(args, LocalProcessArgs, faults)
    if not _NAME.fullmatch(name):
        faults.add("name", f"is {name!r}; it names a directory: give letters, digits, '.', '_' and '-', at most 100")

    def commanded(command: Sequence[object]) -> None:
        if not command:
            faults.add("command", "is empty; give the program and its arguments")
        for i, part in enumerate(command):
            if isinstance(part, str) and "\0" in part:
                faults.add(f"command[{i}]", "has a NUL byte, which no command can carry")

    def environed(environment: Mapping[str, object]) -> None:
        for key, value in environment.items():
            _check_env_name(f"environment.{key}", key, faults)
            if isinstance(value, str) and "\0" in value:
                faults.add(f"environment.{key}", "has a NUL byte, which no variable can carry")

    def passed(names: Sequence[object]) -> None:
        environment = checked.get("environment")
        for i, key in enumerate(names):
            if isinstance(key, str):
                _check_env_name(f"pass_environment[{i}]", key, faults)
                if isinstance(environment, Mapping) and key in environment:
                    faults.add(f"pass_environment[{i}]", f"is {key}, which 'environment' sets already; keep one of the two")

    def filed(files: Mapping[str, object]) -> None:
        for key in files:
            if not _NAME.fullmatch(key):
                faults.add(f"files.{key}", "is no plain file name; give letters, digits, '.', '_' and '-', without a directory")

    def grace(seconds: float) -> None:
        if seconds < 0:
            faults.add("stop_grace_seconds", f"is {seconds:g}; give 0 or more seconds")

    def ported(port: int) -> None:
        if not 1 <= port <= 65535:
            faults.add("port", f"is {port}; give 1 to 65535")

    def healthy(health: Mapping[str, Any]) -> None:
        _check_health(health, faults)

    checks: dict[str, Callable[[Any], None]] = {
        "command": commanded,
        "environment": environed,
        "pass_environment": passed,
        "files": filed,
        "stop_grace_seconds": grace,
        "port": ported,
        "health": healthy,
    }
    for key, check in checks.items():
        if not faults.at(key):
            known(checked.get(key), check)
    return checked


def _check_env_name(path: str, name: str, faults: Faults) -> None:
    if not _ENV_NAME.fullmatch(name):
        faults.add(path, f"is {name!r}, which names no variable; give letters, digits and '_', not beginning with a digit")
    elif name == MARK:
        faults.add(path, "is set by slipway itself; take another name")


def _check_health(health: Mapping[str, Any], faults: Faults) -> None:
    def above_zero(key: str) -> None:
        def check(seconds: float) -> None:
            if seconds <= 0:
                faults.add(f"health.{key}", f"is {seconds:g}; give more than 0 seconds")

        known(health.get(key), check)

    def address(url: str) -> None:
        if not _HEALTH_URL.fullmatch(url):
            faults.add("health.url", f"is {url!r}; give http://HOST:PORT/PATH")

    def status(code: int) -> None:
        if not 100 <= code <= 599:
            faults.add("health.status", f"is {code}; give an HTTP status, 100 to 599")

    known(health.get("url"), address)
    known(health.get("status"), status)
    above_zero("timeout_seconds")
    above_zero("interval_seconds")


class _Later:
    """Stands for a value that a preview cannot know; `check_shape` takes what can be awaited for any type."""

    def __await__(self) -> Any:
        raise NotImplementedError


def without_unknowns(value: Any) -> Any:
    """Inputs as the engine hands them to a provider in a preview, with what is unknown marked as not there yet."""
    if isinstance(value, str):
        return _Later() if value == UNKNOWN else value
    if isinstance(value, Mapping):
        return {k: without_unknowns(v) for k, v in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, Sequence):
        return [without_unknowns(v) for v in cast("Sequence[Any]", value)]
    return value


@dataclass(frozen=True)
class Health:
    """A health check with every default filled in."""

    url: str
    status: int = 200
    timeout_seconds: float = 30.0
    interval_seconds: float = 0.1


@dataclass(frozen=True)
class ProcessSpec:
    """One process, all its values plain and its paths absolute."""

    name: str
    stack: str
    home: Path
    """The process's own directory: record, lock, log, and `files` below it."""
    directory: Path
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    pass_environment: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    health: Health | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    stop_grace_seconds: float = 10.0

    @classmethod
    def of(cls, props: Mapping[str, Any], project: Path) -> "ProcessSpec":
        """From inputs that were checked, as the provider gets them: `LocalProcessArgs` with `name` and `stack`."""
        faults = Faults("LocalProcess")
        checked = check_process(props["name"], {k: v for k, v in props.items() if k in LocalProcessArgs.__annotations__}, faults)
        faults.refuse(props["name"])
        home = home_of(props, project)
        parts: list[str] = [
            part.replace(PYTHON, sys.executable).replace(DIRECTORY, str(home / FILES)) for part in checked["command"]
        ]
        directory = project / Path(checked.get("directory", ".")).expanduser()
        program = shutil.which(parts[0], path=None) if "/" not in parts[0] else str(directory / parts[0])
        health = checked.get("health")
        return cls(
            name=props["name"],
            stack=str(props.get("stack") or home.parent.name),
            home=home,
            directory=directory,
            command=(program or parts[0], *parts[1:]),
            environment=checked.get("environment", {}),
            pass_environment=tuple(checked.get("pass_environment", ())),
            files=checked.get("files", {}),
            health=None if health is None else Health(**health),
            host=checked.get("host", cls.host),
            port=checked.get("port"),
            stop_grace_seconds=checked.get("stop_grace_seconds", cls.stop_grace_seconds),
        )

    @property
    def files_directory(self) -> Path:
        """What `{dir}` stands for in the command."""
        return self.home / FILES

    def command_digest(self) -> str:
        """Tells one resolved command from another: the Python of another virtual environment is another command."""
        return _digest(self.command)

    def inputs_digest(self) -> str:
        """Tells whether a running process is what is asked for now. The environment that is passed on is not in it."""
        return _digest(
            [
                str(self.directory),
                self.command,
                dict(self.environment),
                self.pass_environment,
                dict(self.files),
                None if self.health is None else self.health.url,
                [self.host, self.port],
            ]
        )


def home_of(props: Mapping[str, Any], project: Path) -> Path:
    """The directory of one process, from its inputs or its state."""
    return (project / Path(props["state_dir"]).expanduser() / props["name"]).resolve()


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
