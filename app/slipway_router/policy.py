"""Which backend a request goes to: four rules in order, and what the router has seen of every backend so far.

Nothing here does any input or output: the rules decide on a context and on the backends' status alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import takewhile
from time import monotonic
from typing import NamedTuple

from slipway_router.breaker import Breaker
from slipway_router.cold_start import ColdStart
from slipway_router.cost import ANSWER_SHARE, Prices, UnitCost
from slipway_router.policies import Policy
from slipway_router.retry import Cooldown
from slipway_router.schema import Ability
from slipway_router.steadiness import BreakerSettings

LATENCY_ALPHA = 0.3
"""Weight of the newest sample in the exponential moving average of the latency."""
ERROR_STEP = 0.1
"""What a failure adds to the error rate, at most up to 1."""
RECOVERY_STEP = 0.01
"""What a success takes off it: recovery is ten times slower than the fall."""
UNAVAILABLE_AT = 0.5
"""Error rate at which a backend counts as unavailable."""


class RoutingContext(NamedTuple):
    """What a request asks for, as far as the policy is concerned."""

    user_tier: str = "free"
    """'free', 'paid' or 'enterprise'."""
    task_type: str = "chat"
    """'chat', 'analysis', 'code' or 'summarization'."""
    estimated_tokens: int = 0
    """Prompt and answer together; about, see `slipway_router.request`."""
    latency_budget_ms: int = 60_000
    """How long the client wants to wait for the first byte, in milliseconds."""
    quality_requirement: str = "medium"
    """'low', 'medium' or 'high'."""
    answer_tokens: int = 0
    """Most tokens that may be answered, which are part of the estimate; 0 where the client does not say."""


@dataclass(slots=True)
class ProviderStatus:
    """What the router has seen of one backend."""

    provider: str
    """The backend's name."""
    available: bool = True
    """Whether its error rate is below 0.5."""
    current_latency_ms: float = 0.0
    """Time to the first byte, in milliseconds, as an exponential moving average. 0 until there is a sample."""
    error_rate: float = 0.0
    """Raised by 0.1 with every failure, lowered by 0.01 with every success; from 0 to 1. Not a ratio of counts."""
    rate_limit_remaining: int | None = None
    """Requests left, as its answers last told (`x-ratelimit-remaining-requests`). None where they do not tell."""
    cost_per_1k_tokens: float = 0.0
    """List price in US dollars, for three tokens of prompt to one of answer."""
    prices: Prices | None = None
    """Where prompt and answer have different prices."""
    unit_cost: UnitCost | None = field(default=None, repr=False)
    """Where it is paid by the hour."""
    slots: int | None = None
    """Requests that one replica answers at once. None where the configuration does not tell."""
    most_in_flight: int | None = None
    """Most requests that may be under way at it. None: no limit."""
    replicas: int = 1
    """How many replicas it is taken to have while it is there."""
    context_tokens: int | None = None
    """Most tokens of prompt and answer together. None where the configuration does not tell."""
    lacks: frozenset[Ability] = frozenset()
    """What it cannot do, see `slipway_router.abilities`."""
    quality: str = "medium"
    """'low', 'medium' or 'high'."""
    domain: str | None = None
    """What fails together with it. None where the configuration does not tell."""
    in_flight: int = 0
    """Requests under way at it."""
    reachable: bool | None = None
    """Whether it answers: by the last health probe, and by what requests saw since. None before the first."""
    breaker: Breaker = field(default_factory=lambda: Breaker(BreakerSettings()), repr=False)
    """Whether it may be asked after failures."""
    cooldown: Cooldown = field(default_factory=Cooldown, repr=False)
    """Until when it asked to be left alone."""
    quota: Cooldown = field(default_factory=Cooldown, repr=False)
    """Until when its rate limit is used up. One object for all backends that share it."""
    cold_start: ColdStart | None = field(default=None, repr=False)
    """Where it scales to zero: whether it is there."""
    _measured: bool = field(default=False, repr=False)
    _ejected_until: float = field(default=0.0, repr=False)
    _limited_until: float = field(default=0.0, repr=False)
    _heard_until: float = field(default=0.0, repr=False)
    _aside_until: float = field(default=0.0, repr=False)

    def update(self, latency_ms: float | None, success: bool) -> None:
        """Take in one outcome.

        Args:
            latency_ms: Time to the first byte. The first sample replaces the initial 0, which no backend has ever shown.
                None where there is none: a refused connection, a health probe, which is no inference.
            success: Whether the backend answered as it should. A client's own mistake is neither: do not tell it.
        """
        if latency_ms is not None:
            mean = LATENCY_ALPHA * latency_ms + (1 - LATENCY_ALPHA) * self.current_latency_ms
            self.current_latency_ms = mean if self._measured else latency_ms
            self._measured = True
        if success:
            if not self.error_rate:
                return
            self.error_rate = max(0.0, self.error_rate - RECOVERY_STEP)
        else:
            self.error_rate = min(1.0, self.error_rate + ERROR_STEP)
        self.available = self.error_rate < UNAVAILABLE_AT

    def forget_errors(self) -> None:
        """Start anew: what came before was no service that failed, but one that had not begun."""
        self.error_rate, self.available = 0.0, True

    def set_aside(self, seconds: float) -> None:
        """Prefer other backends for a while: this one answered that its rate limit is used up."""
        self.rate_limit_remaining = 0
        self._limited_until = max(self._limited_until, monotonic() + seconds)
        self._aside_until = max(self._limited_until, self._ejected_until, self._heard_until)

    def eject(self, seconds: float) -> None:
        """Prefer other backends for so long from now: this one does worse than others of its model. 0: no longer."""
        self._ejected_until = monotonic() + seconds if seconds else 0.0
        self._aside_until = max(self._limited_until, self._ejected_until, self._heard_until)

    def hear_failing(self, seconds: float) -> None:
        """Prefer other backends for so long from now: another router has found this one to fail."""
        self._heard_until = max(self._heard_until, monotonic() + seconds)
        self._aside_until = max(self._limited_until, self._ejected_until, self._heard_until)

    def usable(self, ctx: RoutingContext) -> bool:
        """Available, not left alone, and with a context that holds the request, as far as that is known."""
        if not self.available or (self.context_tokens is not None and ctx.estimated_tokens > self.context_tokens):
            return False
        if self._aside_until and self.set_aside_now:
            return False
        # Looked at here, for every backend and request, before anything is called: nothing is the matter nearly always.
        cooldown, quota, breaker = self.cooldown, self.quota, self.breaker
        return (
            (not cooldown.until or cooldown.over)
            and (not quota.until or quota.over)
            and (breaker.state == "closed" or breaker.willing)
        )

    @property
    def replicas_now(self) -> int:
        """How many replicas it is taken to have: none while it is at zero."""
        return 0 if self.cold_start is not None and self.cold_start.away else self.replicas

    @property
    def capacity(self) -> int | None:
        """Requests that it answers at once, as far as the configuration tells."""
        if self.slots is None:
            return self.most_in_flight
        return min(self.slots * self.replicas, self.most_in_flight or self.slots * self.replicas)

    @property
    def full(self) -> bool:
        """Whether one more request would wait, or be refused, as far as that is known."""
        capacity = self.capacity
        return capacity is not None and self.in_flight >= capacity

    def price_per_1k(self, ctx: RoutingContext) -> float:
        """List price of 1,000 tokens of such a request, in US dollars."""
        if self.prices is None:
            return self.cost_per_1k_tokens
        return self.prices.per_1k(ctx.answer_tokens / ctx.estimated_tokens if ctx.answer_tokens else ANSWER_SHARE)

    @property
    def set_aside_now(self) -> bool:
        """Whether others are preferred because of a 429, or because it does worse than they."""
        return bool(self._aside_until) and monotonic() < self._aside_until

    @property
    def ejected_seconds(self) -> float:
        """For how long it is left out because it does worse than others of its model."""
        return max(0.0, self._ejected_until - monotonic()) if self._ejected_until else 0.0

    @property
    def limited_now(self) -> bool:
        """Whether others are preferred because of a 429."""
        return monotonic() < self._limited_until

    @property
    def rests_seconds(self) -> float:
        """How long it, or its quota, still asked to be left alone."""
        return max(self.cooldown.wait_seconds, self.quota.wait_seconds)


