"""LocalProcess: a supervised process on this machine as a Pulumi resource."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
from pulumi import dynamic

from slipway.args import Faults
from slipway.local.family import ProcessError, running
from slipway.local.record import LOG, Record
from slipway.local.spec import (
    LocalProcessArgs,
    LocalProcessHealthArgs,
    ProcessSpec,
    check_process,
    default_state_dir,
    home_of,
    portable,
    project_directory,
    without_unknowns,
)
from slipway.local.supervisor import start, stop, unhealthy

__all__ = ["LocalProcess", "LocalProcessArgs", "LocalProcessHealthArgs", "LocalProcessProvider", "ProcessDiff", "ProcessError"]

OUTPUTS = ("pid", "url", "log", "started")
_IDENTITY = ("name", "state_dir")
_INPUTS = (*LocalProcessArgs.__annotations__, "name")


class ProcessDiff(dynamic.DiffResult):
    """What `LocalProcessProvider.diff` finds, with its reasons in words."""

    reasons: list[str]
    """Why there is something to do; empty when there is nothing."""
    remarks: list[str]
    """What the user should know though nothing will be done about it."""

    def __init__(self, reasons: list[str], remarks: list[str], replaces: list[str]) -> None:
        # One directory and one port cannot be had twice, so the old one goes first.
        super().__init__(changes=bool(reasons), replaces=replaces, stables=[], delete_before_replace=True)
        self.reasons = reasons
        self.remarks = remarks


class LocalProcessProvider(dynamic.ResourceProvider):
    """Creates, updates and deletes local processes. Pulumi's engine calls it through Pulumi's dynamic provider."""

    # The engine keeps it in state by its module path alone; there is nothing in it to hide.
    serialize_as_secret_always = False

    def __init__(self, owner: str = "pulumi", project: Path | None = None) -> None:
        """
        Args:
            owner: Who runs the stack, 'pulumi' or 'slipway'. What the other one runs is not touched.
            project: The project's directory. Default: found from the working directory, each time.
        """
        super().__init__()
        self.owner = owner
        self.project = project

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Every fault of the inputs together. In a preview, what is not known yet passes."""
        faults = Faults("LocalProcess")
        given: dict[str, Any] = without_unknowns(news)
        check_process(
            str(given.get("name", "")), {k: v for k, v in given.items() if k in LocalProcessArgs.__annotations__}, faults
        )
        try:
            faults.refuse(str(given.get("name", "")))
        except pulumi.InputPropertiesError as error:
            failures = [dynamic.CheckFailure(f["property_path"].removeprefix("args."), f["reason"]) for f in error.errors or []]
            return dynamic.CheckResult(dict(news), failures)
        return dynamic.CheckResult(dict(news), [])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> ProcessDiff:
        """Changed inputs, a process that is dead, or passed-on variables with other values: each asks for an update.

        A process that lives but is not healthy is left alone, and told of: it may be loading, or busy.
        """
        changed = [key for key in _INPUTS if _plain(_olds.get(key)) != _plain(_news.get(key))]
        reasons = [f"{key} changed" for key in changed]
        remarks: list[str] = []
        name = str(_olds.get("name"))
        home = home_of(_olds, self._project())
        found = running(home)
        if found is None or not found.record.ready:
            reasons.append("the process is dead")
        elif found.record.owner != self.owner:
            reasons.append(f"the process is run by {found.record.owner}")
        else:
            if found.record.environment_changed(_plain(_olds.get("pass_environment")) or [], os.environ):
                reasons.append("a variable that is passed on has another value")
            spec = ProcessSpec.of(_olds, self._project())
            if found.record.command_digest != spec.command_digest():
                reasons.append("its program is another one now")
            elif found.record.inputs_digest != spec.inputs_digest():
                reasons.append("it runs with other settings than recorded")
            fault = unhealthy(spec.health) if spec.health else None
            if fault and not reasons:
                remarks.append(f"runs (pid {found.process.pid}) but is not healthy: {fault}; see {home / LOG}")
        if self.owner == "pulumi":
            # The engine shows a provider's standard error; changed inputs it shows by itself.
            for text in [r for r in reasons if not r.endswith(" changed")] + remarks:
                sys.stderr.write(f"{name}: {text}\n")
                sys.stderr.flush()
        return ProcessDiff(reasons, remarks, [key for key in _IDENTITY if key in changed])

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Start it and wait until it is healthy.

        Raises:
            ProcessError: It could not be started; nothing of it is left running.
        """
        return dynamic.CreateResult(f"{props['state_dir']}/{props['name']}", self._outputs(props, self._started(props)))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.UpdateResult:
        """Stop the old process and start the new one. One that runs as asked already goes on.

        Raises:
            ProcessError: The new one could not be started. Nothing runs then, and the next `up` starts it.
        """
        spec = self._spec(_news)
        if home_of(_olds, self._project()) != spec.home:
            self.delete(_id, _olds)
        found = running(spec.home)
        if found is not None and found.record.ready and found.record.owner == self.owner:
            same = found.record.inputs_digest == spec.inputs_digest()
            if same and not found.record.environment_changed(spec.pass_environment, os.environ):
                return dynamic.UpdateResult(self._outputs(_news, found.record))
        return dynamic.UpdateResult(self._outputs(_news, self._started(_news)))

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """What runs now. A dead process is told as gone, by an empty id."""
        found = running(home_of(props, self._project()))
        if found is None or found.record.owner != self.owner or not found.record.ready:
            return dynamic.ReadResult("", {})
        return dynamic.ReadResult(id_, self._outputs(props, found.record))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Stop it with all its descendants. It may be dead already.

        Raises:
            ProcessError: Something of it cannot be ended.
        """
        try:
            stop(
                home_of(_props, self._project()), str(_props["name"]), self.owner, float(_props.get("stop_grace_seconds") or 10.0)
            )
        except ProcessError as error:
            raise error.with_traceback(None) from None

    def _project(self) -> Path:
        return self.project or project_directory()

    def _spec(self, props: Mapping[str, Any]) -> ProcessSpec:
        return ProcessSpec.of(props, self._project())

    def _started(self, props: Mapping[str, Any]) -> Record:
        try:
            return start(self._spec(props), self.owner)
        except ProcessError as error:
            # Pulumi's dynamic provider shows a traceback with every error: as little of it as can be.
            raise error.with_traceback(None) from None

    def _outputs(self, props: Mapping[str, Any], record: Record) -> dict[str, Any]:
        health = props.get("health")
        inputs = {k: v for k, v in props.items() if k not in OUTPUTS and not k.startswith("__")}
        return {
            **inputs,
            "pid": record.pid,
            "url": _origin(health["url"]) if health else None,
            "log": f"{props['state_dir']}/{props['name']}/{LOG}",
            "started": record.started,
        }


