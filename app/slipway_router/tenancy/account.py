"""What one router knows of one tenant: what was used of the limits, here and, as far as Redis told, anywhere."""

from typing import Literal

from slipway_router.cost import Prices
from slipway_router.tenancy.window import Window

Told = tuple[Literal[0, 1, 2, 3], int, int, int, int, int]
"""The answer of `admit.lua` to one request."""


class Purse:
    """One month's money, as far as this router knows."""

    __slots__ = ("held", "left", "month", "spent")

    def __init__(self, month: str) -> None:
        self.month = month
        self.spent = 0
        """Without Redis all; with it, what was booked since it was last there."""
        self.held = 0
        """Reserved by requests that are under way."""
        self.left: int | None = None
        """What Redis last said is left of the budget."""


class Account:
    """One tenant."""

    __slots__ = ("alone", "name", "prices", "purses", "rates", "said", "window")

    def __init__(self, name: str, seconds: float) -> None:
        """
        Args:
            name: Whose it is.
            seconds: Of the limits by the minute.
        """
        self.name = name
        self.window = Window(seconds)
        self.purses: list[Purse] = []
        """By month, the latest first."""
        self.said: Told | None = None
        """What Redis last said of the limits by the minute."""
        self.prices: Prices | None = None
        """Of the backend that its last request went to."""
        self.rates: tuple[int, int] = (0, 0)
        """The same in units for one token, of prompt and answer."""
        self.alone: tuple[float, int, int] | None = None
        """Since when this router is alone, and its part of requests and tokens in the first minute of that."""

    def purse(self, month: str) -> Purse:
        """The money of a month."""
        for purse in self.purses:
            if purse.month == month:
                return purse
        purse = Purse(month)
        self.purses.insert(0, purse)
        return purse

    def idle(self, now: float) -> bool:
        """Whether nothing is known that counts."""
        self.window.pass_to(now)
        return not self.window.times and not self.window.sum and not any(p.spent or p.held for p in self.purses)
