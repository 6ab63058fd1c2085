"""Which engine runs a stack: the one that has it already, else Pulumi's, else the embedded runner for what is local."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from slipway.engine import installation
from slipway.engine.embedded import EmbeddedRunner, not_local
from slipway.engine.outcome import EngineError
from slipway.engine.pulumi_engine import PulumiEngine
from slipway.plan.program import plan_project


class Wanted(StrEnum):
    """What the user asked for."""

    AUTO = "auto"
    PULUMI = "pulumi"
    EMBEDDED = "embedded"


Engine = PulumiEngine | EmbeddedRunner


def choose(directory: Path, stack: str, wanted: Wanted, report: Callable[[str], None], offer: Callable[[str], bool]) -> Engine:
    """Find the engine for one operation on a stack, and say in one line where that is not the usual one.

    Args:
        directory: The project.
        stack: Its stack.
        wanted: What the user asked for.
        report: Takes a line for the user.
        offer: Asks whether to install Pulumi's engine, given why; its answer is taken.

    Raises:
        EngineError: the stack is run by another engine than the one asked for, or none can run it.
    """
    embedded = EmbeddedRunner(directory, stack)
    if embedded.owns():
        if wanted is Wanted.PULUMI:
            raise EngineError(
                f"stack '{stack}' is run by the embedded runner; "
                f"`slipway down -s {stack}` first, then bring it up with Pulumi's engine"
            )
        return embedded
    found = installation.find()
    if wanted is Wanted.EMBEDDED:
        if found.command and PulumiEngine(found.command, directory, stack).owns():
            raise EngineError(
                f"stack '{stack}' is run by Pulumi's engine; "
                f"`slipway down -s {stack}` first, then bring it up with the embedded runner"
            )
        return embedded
    if found.command:
        return PulumiEngine(found.command, directory, stack)
    foreign = not_local(plan_project(directory, stack))
    if wanted is Wanted.AUTO and not foreign:
        report(f"{found.reason}: the embedded runner brings up this stack, which is local.")
        return embedded
    why = f"{found.reason}, and stack '{stack}' needs it"
    if foreign:
        why += f" for {foreign[0]}" + (f" and {len(foreign) - 1} more" if len(foreign) > 1 else "")
    if offer(why):
        return PulumiEngine(installation.install(), directory, stack)
    raise EngineError(
        f"{why}. Install it by `slipway up -s {stack} --install` or as pulumi.com says, "
        f"or apply the manifests yourself: `slipway render -s {stack} -o rendered && kubectl apply --server-side -f rendered`."
    )
