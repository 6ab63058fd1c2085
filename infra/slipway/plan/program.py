"""The plan of a project directory: its program, run in this process as Pulumi's language host runs it."""

import contextlib
import importlib
import os
import runpy
import sys
import traceback
from collections.abc import Generator
from pathlib import Path
from types import ModuleType

import pulumi

from slipway.plan.monitor import Monitor
from slipway.plan.plan import Plan, PlanError
from slipway.plan.project import Project
from slipway.plan.run import run_program
from slipway_router.config import ConfigError

# Errors whose text is meant for whoever wrote the settings.
_TOLD = (
    pulumi.RunError,
    pulumi.InputPropertyError,
    pulumi.InputPropertiesError,
    pulumi.ConfigMissingError,
    pulumi.ConfigTypeError,
    ConfigError,
)
# Never loaded twice: this code itself, and the SDK, whose settings must be the ones that were configured.
_SHARED = ("slipway", "slipway_router", "pulumi")


def plan_project(directory: Path, stack: str) -> Plan:
    """Plan one stack of a project: no engine, account, passphrase or cluster is needed, and nothing is written.

    Args:
        directory: Where Pulumi.yaml is.
        stack: Name of a stack that has settings there.

    Raises:
        PlanError: no such project or stack, settings that do not fit, or a program that fails in a way not meant for
            its user: then the message says where.
        pulumi.RunError, pulumi.InputPropertiesError, ...: what the program refuses, unchanged.
    """
    project = Project.read(directory)
    monitor = Monitor(project.name, stack)
    warnings = _run(project, stack, monitor, dry_run=True)
    return Plan(
        project=project.name,
        stack=stack,
        resources=tuple(monitor.registered()),
        outputs=monitor.stack_outputs(),
        warnings=(*warnings, *monitor.messages()),
        root=project.directory,
    )


def run_project(directory: Path, stack: str, monitor: Monitor, *, dry_run: bool) -> None:
    """Run a project's program on a monitor of the caller's, who decides what a registration does.

    Args:
        directory: Where Pulumi.yaml is.
        stack: Name of a stack that has settings there.
        monitor: Who answers.
        dry_run: Whether what the monitor does not return is unknown. Without it encrypted settings are refused, as
            nothing real can be made from placeholders.

    Raises:
        PlanError: as `plan_project`.
    """
    _run(Project.read(directory), stack, monitor, dry_run=dry_run)


def _run(project: Project, stack: str, monitor: Monitor, *, dry_run: bool) -> tuple[str, ...]:
    configuration = project.configuration(stack)
    if configuration.encrypted and not dry_run:
        raise PlanError(f"only Pulumi's engine can decrypt {', '.join(configuration.encrypted)}")

    def program() -> None:
        runpy.run_path(str(project.program), run_name="__main__")

    try:
        run_program(
            program,
            monitor,
            config=configuration.values,
            secret_keys=configuration.secret_keys,
            dry_run=dry_run,
            directory=project.directory,
            within=_hosted(project),
        )
    except _TOLD:
        raise
    except SystemExit as error:
        said = error.code if isinstance(error.code, str) else f"the program ended itself, with exit code {error.code or 0}"
        raise PlanError(said) from None
    except Exception as error:
        told = _where(error, project)
        if told is None:
            raise
        raise PlanError(told) from error
    return configuration.warnings


@contextlib.contextmanager
def _hosted(project: Project) -> Generator[None]:
    """What Pulumi's language host sets up for a program, and everything as before at the end."""
    home = project.working_directory
    own = {p.stem for p in home.glob("*.py")} | {p.parent.name for p in home.glob("*/__init__.py")}
    own -= {*_SHARED, "__main__"}
    saved = Path.cwd(), list(sys.path), list(sys.argv), sys.dont_write_bytecode
    # The SDK reads configuration from here where a key is not set.
    environment = {k: os.environ.pop(k) for k in list(os.environ) if k.startswith("PULUMI_CONFIG")}
    # A module of this process may have the name of one of the program's.
    ours = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in own}
    before = set(sys.modules)
    try:
        os.chdir(home)
        sys.path.insert(0, str(home))
        sys.argv = [str(project.program)]
        sys.dont_write_bytecode = True
        importlib.invalidate_caches()
        yield
    finally:
        for name, module in list(sys.modules.items()):
            top = name.partition(".")[0]
            if name not in before and top not in _SHARED and (top in own or _is_below(module, home)):
                del sys.modules[name]
        sys.modules.update(ours)
        os.environ.update(environment)
        os.chdir(saved[0])
        sys.path[:], sys.argv[:], sys.dont_write_bytecode = saved[1], saved[2], saved[3]


def _is_below(module: ModuleType, home: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).is_relative_to(home) and "site-packages" not in Path(file).parts


def _where(error: Exception, project: Project) -> str | None:
    """The error with the lines of the program that led to it; None where it did not come from the program."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(project.working_directory)]
    if not frames and not isinstance(error, SyntaxError):
        return None
    lines = [f"\n  {_relative(f.filename, project)}:{f.lineno}, in {f.name}: {f.line}" for f in frames]
    what = "".join(traceback.format_exception_only(error)).strip()
    return f"the program failed: {what.replace(str(project.directory) + os.sep, '')}{''.join(lines)}"


def _relative(file: str, project: Project) -> str:
    path = Path(file)
    return str(path.relative_to(project.directory)) if path.is_relative_to(project.directory) else file
