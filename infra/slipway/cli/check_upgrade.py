"""`slipway check-upgrade`: whether a stack can follow the plan of its last release."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.errors import FAILED, told
from slipway.cli.plan import planned, read_plan
from slipway.cli.stacks import DirectoryOption, JsonOption, StackOption
from slipway.plan.plan import PlanError
from slipway.plan.upgrade import losses

OldArgument = Annotated[
    Path, typer.Argument(metavar="PLAN", help="The plan of the last release, as `slipway plan --json` wrote it.", dir_okay=False)
]
AllowOption = Annotated[
    list[str] | None, typer.Option("--allow", help="Name of a resource that may be lost, since that is meant. May be repeated.")
]


def check_upgrade(
    old: OldArgument,
    stack: StackOption,
    directory: DirectoryOption = Path(),
    allow: AllowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that nothing which holds data, or an address that others use, is renamed, deleted or replaced without an alias.

    Ends with 0 if so, with 1 if something would be lost, with 2 on bad input.
    """
    with told():
        before = read_plan(old, "PLAN")
        found = losses(before, planned(directory, stack))
        allowed = set(allow or ())
        if unknown := sorted(allowed - {loss.change.resource.name for loss in found}):
            raise PlanError(f"--allow: {', '.join(unknown)} would not be lost; leave it out")
        lost = [loss for loss in found if loss.change.resource.name not in allowed]
        if as_json:
            listed = [
                {
                    "name": loss.change.resource.name,
                    "urn": loss.change.resource.urn,
                    "type": loss.change.resource.type,
                    "holds": loss.holds,
                    "replaced": loss.change.replaced,
                    "paths": [path.path for path in loss.change.paths],
                    "reason": loss.reason,
                }
                for loss in lost
            ]
            sys.stdout.write(json.dumps({"losses": listed}, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
        else:
            for loss in lost:
                typer.echo(loss.reason)
            count = "1 loss" if len(lost) == 1 else f"{len(lost)} losses" if lost else "nothing is lost"
            typer.echo(f"{stack}: {count}{f', {len(allowed)} allowed' if allowed else ''}")
        if lost:
            raise typer.Exit(FAILED)