class LocalProcess(dynamic.Resource, module="slipway", name="LocalProcess"):
    """A process on this machine that outlives the command that starts it.

    It is healthy when `up` ends, restarts when an argument or a passed-on variable changes, is started again by the next
    `up` when it died, and ends with all its descendants when it is deleted. One process runs per name and `state_dir`.
    """

    pid: pulumi.Output[int]
    """Process id."""
    url: pulumi.Output[str | None]
    """Scheme, host and port of its health check. None without one."""
    log: pulumi.Output[str]
    """File with its standard output and error; that of the start before is beside it, ending in `.1`.
    Relative to the project where it lies in it."""
    started: pulumi.Output[str]
    """When it was started, in UTC, ISO 8601."""

    def __init__(self, name: str, args: LocalProcessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments.
        """
        faults = Faults("LocalProcess")
        checked = check_process(name, args, faults)
        faults.refuse(name)
        state_dir = pulumi.Output.from_input(checked.get("state_dir", default_state_dir()))
        props = {
            **checked,
            "name": name,
            "stack": pulumi.get_stack(),
            "state_dir": state_dir.apply(portable),
            **dict.fromkeys(OUTPUTS),
        }
        super().__init__(LocalProcessProvider(), name, props, opts)


def _origin(url: str) -> str:
    return "/".join(url.split("/")[:3])


def _plain(value: Any) -> Any:
    """A value as it compares: an absent one is None, and so is an empty collection."""
    return None if value in ({}, []) else value
