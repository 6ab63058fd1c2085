"""What a user sees of an error: its text on standard error, and an exit code."""

from collections.abc import Generator
from contextlib import contextmanager

import pulumi
import typer

from slipway.engine.outcome import EngineError
from slipway_router.config import ConfigError

FAILED = 1
BAD_INPUT = 2


@contextmanager
def told() -> Generator[None]:
    """Turn the errors that we raise on purpose into their text and an exit code. Anything else is a bug and stays one."""
    try:
        yield
    except (
        pulumi.RunError,
        pulumi.InputPropertiesError,
        ConfigError,
        pulumi.ConfigMissingError,
        pulumi.ConfigTypeError,
    ) as error:
        fail(getattr(error, "message", None) or str(error), BAD_INPUT)
    except EngineError as error:
        fail(str(error), FAILED)


def fail(text: str, code: int) -> None:
    """Say what is wrong, and end.

    Raises:
        typer.Exit: always.
    """
    typer.echo(text, err=True)
    raise typer.Exit(code)
