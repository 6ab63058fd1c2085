"""Pulumi's own engine, driven through its automation API, with nothing to set up first."""

import json
import os
import secrets
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import yaml
from pulumi.automation import (
    CommandError,
    ConcurrentUpdateError,
    LocalWorkspaceOptions,
    OpType,
    PulumiCommand,
    Stack,
    StackNotFoundError,
    create_stack,
    select_stack,
)

from slipway.engine.events import Narrator
from slipway.engine.outcome import EngineError, Outcome
from slipway.files import write_private

SALT_KEYS = ("encryptionsalt", "secretsprovider", "encryptedkey")
"""What the engine writes into a stack's YAML to find its secrets again."""


class PulumiEngine:
    """One stack of one project under Pulumi's engine.

    State goes where the user is logged in; who is logged in nowhere gets a file backend and a passphrase (a file of mode 0600,
    made once) under the project's `.slipway/`. The salt that goes with the passphrase is kept there too, so that bringing a
    stack up leaves the committed YAML as it is.
    """

    def __init__(self, command: PulumiCommand, directory: Path, stack: str) -> None:
        self._command = command
        self._directory = directory
        self._name = stack
        self._home = directory / ".slipway" / "engine"

    def preview(self, report: Callable[[str], None]) -> Outcome:
        """What `up` would do."""

        def run(narrator: Narrator) -> Outcome:
            result = self._stack().preview(on_event=narrator, config_file=self._config(), color="never")
            return _outcome(result.change_summary, {})

        return self._told(run, report)

    def up(self, report: Callable[[str], None], *, refresh: bool = False) -> Outcome:
        """Bring the stack to what the program says; with `refresh` after a look at what is really there."""

        def run(narrator: Narrator) -> Outcome:
            result = self._stack().up(
                on_event=narrator, config_file=self._config(), show_secrets=False, color="never", refresh=refresh or None
            )
            outputs = {key: value.value for key, value in result.outputs.items() if not value.secret}
            return _outcome(result.summary.resource_changes or {}, outputs)

        return self._told(run, report)

    def down(self, report: Callable[[str], None]) -> Outcome:
        """Delete everything in the stack; the stack itself and its history stay."""

        def run(narrator: Narrator) -> Outcome:
            try:
                stack = select_stack(self._name, work_dir=str(self._directory), opts=self._options())
            except StackNotFoundError:
                return Outcome({}, {})
            result = stack.destroy(on_event=narrator, config_file=self._config(), show_secrets=False, color="never")
            return _outcome(result.summary.resource_changes or {}, {})

        return self._told(run, report)

    def owns(self) -> bool:
        """Whether the engine's state has resources of this stack."""
        try:
            stack = select_stack(self._name, work_dir=str(self._directory), opts=self._options())
        except CommandError:
            return False
        deployment = cast("dict[str, list[dict[str, Any]]]", stack.export_stack().deployment or {})
        return any(resource["type"] != "pulumi:pulumi:Stack" for resource in deployment.get("resources") or [])

    def _stack(self) -> Stack:
        file = self._stack_file()
        before = file.read_bytes()
        try:
            try:
                return select_stack(self._name, work_dir=str(self._directory), opts=self._options())
            except StackNotFoundError:
                return create_stack(self._name, work_dir=str(self._directory), opts=self._options())
        finally:
            after = file.read_bytes()
            if after != before:
                salt = {k: v for k, v in _yaml(after).items() if k in SALT_KEYS}
                write_private(self._home / f"{self._name}.salt.yaml", yaml.safe_dump(salt))
                file.write_bytes(before)

    def _config(self) -> str:
        """The stack's YAML joined with its salt, unless the user's own YAML has one."""
        file = self._stack_file()
        config = _yaml(file.read_bytes())
        salt = self._home / f"{self._name}.salt.yaml"
        if salt.exists() and not any(k in config for k in SALT_KEYS):
            config |= _yaml(salt.read_bytes())
        # Named as the engine names it: it takes the stack's name from there.
        return str(write_private(self._home / file.name, yaml.safe_dump(config, sort_keys=False)))

    def _stack_file(self) -> Path:
        project = _yaml((self._directory / "Pulumi.yaml").read_bytes())
        return self._directory / str(project.get("stackConfigDir") or ".") / f"Pulumi.{self._name}.yaml"

    def _options(self) -> LocalWorkspaceOptions:
        return LocalWorkspaceOptions(pulumi_command=self._command, env_vars=self._environment())

    def _environment(self) -> dict[str, str]:
        env = {"PULUMI_SKIP_UPDATE_CHECK": "true"}
        if not logged_in(os.environ):
            state = self._home / "state"
            state.mkdir(parents=True, exist_ok=True)
            env["PULUMI_BACKEND_URL"] = state.as_uri()
        if "PULUMI_CONFIG_PASSPHRASE" not in os.environ and "PULUMI_CONFIG_PASSPHRASE_FILE" not in os.environ:
            passphrase = self._home / "passphrase"
            if not passphrase.exists():
                write_private(passphrase, secrets.token_urlsafe(32))
            env["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(passphrase)
        return env

    def _told(self, run: Callable[[Narrator], Outcome], report: Callable[[str], None]) -> Outcome:
        narrator = Narrator(report)
        try:
            with _patient(report):
                return run(narrator)
        except ConcurrentUpdateError:
            raise EngineError(f"another update of stack '{self._name}' is under way; wait for it, or `pulumi cancel`") from None
        except CommandError as error:
            raise EngineError("\n".join(narrator.errors) or _said(str(error))) from None


@contextmanager
def _patient(report: Callable[[str], None]) -> Generator[None]:
    """On Ctrl-C wait for the engine, which gets it too and cancels what goes on; at the second one end at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def wait(_signal: int, _frame: object) -> None:
        report("stopping: the engine cancels what goes on; Ctrl-C again ends at once")
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _outcome(changes: Mapping[OpType, int] | Mapping[str, int], outputs: Mapping[str, Any]) -> Outcome:
    return Outcome({str(getattr(kind, "value", kind)): count for kind, count in changes.items()}, dict(outputs))


def logged_in(environment: Mapping[str, str]) -> bool:
    """Whether the user chose a backend: by the environment, or by `pulumi login`."""
    if environment.get("PULUMI_BACKEND_URL") or environment.get("PULUMI_ACCESS_TOKEN"):
        return True
    credentials = Path(environment.get("PULUMI_HOME") or Path.home() / ".pulumi") / "credentials.json"
    try:
        return bool(json.loads(credentials.read_text()).get("current"))
    except (OSError, ValueError):
        return False


def _yaml(data: bytes) -> dict[str, Any]:
    return cast("dict[str, Any]", yaml.safe_load(data) or {})


def _said(error: str) -> str:
    """What the engine said, without the automation API's frame around it."""
    text = error.split("stderr:", 1)[-1].strip() if "stderr:" in error else error.strip()
    return text or error.strip()