Statuses = Mapping[str, ProviderStatus]
Rule = Callable[[RoutingContext, Statuses, Policy], str | None]
"""Names a backend or leaves the request to the next rule. Sees only backends that can serve the request."""


def enterprise_rule(ctx: RoutingContext, status: Statuses, policy: Policy) -> str | None:
    """Enterprise users who ask for high quality get the best backend."""
    if ctx.user_tier == "enterprise" and ctx.quality_requirement == "high":
        return _usable(policy.best, ctx, status)
    return None


def latency_rule(ctx: RoutingContext, status: Statuses, policy: Policy) -> str | None:
    """A latency budget below 500 ms goes to the self-hosted backend while its mean latency is below 300 ms."""
    if ctx.latency_budget_ms < policy.latency_budget_ms:
        own = _usable(policy.self_hosted, ctx, status)
        if own is not None and status[own].current_latency_ms < policy.self_hosted_latency_ms:
            return own
    return None


def cost_rule(ctx: RoutingContext, status: Statuses, policy: Policy) -> str | None:
    """Fewer than 1,000 tokens with no high quality asked go to the cheapest backend."""
    if ctx.estimated_tokens < policy.small_tokens and ctx.quality_requirement != "high":
        return _usable(policy.cheap, ctx, status)
    return None


