"""The embedded runner: brings up a stack of local processes where Pulumi's engine is not installed.

It runs the very program, on the plan's monitor, and applies what is local through the resource's own provider. It runs
nothing else: a cluster or a cloud needs Pulumi's engine.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from google.protobuf import json_format, struct_pb2
from pulumi.dynamic import CheckResult, CreateResult, DiffResult, ReadResult, UpdateResult
from pulumi.runtime.proto import engine_pb2, resource_pb2

from slipway.engine.checkpoint import Checkpoint, Made, locked
from slipway.engine.outcome import EngineError, Outcome
from slipway.local.process import LocalProcessProvider
from slipway.plan import Plan, Secret
from slipway.plan.monitor import Monitor
from slipway.plan.program import plan_project, run_project
from slipway.plan.values import of_struct

OWNER = "slipway"


class Provider(Protocol):
    """What the runner asks of a resource's provider: that of `pulumi.dynamic`."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult: ...
    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult: ...
    def create(self, props: dict[str, Any]) -> CreateResult: ...
    def read(self, id_: str, props: dict[str, Any]) -> ReadResult: ...
    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult: ...
    def delete(self, _id: str, _props: dict[str, Any]) -> None: ...


def providers(directory: Path) -> Mapping[str, Provider]:
    """The providers of what is local, by type token."""
    return {"pulumi-python:dynamic/slipway:LocalProcess": LocalProcessProvider(owner=OWNER, project=directory)}


def not_local(plan: Plan) -> list[str]:
    """Names of the resources that only Pulumi's engine can make."""
    return [f"{r.name} ({r.type})" for r in plan.resources if r.custom and r.type not in providers(Path())]


class EmbeddedRunner:
    """One stack of one project, without Pulumi's engine."""

    def __init__(self, directory: Path, stack: str) -> None:
        self._directory = directory
        self._stack = stack
        home = directory / ".slipway" / "embedded"
        self._file = home / f"{stack}.json"
        self._lock = home / f"{stack}.lock"

    def owns(self) -> bool:
        """Whether something that this runner made is still recorded."""
        return bool(Checkpoint.load(self._file).resources)

    def preview(self, report: Callable[[str], None]) -> Outcome:
        """What `up` would do. Addresses that only `up` tells are taken as they were last time."""
        return self._run(report, dry=True)

    def up(self, report: Callable[[str], None], *, refresh: bool = False) -> Outcome:
        """Bring the stack to what the program says. It looks at what is really there each time, with `refresh` or without."""
        del refresh
        with locked(self._lock, self._stack):
            return self._run(report, dry=False)

    def down(self, report: Callable[[str], None]) -> Outcome:
        """Stop and forget everything, the newest first."""
        with locked(self._lock, self._stack):
            checkpoint = Checkpoint.load(self._file)
            changes = self._delete(checkpoint, list(checkpoint.resources), report)
            return Outcome(changes, {})

    def _run(self, report: Callable[[str], None], *, dry: bool) -> Outcome:
        # The whole program is judged before the first process is touched.
        plan = plan_project(self._directory, self._stack)
        foreign = not_local(plan)
        if foreign:
            raise EngineError("only Pulumi's engine can make " + ", ".join(foreign))
        checkpoint = Checkpoint.load(self._file)
        monitor = ApplyingMonitor(plan.project, self._stack, checkpoint, providers(self._directory), report, dry=dry)
        try:
            run_project(self._directory, self._stack, monitor, dry_run=False)
        finally:
            failed = monitor.failures()
            if failed:
                raise EngineError("\n".join(failed)) from None
        gone = [urn for urn in checkpoint.resources if urn not in monitor.seen]
        if dry:
            for urn in gone:
                report(f"  - {_name(urn)}: stop")
            deleted: Mapping[str, int] = {"delete": len(gone)} if gone else {}
        else:
            deleted = self._delete(checkpoint, gone, report)
        outputs = {k: v for k, v in monitor.stack_outputs().items() if not isinstance(v, Secret)}
        return Outcome({**monitor.changes, **deleted}, outputs)

    def _delete(self, checkpoint: Checkpoint, urns: list[str], report: Callable[[str], None]) -> dict[str, int]:
        local = providers(self._directory)
        for urn in reversed(urns):
            made = checkpoint.resources[urn]
            report(f"  - {_name(urn)}: stop")
            try:
                local[made.type].delete(made.id, made.outputs)
            except Exception as error:  # noqa: BLE001 -- whatever a provider raises is the user's answer, and the rest stays recorded
                raise EngineError(f"{_name(urn)} could not be stopped: {error}") from None
            checkpoint.drop(urn)
        return {"delete": len(urns)} if urns else {}


