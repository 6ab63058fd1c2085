"""What is promised, and how fast breaking the promise must go before somebody is called."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from slipway.args import Faults
from slipway_router.metrics import FIRST_TOKEN_SECONDS

FAST = 14.4
"""The fastest burn that is told apart: 2 % of 30 days' budget in one hour."""
_DAY = 86400.0


class Objectives(TypedDict):
    """What is promised of every router that is watched, and what it may cost."""

    availability_percent: NotRequired[float]
    """Share of requests that must not fail by the service's own fault (status 5xx). Default 99.9; 93.1 to 99.999."""
    first_token_seconds: NotRequired[float]
    """Time to the first token of a stream that counts as good, in seconds. Default 2.5; a bound of the router's histogram."""
    first_token_percent: NotRequired[float]
    """Share of streams that must be so fast. Default 95; 93.1 to 99.999."""
    period_days: NotRequired[float]
    """Period that the promise is about, in days. The windows in which its breaking is noticed scale with it: an hour and 5
    minutes of 30 days. Default 30; 0.1 to 90, and the shortest window must have at least 4 readings."""
    patience_seconds: NotRequired[int]
    """How long any other trouble must last before it is told, in seconds. Default 600; 1 to 86400."""
    daily_dollars: NotRequired[float]
    """What the tokens of all backends may cost in a day, by their list prices, in US dollars. Default: not watched."""
    gpu_celsius: NotRequired[float]
    """How hot a GPU may be, in degrees Celsius. Default 85, where those of data centres are about to slow down (`nvidia-smi -q -d
    TEMPERATURE` tells of one when it does); 30 to 110."""


@dataclass(frozen=True)
class Burn:
    """One speed at which a budget is burnt, looked for in two windows, so that it is told soon and ends soon."""

    factor: float
    """Times the speed that would just spend it all in the period."""
    long: float
    """In seconds."""
    short: float
    """In seconds."""
    pages: bool
    """Whether somebody must look now."""


@dataclass(frozen=True)
class Promise:
    """Objectives with every default filled in."""

    availability_percent: float = 99.9
    first_token_seconds: float = 2.5
    first_token_percent: float = 95.0
    period_days: float = 30.0
    patience_seconds: int = 600
    daily_dollars: float | None = None
    gpu_celsius: float = 85.0

    @classmethod
    def of(cls, given: Mapping[str, Any], interval: float, faults: Faults) -> "Promise":
        """Tells of its faults below the path `objectives`.

        Args:
            given: The argument.
            interval: Seconds between two readings.
            faults: Where to tell what is wrong.
        """
        if faults.at("objectives"):
            return cls()
        promise = cls(**given)
        for key in ("availability_percent", "first_token_percent"):
            value = getattr(promise, key)
            if not 93.1 <= value <= 99.999:
                faults.add(
                    f"objectives.{key}",
                    f"is {value:g}; give 93.1 to 99.999: below, a time of nothing but faults would not be {FAST} times what may"
                    " fail",
                )
        if promise.first_token_seconds not in FIRST_TOKEN_SECONDS:
            faults.add(
                "objectives.first_token_seconds",
                f"is {promise.first_token_seconds:g}, between two bounds of the router's histogram; give one of "
                + ", ".join(f"{bound:g}" for bound in FIRST_TOKEN_SECONDS),
            )
        if not 0.1 <= promise.period_days <= 90:
            faults.add("objectives.period_days", f"is {promise.period_days:g}; give 0.1 to 90 days")
        elif (shortest := min(burn.short for burn in promise.burns)) < 4 * interval:
            faults.add(
                "objectives.period_days",
                f"is {promise.period_days:g}, whose shortest window of {shortest:g} s has fewer than 4 readings; give a longer"
                f" period or a 'prometheus.interval_seconds' of at most {shortest / 4:g}",
            )
        if not 1 <= promise.patience_seconds <= 86400:
            faults.add("objectives.patience_seconds", f"is {promise.patience_seconds}; give 1 to 86400 seconds")
        if promise.daily_dollars is not None and promise.daily_dollars <= 0:
            faults.add("objectives.daily_dollars", f"is {promise.daily_dollars:g}; give more than 0, or leave it out")
        if not 30 <= promise.gpu_celsius <= 110:
            faults.add("objectives.gpu_celsius", f"is {promise.gpu_celsius:g}; give 30 to 110 degrees Celsius")
        return promise

    @property
    def period(self) -> float:
        """In seconds."""
        return self.period_days * _DAY

    @property
    def burns(self) -> list[Burn]:
        """Google, "The Site Reliability Workbook", chapter 5, table 5-8: 2 % of the budget in an hour, 5 % in six, 10 % in three
        days, each with a twelfth of its window beside it."""
        hour = self.period / 720
        return [
            Burn(FAST, hour, hour / 12, pages=True),
            Burn(6, 6 * hour, hour / 2, pages=True),
            Burn(1, 72 * hour, 6 * hour, pages=False),
        ]


def duration(seconds: float) -> str:
    """As Prometheus writes it."""
    millis = round(seconds * 1000)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if millis % size == 0 and millis:
            return f"{millis // size}{unit}"
    return f"{millis}ms"
