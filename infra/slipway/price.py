"""A price, and what a month is."""

import datetime
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

HOURS_PER_MONTH = 730
"""8,760 hours of a year / 12."""

Usd = Annotated[float, Field(gt=0, lt=100_000, allow_inf_nan=False)]


@dataclass(frozen=True)
class Price:
    """An hour of one machine, cluster or volume."""

    usd_per_hour: float
    region: str | None
    """Where it holds; `None`: anywhere."""
    source: str
    date: datetime.date | None = None
    """The day on which it was read; `None` for one's own."""
