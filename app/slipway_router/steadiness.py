"""The settings that keep the router steady while backends fail: deadlines, breaker, retries."""

from collections.abc import Mapping, Sequence
from typing import Any, Self, cast, get_args

from pydantic import Field, ValidationError, field_validator, model_validator

from slipway_router.protocol import with_default_tasks
from slipway_router.schema import Strict, Tier


class Timeouts(Strict):
    """A backend's deadlines, in seconds. Each must be above 0."""

    connect: float = Field(default=2.0, gt=0)
    """To open a connection, the TLS handshake included."""
    first_byte: float = Field(default=120.0, gt=0)
    """From the request sent to the first byte of the answer: queueing and prompt processing."""
    between_chunks: float = Field(default=60.0, gt=0)
    """Between two chunks of a stream."""
    total: float = Field(default=900.0, gt=0)
    """For the whole answer: the longest stream. Infrastructure derives its grace period from it."""


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


class Hedging(Strict):
    """When a second backend is asked beside the first. Each time is a retry, and comes out of the budget of retries."""

    percentile: float = Field(default=0.95, ge=0.5, lt=1)
    """So large a part of a backend's answers began by then: a request that waits longer is also sent to the next backend, and
    whichever begins to answer first is heard. Counted over the backend's newest 128 answers, streams and others apart."""
    least_seconds: float = Field(default=0.05, ge=0)
    """Never before so many seconds."""


class Admission(Strict):
    """How much the router takes on, before it refuses."""

    max_in_flight: int | None = Field(default=None, ge=1)
    """Most requests under way in this router. Absent: no limit but those of the backends."""
    shares: Mapping[Tier, float] = {"free": 0.8, "paid": 0.9, "enterprise": 1.0}
    """How much of that, and of a backend's `max_in_flight`, a tier may fill; above 0, at most 1. What is full for one tier still
    takes a higher one. A tier that is left out may fill all."""

    @field_validator("shares")
    @classmethod
    def _shares(cls, value: Mapping[Tier, float]) -> Mapping[Tier, float]:
        wrong = [f"'{tier}' {share:g}" for tier, share in value.items() if not 0 < share <= 1]
        if wrong:
            raise ValueError(f"has {', '.join(wrong)}; give shares above 0, at most 1")
        return value

    def room(self, most: int | None) -> Mapping[str, int] | None:
        """How many requests of each tier may be under way where there may be so many in all; at least one."""
        if most is None:
            return None
        return {tier: max(1, int(most * self.shares.get(tier, 1.0))) for tier in get_args(Tier)}


def health_check_faults(path: str, backend: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A token that cannot be asked for."""
    tasks = cast("Mapping[str, Any]", with_default_tasks(backend)).get("tasks", ("chat", "completions"))
    listed = cast("Sequence[object]", tasks) if isinstance(tasks, list | tuple) else ("chat",)
    if backend.get("health_check") != "completion" or "chat" in listed or "completions" in listed:
        return []
    return [(f"{path}.health_check", "asks for a completion, which needs 'chat' or 'completions' in 'tasks'; give 'models'")]


def scaling_faults(path: str, backend: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Numbers of replicas that cannot be, and what goes with none only."""
    faults: list[tuple[str, str]] = []
    least, most = backend.get("min_replicas"), backend.get("max_replicas")
    if isinstance(least, int) and isinstance(most, int) and least > most:
        faults.append((f"{path}.min_replicas", f"is {least}, above max_replicas ({most}); lower it or raise 'max_replicas'"))
    lost = [s for s in ("ramp_seconds", "max_waiting") if s in backend and least != 0]
    faults += [(f"{path}.{s}", "goes with 'min_replicas: 0'; give that too, or leave it out") for s in lost]
    if least == 0 and backend.get("health_check") == "completion":
        told = "asks for a completion, which would keep the backend from scaling to zero ('min_replicas: 0'); give 'models'"
        faults.append((f"{path}.health_check", told))
    return faults


def retry_faults(retries: object, backends: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Rounds that a backend's own deadline leaves no time for. The default of one is not held against short deadlines."""
    rounds = cast("Mapping[str, Any]", retries).get("rounds") if isinstance(retries, Mapping) else None
    if not isinstance(rounds, int) or isinstance(rounds, bool) or not 0 < rounds <= 5:
        return []
    faults: list[tuple[str, str]] = []
    for i, backend in enumerate(backends):
        try:
            times = Timeouts.model_validate(backend.get("timeouts", {}))
        except ValidationError:
            continue
        attempt = times.connect + times.first_byte
        if (rounds + 1) * attempt > times.total:
            most = max(0, int(times.total // attempt) - 1)
            told = (
                f"is {rounds}: {rounds + 1} x (connect {times.connect:g} s + first_byte {times.first_byte:g} s) = "
                f"{(rounds + 1) * attempt:g} s, but backends[{i}].timeouts.total is {times.total:g} s; "
                f"give at most {most}, or other timeouts"
            )
            faults.append(("retries.rounds", told))
    return faults
