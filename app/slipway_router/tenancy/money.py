"""Money as whole numbers, so that sums are exact: units of 1e-12 US dollars.

A list price for 1,000,000 tokens with up to six decimals is then a whole number of units for each token, and no booking is
rounded. A signed 64-bit number, which is what Redis adds, holds 9 million dollars of them.
"""

from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache

UNITS_PER_DOLLAR = 10**12


@lru_cache(maxsize=4096)
def per_token(dollars_per_1k: float) -> int:
    """Units for one token at this price for 1,000 of them. What the number as it was written says, not its binary fraction."""
    return to_units(Decimal(repr(dollars_per_1k)) / 1000)


def to_units(dollars: Decimal) -> int:
    """Units of an amount."""
    return int((dollars * UNITS_PER_DOLLAR).to_integral_value(ROUND_HALF_EVEN))


def to_dollars(units: int) -> Decimal:
    """The amount, exactly."""
    return Decimal(units) / UNITS_PER_DOLLAR
