"""The settings that keep the router steady while backends fail: breaker, retries."""

from typing import Self

from pydantic import Field, model_validator

from slipway_router.schema import Strict


class BreakerSettings(Strict):
    """When a backend is left alone, and for how long. A client's own mistake (any 4xx of its own) never counts."""

    failures: int = Field(default=5, ge=1, le=64)
    """So many failures among the newest `window` outcomes open it."""
    window: int = Field(default=10, ge=1, le=64)
    """How many outcomes are remembered. At least `failures`."""
    open_seconds: float = Field(default=5.0, gt=0, le=3600)
    """How long it stays open before one request is let through; a fifth more or less. Twice as long after each that fails."""
    most_open_seconds: float = Field(default=60.0, gt=0, le=3600)
    """Longest of these times. At least `open_seconds`."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.failures > self.window:
            raise ValueError(
                f"waits for {self.failures} failures among {self.window} outcomes; give a 'window' of as many or more"
            )
        if self.open_seconds > self.most_open_seconds:
            raise ValueError(
                f"opens for {self.open_seconds:g} s, longer than 'most_open_seconds' ({self.most_open_seconds:g}); raise that"
            )
        return self


class Retries(Strict):
    """What a request may cost beyond one attempt. Fail-over to another backend is part of every round."""

    rounds: int = Field(default=1, ge=0, le=5)
    """How often the backends are gone through again when all have failed, after a pause. Only those that may do better: not
    after a time-out, a refused key or an unknown model."""
    backoff: float = Field(default=0.1, ge=0, le=10)
    """Longest pause before the second round, in seconds; twice as long before each further one. The pause is random."""
    most_backoff: float = Field(default=2.0, ge=0, le=60)
    """Longest pause of all, in seconds."""
    ratio: float = Field(default=0.2, ge=0, le=10)
    """Retries may be at most this share of requests, counted over 10 to 20 seconds for the whole router."""
    per_second: float = Field(default=20.0, ge=0)
    """And so many each second beside it, so that a router with few requests may retry too."""