def fallback_rule(ctx: RoutingContext, status: Statuses, policy: Policy) -> str | None:
    """The first of the preferences that is available with an error rate below 0.1."""
    for name in policy.preferences:
        if _usable(name, ctx, status) and status[name].error_rate < policy.max_error_rate:
            return name
    return None


def _usable(name: str | None, ctx: RoutingContext, status: Statuses) -> str | None:
    known = status.get(name) if name is not None else None
    return name if known is not None and known.usable(ctx) else None


RULES: tuple[tuple[str, Rule], ...] = (
    ("enterprise", enterprise_rule),
    ("latency", latency_rule),
    ("cost", cost_rule),
    ("fallback", fallback_rule),
)


@lru_cache(maxsize=4096)
def shared_domain(one: str | None, other: str) -> int:
    """How many of their parts two domains have in common, from the left."""
    parts = zip(one.split("/") if one is not None else (), other.split("/"), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], parts))


def arranged(order: Sequence[str], ctx: RoutingContext, statuses: Statuses) -> list[str]:
    """An order as it is tried: what is usable first, and after the first of these what does not fail together with it."""
    usable = [n for n in order if statuses[n].usable(ctx)]
    rest = [n for n in order if n not in usable] if len(usable) < len(order) else []
    domain = statuses[usable[0]].domain if usable else None
    if domain is not None and len(usable) > 2:
        usable = [usable[0], *sorted(usable[1:], key=lambda n: shared_domain(statuses[n].domain, domain))]
    return usable + rest if rest else usable


class Decision(NamedTuple):
    """Where a request goes, and why."""

    rule: str
    """Which rule chose: 'enterprise', 'latency', 'cost', 'fallback', 'last_resort', or 'model' where the client named the
    only backend there is for it."""
    order: Sequence[str]
    """The chosen backend, then those to fail over to: the usable ones in order of preference, then the rest."""


class Candidates:
    """The backends that can serve one model for one task."""

    def __init__(self, names: Iterable[str], statuses: Statuses, policy: Policy, *, named: bool) -> None:
        """
        Args:
            names: The backends, in the configuration's order.
            statuses: Status of every backend; those of other backends are left out.
            policy: With every backend named (`Config.resolved_policy`).
            named: Whether the client named the model, rather than leave the choice to the policy.
        """
        listed = list(names)
        preferred = [p for p in policy.preferences if p in listed]
        self.names = tuple(dict.fromkeys([*preferred, *listed]))
        self.statuses = {n: statuses[n] for n in self.names}
        self._policy = policy
        self._named = named
        self._only = Decision("model", self.names) if named and len(self.names) == 1 else None

    def only(self, names: Sequence[str]) -> "Candidates":
        """Some of them."""
        return Candidates(names, self.statuses, self._policy, named=self._named)

    def route(self, ctx: RoutingContext) -> Decision:
        """Decide on one request: the first rule that names a backend wins.

        Unlike the rules' original form, a rule does not name a backend that is unavailable: that would cost every request it
        fits a failed attempt before fail-over.
        """
        if self._only is not None:
            return self._only
        for rule, names in RULES:
            chosen = names(ctx, self.statuses, self._policy)
            if chosen is not None:
                return Decision(rule, self._after(chosen, ctx))
        last = self._policy.last_resort
        return Decision("last_resort", self._after(last if last in self.statuses else None, ctx))

    def _after(self, chosen: str | None, ctx: RoutingContext) -> list[str]:
        if chosen is None:
            return arranged(self.names, ctx, self.statuses)
        rest = [n for n in self.names if n != chosen]
        if not self.statuses[chosen].usable(ctx):
            return [chosen, *arranged(rest, ctx, self.statuses)]
        return arranged([chosen, *rest], ctx, self.statuses)
