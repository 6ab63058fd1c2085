"""`slipway up`, `preview` and `down`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from slipway.cli.errors import told
from slipway.cli.summary import show
from slipway.engine.choice import Engine, Wanted, choose
from slipway.engine.outcome import Outcome

StackOption = Annotated[str, typer.Option("--stack", "-s", help="The stack: Pulumi.STACK.yaml says what is in it.")]
DirectoryOption = Annotated[
    Path,
    typer.Option("--directory", "-C", help="The project: where Pulumi.yaml is.", exists=True, file_okay=False, resolve_path=True),
]
EngineOption = Annotated[
    Wanted, typer.Option("--engine", help="'auto' takes the one that has the stack, else Pulumi's where there is one.")
]
InstallOption = Annotated[
    bool, typer.Option("--install", help="Install Pulumi's engine, by its own installer, if it is needed and missing.")
]
RefreshOption = Annotated[
    bool, typer.Option("--refresh", help="Look at what is really there first: what was changed or deleted by hand is mended.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output; progress goes to standard error.")]


def up(
    stack: StackOption,
    directory: DirectoryOption = Path(),
    engine: EngineOption = Wanted.AUTO,
    install: InstallOption = False,
    refresh: RefreshOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring a stack up, or to what its settings say now."""
    with told():
        outcome = _engine(directory, stack, engine, install).up(_progress, refresh=refresh)
        _end(outcome, stack, as_json)
        if not as_json:
            show(outcome.outputs, Console())


def preview(
    stack: StackOption,
    directory: DirectoryOption = Path(),
    engine: EngineOption = Wanted.AUTO,
    install: InstallOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what `up` would change."""
    with told():
        _end(_engine(directory, stack, engine, install).preview(_progress), stack, as_json)


def down(
    stack: StackOption,
    directory: DirectoryOption = Path(),
    engine: EngineOption = Wanted.AUTO,
    install: InstallOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take a stack down: everything that it made is stopped or deleted."""
    with told():
        _end(_engine(directory, stack, engine, install).down(_progress), stack, as_json)


def _engine(directory: Path, stack: str, wanted: Wanted, install: bool) -> Engine:
    def offer(why: str) -> bool:
        if install:
            return True
        return sys.stdin.isatty() and typer.confirm(f"{why[0].upper()}{why[1:]}. Install it now, by its own installer?", err=True)

    return choose(directory, stack, wanted, _progress, offer)


def _progress(line: str) -> None:
    typer.echo(line, err=True)


def _end(outcome: Outcome, stack: str, as_json: bool) -> None:
    if as_json:
        typer.echo(
            json.dumps({"stack": stack, "changes": dict(outcome.changes), "outputs": dict(outcome.outputs)}, sort_keys=True)
        )
        return
    told_changes = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.changes.items()) if kind != "same" and count)
    typer.echo(f"{stack}: {told_changes or 'no change'}", err=True)
