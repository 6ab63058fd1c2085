"""Why a request goes where it goes: what `POST /v1/route` answers. It looks and calls nobody."""

from collections.abc import Mapping
from typing import Any

from slipway_router.fleet import Fleet, Member
from slipway_router.matching import Request
from slipway_router.policies import RULES_POLICY
from slipway_router.policy import RoutingContext
from slipway_router.prompt import Prompt
from slipway_router.request import Asked, parse, routing_context, task_of, user_of
from slipway_router.router import Router
from slipway_router.target import Target


def explain_request(router: Router, headers: Mapping[bytes, bytes], raw: bytes, key_tier: str | None) -> dict[str, Any]:
    """The decision on a request as it came, and what it was made of.

    Args:
        router: Who decides.
        headers: Those of the request that the router reads.
        raw: Its body.
        key_tier: Tier of the client's key. None where there are no keys.

    Raises:
        ApiError: as the request itself would be refused.
    """
    asked = parse(task_of(raw), raw)
    context = routing_context(headers, key_tier, asked.estimated_tokens, asked.answer_tokens)
    return explain(router, asked, context, headers)


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
        "order": [
            {**_candidate(t, context), **_replicas(t, asked, shares=len(router.config.keys) < 2)}
            for t in (router.targets[name] for name in decision.order)
        ],
    }


def _replicas(target: Target, asked: Asked, *, shares: bool) -> dict[str, Any]:
    """What the choice among its replicas would be, where it has several.

    Args:
        target: The backend.
        asked: The request.
        shares: Whether to tell what is cached. Where there are several keys, one's holder could find out another's prompts.
    """
    fleet = target.fleet
    if fleet is None or not fleet.members:
        return {}
    prompt = Prompt(asked, fleet.most_bytes)
    weighed = fleet.weigh(prompt)
    told: list[dict[str, Any]] = []
    for member, w in weighed:
        one: dict[str, Any] = {
            "replica": member.number,
            "chosen": w.chosen,
            "against": [],
            "wait_seconds": round(w.wait_seconds, 4),
        }
        if shares:
            one["cached_share"] = round(1 - w.missing_tokens / prompt.tokens, 4) if prompt.tokens else 0.0
            one["cost_seconds"] = None if w.cost_seconds is None else round(w.cost_seconds, 4)
            if w.cost_seconds is None:
                one["against"] = ["it would be done too long after the first"]
        told.append({**one, "in_flight": member.in_flight, "prompt_tokens_held": round(w.held_tokens)})
    may_be_asked = {member for member, _ in weighed}
    others = [m for m in fleet.members.values() if m not in may_be_asked]
    told += [{"replica": m.number, "chosen": False, "against": _against_replica(fleet, m)} for m in others]
    return {"prompt_tokens": round(prompt.tokens), "replicas": told}


def _against_replica(fleet: Fleet, member: Member) -> list[str]:
    """Why a replica may not be asked now."""
    told: list[str] = []
    ejected = fleet.ejected_seconds(member)
    if ejected:
        told.append(f"it does worse than the others, and is left out for {ejected:.0f} s more")
    if not member.breaker.willing:
        told.append(f"its breaker is {member.breaker.state}")
    if not member.status.cooldown.over:
        told.append(f"it asked to be left alone for {member.status.cooldown.wait_seconds:.0f} s more")
    return told


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
    elif status.limited_now:
        told.append("it said that its rate limit is used up")
    if status.ejected_seconds:
        told.append(f"it does worse than others of its model, and is left out for {status.ejected_seconds:.0f} s more")
    if status.cold_start is not None and status.cold_start.away:
        told.append(f"it has no replica now: {status.cold_start.state}")
    if not status.breaker.willing:
        told.append(f"its breaker is {status.breaker.state}")
    return told
