"""Why a request goes where it goes: what `POST /v1/route` answers. It looks and calls nobody."""

from collections.abc import Mapping
from typing import Any

from slipway_router.matching import Request
from slipway_router.policies import RULES_POLICY
from slipway_router.policy import RoutingContext
from slipway_router.request import Asked, user_of
from slipway_router.router import Router
from slipway_router.target import Target


def explain(router: Router, asked: Asked, context: RoutingContext, headers: Mapping[bytes, bytes]) -> dict[str, Any]:
    """The decision on one request, and what it was made of; nothing of the prompt.

    Raises:
        ApiError: as the request itself would be refused.
    """
    decision = router.decide(asked, context, headers)
    needs = router.needs(asked)
    request = Request(asked.task, asked.model, headers, user_of(asked, headers), context, needs)
    passed: list[dict[str, str]] = []
    policy = "model" if decision.rule == "model" else RULES_POLICY
    for route in router.routes.all:
        mismatch = route.mismatch(request)
        if mismatch is None and route.backends(request):
            policy = RULES_POLICY if route.policy is None else route.policy.kind
            break
        passed.append(
            {"route": route.name, "because": mismatch or "no backend of its policy serves the model and can do what is asked"}
        )
    return {
        "task": asked.task,
        "model": asked.model,
        "estimated_tokens": context.estimated_tokens,
        "user_tier": context.user_tier,
        "task_type": context.task_type,
        "quality": context.quality_requirement,
        "latency_budget_ms": context.latency_budget_ms,
        "needs": sorted(needs),
        "rule": decision.rule,
        "policy": policy,
        "passed_over": passed,
        "shadows": router.shadows.explain(request) if router.shadows is not None else [],
        "order": [_candidate(router.targets[name], context) for name in decision.order],
    }


def _candidate(target: Target, context: RoutingContext) -> dict[str, Any]:
    status = target.status
    cost = status.unit_cost
    return {
        "backend": target.name,
        "model": target.model,
        "resource": target.backend.resource,
        "domain": status.domain,
        "usable": status.usable(context),
        "against": _against(target, context),
        "quality": status.quality,
        "cost_per_1k_tokens": status.price_per_1k(context),
        "cost_per_hour": cost.per_replica_hour * status.replicas_now if cost is not None else None,
        "unit_cost_per_1k_tokens": cost.per_1k if cost is not None else None,
        "full": status.full,
        "latency_ms": round(status.current_latency_ms, 1),
        "error_rate": round(status.error_rate, 4),
        "in_flight": status.in_flight,
        "traffic_share": round(status.cold_start.share, 2) if status.cold_start is not None else 1.0,
    }


def _against(target: Target, context: RoutingContext) -> list[str]:
    """Why a backend is not usable now."""
    status = target.status
    told: list[str] = []
    if not status.available:
        told.append(f"its error rate is {status.error_rate:.2f}")
    if status.context_tokens is not None and context.estimated_tokens > status.context_tokens:
        told.append(f"it holds {status.context_tokens} tokens")
    if status.rests_seconds:
        told.append(f"it asked to be left alone for {status.rests_seconds:.0f} s more")
    elif status.set_aside_now:
        told.append("it said that its rate limit is used up")
    if status.cold_start is not None and status.cold_start.away:
        told.append(f"it has no replica now: {status.cold_start.state}")
    if not status.breaker.willing:
        told.append(f"its breaker is {status.breaker.state}")
    return told
