"""The schema of what the router tells of itself."""

from pydantic import Field

from slipway_router.schema import Strict

MOST_KEYS = 1000
"""How many keys the metrics tell apart unless configured otherwise."""


class TelemetrySettings(Strict):
    """What the router tells, and how much of it."""

    most_keys: int = Field(default=MOST_KEYS, ge=0, le=100_000)
    """How many keys the metrics tell apart; all others count as 'other'. Each is four series."""
