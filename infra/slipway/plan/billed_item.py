"""One thing that is paid by the hour."""

from dataclasses import dataclass

from slipway.plan.plan import Resource
from slipway.price import HOURS_PER_MONTH, Price


@dataclass(frozen=True)
class Billed:
    """Something that is paid by the hour."""

    resource: Resource
    what: str
    """Of one: `ml.g6.2xlarge`, `4 x a100-80gb`."""
    least: int | None
    """How many at least; `None`: known only after `up`."""
    most: int | None
    price: Price | None
    """Of one."""
    note: str
    """Where the price is from; why there is none, and how to give one."""
    hours: tuple[float, float] | None = (HOURS_PER_MONTH, HOURS_PER_MONTH)
    """Hours of a month that each is there, at least and at most; `None`: not known."""


def read(price: Price) -> str:
    """Where a price was read, in words."""
    if price.date is None:
        return "your own price"
    return f"{price.region}'s list price of {price.date}" if price.region else f"list price of {price.date}"
