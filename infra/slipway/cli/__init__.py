"""The `slipway` command."""

import sys

import typer

from slipway.cli import stacks
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
app.command()(plan)
app.command()(render)


def main() -> None:
    """Run the command; what a user did wrong is told in words, never by a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
