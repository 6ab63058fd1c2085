"""Running a program under plan."""

import asyncio
import contextvars
import gc
import inspect
import threading
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

from pulumi.runtime import config as sdk_config
from pulumi.runtime import run_in_stack
from pulumi.runtime import settings as sdk_settings

from slipway.plan.monitor import Monitor
from slipway.plan.plan import Plan, PlanError
from slipway.plan.sdk_work import put_off, without_positions

Program = Callable[[], object]
"""What Pulumi calls an inline program: a function that makes resources. What it returns is awaited
where it can be, and dropped."""

# A program may change the working directory and the modules that are loaded; these belong to the process.
_ONE_AT_A_TIME = threading.Lock()
_planning: contextvars.ContextVar[bool] = contextvars.ContextVar("slipway_planning", default=False)


def plan_program(
    program: Program,
    *,
    project: str = "slipway",
    stack: str = "test",
    config: Mapping[str, str] | None = None,
    secret_keys: Collection[str] = (),
) -> Plan:
    """Run a program as Pulumi would in a preview of an empty stack, and tell what it registers.

    The program runs in a thread and an event loop of its own, so this can be called from anywhere, a running loop
    included, where it blocks. Plans are made one at a time. Pulumi's settings in the caller's context stay as they are.
    Outputs that were made outside the program belong to another loop and cannot be used in it.

    Args:
        program: What to run; it may be a coroutine function.
        project: Name of the project.
        stack: Name of the stack.
        config: Configuration by full key (`slipway:replicas`), as texts; structures as JSON.
        secret_keys: Which of these keys are secret.

    Returns:
        The plan, the same for every run of the same program.

    Raises:
        PlanError: two resources have one URN, or the program is itself making a plan within a plan.
        Exception: whatever the program raised, unchanged.
    """
    monitor = Monitor(project, stack)
    run_program(program, monitor, config=config or {}, secret_keys=secret_keys, dry_run=True)
    return Plan(
        project=project,
        stack=stack,
        resources=tuple(monitor.registered()),
        outputs=monitor.stack_outputs(),
        warnings=monitor.messages(),
    )


def run_program(
    program: Program,
    monitor: Monitor,
    *,
    config: Mapping[str, str],
    secret_keys: Collection[str],
    dry_run: bool,
    directory: Path | None = None,
    within: AbstractContextManager[None] | None = None,
) -> None:
    """Run a program on a monitor, which decides what a registration does. The rest is as `plan_program` says.

    Args:
        program: What to run.
        monitor: Who answers its registrations.
        config: Configuration by full key, as texts.
        secret_keys: Which of these keys are secret.
        dry_run: Whether what the monitor does not return is unknown, as in a preview, or absent.
        directory: Where Pulumi.yaml is, if anywhere.
        within: Entered before the program runs, left when all that it started has ended.
    """
    if _planning.get():
        raise PlanError("a program under plan cannot make a plan of its own")
    context = contextvars.copy_context()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            context.run(_run_alone, program, monitor, dict(config), list(secret_keys), dry_run, directory)
        except BaseException as error:  # noqa: BLE001 -- raised again in the caller's thread
            raised.append(error)

    collector, spared = (_without_collector(), put_off()) if dry_run else (nullcontext(), nullcontext())
    with _ONE_AT_A_TIME, within or nullcontext(), collector, spared, without_positions():
        thread = threading.Thread(target=work, name="slipway-plan", daemon=True)
        thread.start()
        thread.join()
    if raised:
        raise raised[0]


@contextmanager
def _without_collector() -> Generator[None]:
    """Python's collector looks through all live objects again and again, and in a plan hardly one dies: at a thousand
    components it takes more than half of the time (`python -m bench.plan`)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _run_alone(
    program: Program,
    monitor: Monitor,
    config: dict[str, str],
    secret_keys: list[str],
    dry_run: bool,
    directory: Path | None,
) -> None:
    """In a context of its own, with no event loop running."""
    _planning.set(True)
    _settle(monitor, dry_run, directory)
    sdk_config.set_all_config(config, secret_keys)
    # Pulumi reaches into the loop's internals; no other kind has them.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        # A failed registration fails everything that waits for it; the first failure is the one that is raised.
        runner.get_loop().set_exception_handler(_ignore)
        runner.run(_run(program, monitor))


def _settle(monitor: Monitor, dry_run: bool, directory: Path | None) -> None:
    """Configure the SDK for this context only."""
    for setting in vars(sdk_settings.Settings).values():
        variable = getattr(setting, "_data", None)
        if isinstance(variable, contextvars.ContextVar):
            # The SDK makes a setting's first value the default of every thread, unless the context has one already.
            cast("contextvars.ContextVar[Any]", variable).set(False)
    sdk_settings.Settings(
        project=monitor.project,
        stack=monitor.stack,
        monitor=monitor,
        engine=monitor,
        dry_run=dry_run,
        legacy_apply_enabled=False,
        organization="organization",
        root_directory=str(directory) if directory else None,
    )
    sdk_settings.ROOT.set(None)


def _ignore(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    pass


async def _run(program: Program, monitor: Monitor) -> None:
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def watched() -> None:
        try:
            made = program()
            if inspect.isawaitable(made):
                await made
        except BaseException as error:
            # Pulumi would wait for what the program left half-made, and could wait for ever.
            if not failed.done():
                failed.set_exception(error)
            raise

    running = asyncio.ensure_future(run_in_stack(watched))
    settings: Any = sdk_settings.SETTINGS
    lost: BaseException | None = None
    while lost is None and not (running.done() or failed.done()):
        # Some failures leave outputs behind that nobody will ever resolve, and Pulumi would wait for these.
        lost = settings.rpc_manager.unhandled_exception
        await asyncio.wait({running, failed}, timeout=1, return_when=asyncio.FIRST_COMPLETED)
    error = failed.exception() if failed.done() else running.exception() if running.done() else lost
    if not running.done():
        running.cancel()
        await asyncio.wait({running})
    if error is not None:
        if monitor.calls:
            error.add_note(
                f"The program calls {', '.join(sorted(monitor.calls))}. A plan asks no provider: take the form of the function "
                "that ends in _output, whose result is unknown in a plan, or give the value as configuration."
            )
        raise error
