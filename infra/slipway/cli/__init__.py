"""The `slipway` command."""

import sys
from importlib import metadata
from typing import Annotated

import typer

from slipway.cli import stacks
from slipway.cli.bench_endpoint import bench_endpoint
from slipway.cli.check_upgrade import check_upgrade
from slipway.cli.gpus import gpus
from slipway.cli.plan import plan
from slipway.cli.render import render

app = typer.Typer(
    name="slipway",
    help="Plan, bring up and take down stacks of models and the router in front of them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 the operation failed or was declined, 2 bad input.",
)
app.command()(stacks.up)
app.command()(stacks.preview)
app.command()(stacks.down)
app.command("destroy", hidden=True)(stacks.down)  # Pulumi's word for it
app.command()(plan)
app.command()(render)
app.command("check-upgrade")(check_upgrade)
app.command()(gpus)
app.command("bench-endpoint")(bench_endpoint)


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Show the version.", is_eager=True)] = False) -> None:
    if version:
        typer.echo(f"slipway {metadata.version('slipway')}")
        raise typer.Exit


def main() -> None:
    """Run the command; what a user did wrong is told in words, never by a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
