"""The option `--rates`: one's own prices, which go before the catalogue's."""

from pathlib import Path
from typing import Annotated

import typer

from slipway.plan import PlanError
from slipway.prices import Rates, RatesError

RatesOption = Annotated[
    Path | None,
    typer.Option(
        "--rates", help="YAML file with your own prices, which go before the list's; see docs/costs.md.", dir_okay=False
    ),
]


def read_rates(file: Path | None, faults: list[str]) -> Rates:
    """The rates of a file, or the list prices alone; what is wrong with the file is added to the faults."""
    if file is None:
        return Rates()
    try:
        return Rates.read(file)
    except RatesError as error:
        faults.append(f"--rates: {error}")
        return Rates()


def project_rates(file: Path | None, directory: Path) -> Rates:
    """The rates of a file, else those beside Pulumi.yaml, if any.

    Raises:
        PlanError: the file cannot be used; with every fault.
    """
    try:
        return Rates.read(file) if file else Rates.beside(directory)
    except RatesError as error:
        raise PlanError(f"--rates: {error}" if file else str(error)) from None
