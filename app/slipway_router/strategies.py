"""The policies beside the four rules: each puts backends in order for one request. Pure, but for chance where no user is told."""

import math
import random
from collections.abc import Callable, Sequence
from hashlib import blake2b

from slipway_router.cost import ANSWER_SHARE
from slipway_router.policies import NamedPolicy
from slipway_router.policy import ProviderStatus, RoutingContext, Statuses
from slipway_router.schema import RANK

Order = Callable[[NamedPolicy, Sequence[str], RoutingContext, Statuses, str | None], list[str]]
"""Puts names in order. The last argument tells one user from another; None where nobody says."""


def priority(policy: NamedPolicy, names: Sequence[str], ctx: RoutingContext, statuses: Statuses, user: str | None) -> list[str]:  # noqa: ARG001
    """As listed."""
    return [n for n in policy.backends if n in names]


def weighted(policy: NamedPolicy, names: Sequence[str], ctx: RoutingContext, statuses: Statuses, user: str | None) -> list[str]:  # noqa: ARG001
    """By shares. A user stays with a backend; when weights change only as many move as must.

    Weighted rendezvous hashing (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", the logarithmic method): each
    backend draws from (0, 1) by a hash of user and backend, and the least -ln(draw)/weight wins. Every replica of the router
    comes to the same, and so does a restarted one. Without a user the draw is random.
    """

    def distance(name: str) -> float:
        weight = policy.weights.get(name, 0.0)
        drawn = random.random() if user is None else draw(user, name)  # noqa: S311 -- no secret depends on it
        return -math.log(drawn or 1e-300) / weight if weight else math.inf

    return sorted(names, key=distance)


def least_latency(
    policy: NamedPolicy,  # noqa: ARG001 -- every strategy is called alike
    names: Sequence[str],
    ctx: RoutingContext,  # noqa: ARG001
    statuses: Statuses,
    user: str | None,  # noqa: ARG001
) -> list[str]:
    """The lowest product of mean latency and requests under way, as Finagle's least-loaded "peak EWMA" balancer has it.

    The latency alone would send everybody to one backend until it is slow. What was never measured counts as fast as the fastest.
    """
    load = _loads(names, statuses)
    return sorted(names, key=load.__getitem__)


def cheapest(policy: NamedPolicy, names: Sequence[str], ctx: RoutingContext, statuses: Statuses, user: str | None) -> list[str]:  # noqa: ARG001
    """The lowest cost among those with the quality and latency asked; of equal costs, the least loaded.

    Cost is what one more request costs: nothing on hardware of one's own that has room. Where that is full, others come first;
    unless the policy says what waiting costs, which then counts everywhere. After them those that are too slow, then those that
    are not good enough, each by cost.
    """
    quality = max(RANK[ctx.quality_requirement], RANK[policy.quality or "low"])
    latency = min(float(ctx.latency_budget_ms), policy.max_latency_ms or math.inf)
    load = _loads(names, statuses)

    tokens = max(1.0, ctx.estimated_tokens if ctx.answer_tokens else ctx.estimated_tokens / (1 - ANSWER_SHARE))
    waiting = policy.waiting_cost_per_hour

    def rank(name: str) -> tuple[bool, bool, bool, float, float]:
        status = statuses[name]
        cost = status.price_per_1k(ctx) * tokens / 1000
        if waiting is not None:
            cost += waiting * _wait_seconds(status) / 3600
        return (
            RANK[status.quality] < quality,
            status.current_latency_ms > latency,
            waiting is None and status.full,
            cost,
            load[name],
        )

    return sorted(names, key=rank)


STRATEGIES: dict[str, Order] = {
    "priority": priority,
    "weighted": weighted,
    "least_latency": least_latency,
    "cheapest": cheapest,
}


def _loads(names: Sequence[str], statuses: Statuses) -> dict[str, float]:
    known: list[ProviderStatus] = [statuses[n] for n in names]
    fastest = min((s.current_latency_ms for s in known if s.current_latency_ms), default=1.0)
    return {s.provider: (s.current_latency_ms or fastest) * (s.in_flight + 1) for s in known}


def _wait_seconds(status: ProviderStatus) -> float:
    """Until the first byte: the mean, and as much more as requests exceed what it answers at once."""
    crowd = (status.in_flight + 1) / status.capacity if status.full and status.capacity else 1.0
    return status.current_latency_ms / 1000 * crowd


def draw(user: str, name: str) -> float:
    """A number from 0 to 1 that two names always come to."""
    digest = blake2b(f"{name}\0{user}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
