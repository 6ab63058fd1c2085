"""The schema of policies and of the routes that lead to them."""

import re
from collections.abc import Mapping
from datetime import UTC, tzinfo
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from slipway_router.schema import Quality, Strict, Task, Tier

RULES_POLICY = "rules"
"""What a route calls the four rules of `policy`."""
RESERVED_RULES = ("enterprise", "latency", "cost", "fallback", "last_resort", "model")
"""What `x-slipway-rule` says where no route decided."""
TaskType = Literal["chat", "analysis", "code", "summarization"]
"""Values of the header `x-task-type`."""

ROUTE_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")
_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")


class Policy(Strict):
    """The default policy: four rules in order, the first that names a backend wins.

    1. *enterprise*: an enterprise user who asks for high quality gets `best`.
    2. *latency*: a latency budget below `latency_budget_ms` goes to `self_hosted`, if that is available and its mean latency is
       below `self_hosted_latency_ms`.
    3. *cost*: an estimate below `small_tokens`, with a quality asked that is not high, goes to `cheap`.
    4. *fallback*: the first of `preferences` that is available with an error rate below `max_error_rate`; else `last_resort`.

    What names no backend is filled in from the backends themselves, see `Config.resolved_policy`.
    """

    best: str | None = None
    """Backend for rule 1. Default: the highest quality, the dearer of two alike."""
    self_hosted: str | None = None
    """Backend for rule 2. Default: the first that is self-hosted."""
    cheap: str | None = None
    """Backend for rule 3. Default: the cheapest, the first of two alike."""
    preferences: tuple[str, ...] = ()
    """Order for rule 4. Default: `cheap`, `self_hosted`, then the others in their order with `best` last."""
    last_resort: str | None = None
    """Where a request goes when no rule fits. Default: `cheap`."""
    latency_budget_ms: int = Field(default=500, ge=0)
    self_hosted_latency_ms: float = Field(default=300.0, ge=0)
    small_tokens: int = Field(default=1000, ge=0)
    max_error_rate: float = Field(default=0.1, ge=0, le=1)


class NamedPolicy(Strict):
    """How to choose among backends. What is unavailable or too small for a request comes last in every kind."""

    kind: Literal["priority", "weighted", "least_latency", "cheapest"]
    """`priority`: the first that can. `weighted`: by shares, the same backend for the same user. `least_latency`: the lowest
    product of mean time to first byte and requests under way. `cheapest`: the lowest price among those that have the quality and
    latency asked."""
    backends: tuple[str, ...] = ()
    """Among which; for `priority` in that order, and required. Not with `weighted`. Default: all that serve what is asked."""
    weights: Mapping[str, float] = {}
    """With `weighted` only: share of each backend, in any unit. One with 0 gets what the others cannot answer."""
    quality: Quality | None = None
    """With `cheapest` only: at least this quality, also where the client asks for less."""
    max_latency_ms: float | None = Field(default=None, gt=0)
    """With `cheapest` only: a mean time to first byte of at most this, also where the client allows more."""

    waiting_cost_per_hour: float | None = Field(default=None, ge=0)
    """With `cheapest` only: what an hour of clients' waiting for the first byte is worth, in US dollars. It is added to what a
    request costs, so that a backend that is full is weighed against a dearer one that is not. Default: full ones come after."""

    @field_validator("weights")
    @classmethod
    def _weights(cls, value: Mapping[str, float]) -> Mapping[str, float]:
        wrong = [f"'{name}' {weight:g}" for name, weight in value.items() if not 0 <= weight < float("inf")]
        if wrong:
            raise ValueError(f"has {', '.join(wrong)}; give each backend 0 or more")
        if value and not sum(value.values()):
            raise ValueError("are all 0; give one backend at least more")
        return value

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        faults: list[str] = []
        if self.kind == "weighted" and not self.weights:
            faults.append("of kind 'weighted' needs 'weights', such as {stable: 95, canary: 5}")
        if self.kind == "priority" and not self.backends:
            faults.append("of kind 'priority' needs 'backends', in their order")
        for field, kinds in (
            ("weights", ("weighted",)),
            ("quality", ("cheapest",)),
            ("max_latency_ms", ("cheapest",)),
            ("waiting_cost_per_hour", ("cheapest",)),
        ):
            if self.kind not in kinds and getattr(self, field):
                faults.append(f"of kind '{self.kind}' takes no '{field}', which goes with '{kinds[0]}'")
        if self.kind == "weighted" and self.backends:
            faults.append("of kind 'weighted' takes no 'backends'; its 'weights' name them")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def named(self) -> tuple[str, ...]:
        """The backends it names; none means all."""
        return tuple(self.weights) or self.backends


class Match(Strict):
    """Which requests a route takes: those to which everything given here applies. Nothing given: all."""

    headers: Mapping[str, str] = {}
    """Headers and their values, as shell patterns: `team-*`, or `*` for any. Names in lower case."""
    tiers: tuple[Tier, ...] = ()
    """Tiers of the client's key, or of `x-user-tier` where there are no keys."""
    models: tuple[str, ...] = ()
    """Names that clients ask for. A name that no backend has can be asked for by this, too."""
    tasks: tuple[Task, ...] = ()
    """What is asked for."""
    task_types: tuple[TaskType, ...] = ()
    """Values of `x-task-type`."""
    min_tokens: int | None = Field(default=None, ge=0)
    """Least estimate of prompt and answer together, in tokens."""
    max_tokens: int | None = Field(default=None, ge=0)
    """Largest such estimate."""
    hours: str | None = None
    """Time of day, `HH:MM-HH:MM`, from and up to; past midnight where the second is not later."""
    timezone: str = "UTC"
    """Of `hours`, such as `Europe/Berlin`."""

    @field_validator("headers")
    @classmethod
    def _lower(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        wrong = [name for name in value if not re.fullmatch(r"[a-z0-9!#$%&'*+.^_`|~-]+", name)]
        if wrong:
            raise ValueError(f"names {', '.join(map(repr, wrong))}; give headers' names in lower case")
        if "authorization" in value:
            raise ValueError("names 'authorization', which holds a key; give 'tiers'")
        return value

    @field_validator("hours")
    @classmethod
    def _hours(cls, value: str | None) -> str | None:
        if value is not None and not _HOURS.fullmatch(value):
            raise ValueError(f"is {value!r}; give HH:MM-HH:MM, such as '22:00-06:00'")
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            zone(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"is {value!r}, which is not known here; give 'UTC' or a name such as 'Europe/Berlin'") from None
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_tokens is not None and self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise ValueError(f"takes no request: 'min_tokens' {self.min_tokens} is above 'max_tokens' {self.max_tokens}")
        return self

    def minutes(self) -> tuple[int, int] | None:
        """`hours` in minutes of the day."""
        found = _HOURS.fullmatch(self.hours or "")
        return (int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])) if found else None


class Route(Strict):
    """Which requests go by which policy. The first route that takes a request decides."""

    name: str
    """Unique; `x-slipway-rule` of what it decided."""
    match: Match = Match()
    """Which requests it takes. Default: all."""
    policy: str
    """Name of one of `policies`, or `rules` for the four rules of `policy`."""

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if value in RESERVED_RULES:
            raise ValueError(f"is {value!r}, which is what the four rules call themselves; take another name")
        if not ROUTE_NAME.fullmatch(value):
            raise ValueError(f"is {value!r}; give lower case letters, digits, '-' and '.', at most 63")
        return value


def zone(name: str) -> tzinfo:
    """A time zone. UTC needs no database of them."""
    return UTC if name == "UTC" else ZoneInfo(name)