class ApplyingMonitor(Monitor):
    """A plan's monitor that makes what is local, instead of only writing it down."""

    def __init__(
        self,
        project: str,
        stack: str,
        checkpoint: Checkpoint,
        local: Mapping[str, Provider],
        report: Callable[[str], None],
        *,
        dry: bool,
    ) -> None:
        super().__init__(project, stack)
        self._checkpoint = checkpoint
        self._report = report
        self._dry = dry
        self._providers = local
        self._guard = threading.Lock()
        self._failures: dict[str, str] = {}
        self.changes: Counter[str] = Counter()
        self.seen: set[str] = set()
        self._said: set[str] = set()

    def failures(self) -> list[str]:
        """What went wrong, one text for each resource."""
        return [f"{_name(urn)}: {text}" for urn, text in sorted(self._failures.items())]

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceResponse:  # noqa: N802
        """Make, change or leave alone what is local; the rest is written down as in a plan."""
        response = super().RegisterResource(request)
        provider = self._providers.get(request.type)
        if provider is None:
            return response
        inputs = of_struct(request.object)
        inputs.pop("__provider", None)
        with self._guard:
            self.seen.add(response.urn)
        try:
            if secret := _secrets(inputs):
                raise EngineError(f"{', '.join(secret)} is secret; pass it by the name of an environment variable instead")
            made = self._apply(provider, response.urn, request.type, inputs)
        except Exception as error:
            with self._guard:
                self._failures[response.urn] = str(error)
            raise
        outputs = struct_pb2.Struct()
        json_format.ParseDict(made.outputs, outputs)
        return resource_pb2.RegisterResourceResponse(urn=response.urn, id=made.id, object=outputs)

    def Log(self, request: engine_pb2.LogRequest) -> None:  # noqa: N802
        """What the program says for the user's information is shown once, as the engine would."""
        super().Log(request)
        if request.severity == engine_pb2.INFO and request.message not in self._said:
            self._said.add(request.message)
            self._report(f"    {request.message.strip()}")

    def _apply(self, provider: Provider, urn: str, type_: str, inputs: dict[str, Any]) -> Made:
        old = self._checkpoint.resources.get(urn)
        checked = provider.check(old.inputs if old else {}, inputs)
        if checked.failures:
            raise EngineError("; ".join(f"{fault.property}: {fault.reason}" for fault in checked.failures))
        inputs = checked.inputs
        if old is None:
            self._tell("+", urn, "start")
            self._count("create")
            return self._create(provider, urn, type_, inputs)
        difference = provider.diff(old.id, old.outputs, inputs)
        if not difference.changes:
            self._count("same")
            return old
        why = "; ".join(getattr(difference, "reasons", ())) or "changed"
        if difference.replaces:
            self._tell("-+", urn, f"replaced: {why}")
            if not self._dry:
                provider.delete(old.id, old.outputs)
                with self._guard:
                    self._checkpoint.drop(urn)
            self._count("replace")
            return self._create(provider, urn, type_, inputs)
        self._tell("~", urn, why)
        self._count("update")
        if self._dry:
            return Made(urn, type_, old.id, inputs, {**old.outputs, **inputs})
        # Where this fails nothing runs, and the record of the old one lets the next `up` start it.
        updated = provider.update(old.id, old.outputs, inputs)
        return self._put(Made(urn, type_, old.id, inputs, updated.outs or {}))

    def _create(self, provider: Provider, urn: str, type_: str, inputs: dict[str, Any]) -> Made:
        if self._dry:
            return Made(urn, type_, "", inputs, dict(inputs))
        created = provider.create(inputs)
        return self._put(Made(urn, type_, created.id, inputs, created.outs or {}))

    def _put(self, made: Made) -> Made:
        with self._guard:
            self._checkpoint.put(made)
        return made

    def _count(self, change: str) -> None:
        with self._guard:
            self.changes[change] += 1

    def _tell(self, sign: str, urn: str, what: str) -> None:
        self._report(f"  {sign} {_name(urn)}: {what}")


def _secrets(value: object, path: str = "") -> list[str]:
    """Paths of the secrets in some inputs: the checkpoint is no place for them."""
    match value:
        case Secret():
            return [path]
        case dict():
            entries = cast("dict[str, object]", value).items()
            return [found for key, item in entries for found in _secrets(item, f"{path}.{key}" if path else key)]
        case list():
            return [found for i, item in enumerate(cast("list[object]", value)) for found in _secrets(item, f"{path}[{i}]")]
        case _:
            return []


def _name(urn: str) -> str:
    return urn.rsplit("::", 1)[-1]
