"""The command `slipway-router`: `serve`, which is also what it does without a command's name, and those beside it.

Each command is a module of `slipway_router.commands` with `main(arguments) -> int`, the exit code; only the one asked for is
imported, so that serving does not pay for the others.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import cast

COMMANDS = {
    "serve": "serve a configuration (the default)",
    "check": "tell every fault of a configuration",
    "route": "tell which backends a request would go to, in which order and why, without calling anyone",
    "key": "create, list and revoke the keys that clients send",
    "bench": "load an OpenAI-compatible address and tell how fast it answers",
}
"""Every command, with what it does."""
WRONG_ARGUMENTS = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exits with the command's code; 2 where there is no such command."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] in (["-h"], ["--help"]):
        sys.stdout.write(_help())
        return
    name = given.pop(0) if given and not given[0].startswith("-") else "serve"
    if name not in COMMANDS:
        choices = ", ".join(f"'{c}'" for c in COMMANDS)
        sys.stderr.write(f"slipway-router: there is no command {name!r}; there are {choices}\n")
        sys.exit(WRONG_ARGUMENTS)
    command = cast("Callable[[Sequence[str]], int]", importlib.import_module(f"slipway_router.commands.{name}").main)
    sys.exit(command(given))


def _help() -> str:
    width = max(map(len, COMMANDS))
    listed = "".join(f"  {name.ljust(width)}  {does}\n" for name, does in COMMANDS.items())
    return (
        "usage: slipway-router [COMMAND] ...\n\n"
        "One OpenAI-compatible address in front of self-hosted models and vendors' APIs.\n\n"
        f"commands:\n{listed}\n'slipway-router COMMAND --help' tells a command's options and exit codes.\n"
    )


if __name__ == "__main__":
    main()
