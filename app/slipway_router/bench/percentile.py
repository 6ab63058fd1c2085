"""Percentiles, by nearest rank."""

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that at least this share of all values does not exceed.

    Args:
        values: In any order.
        share: Between 0 and 1, such as 0.99.

    Raises:
        ValueError: there are no values, or the share is not within its bounds.
    """
    if not values or not 0 < share <= 1:
        raise ValueError(f"no percentile {share} of {len(values)} values")
    return sorted(values)[math.ceil(len(values) * share) - 1]
