"""What operators are told of the router. Nothing in it is secret."""

from typing import Any

from slipway_router.router import Router
from slipway_router.target import Target
from slipway_router.version import VERSION


def state_of(router: Router, under_way: int) -> dict[str, Any]:
    """The router as a whole."""
    ready, told = router.ready()
    return {
        "version": VERSION,
        "status": told["status"],
        "ready": ready,
        "requests_under_way": under_way,
        "configuration": {"sha256": router.metrics.config_digest, "read_at": router.metrics.read_at},
        "backends": [backend_of(router, target) for target in router.targets.values()],
    }


def backend_of(router: Router, target: Target) -> dict[str, Any]:
    """One backend: what it is, what it gets, how it is."""
    status, backend, share = target.status, target.backend, router.weights.of(target.name)
    state = "serving" if share else "drained" if not target.in_flight else "draining"
    return {
        "name": target.name,
        "model": target.model,
        "protocol": backend.protocol,
        "resource": backend.resource,
        "state": state,
        "weight": share,
        "in_flight": target.in_flight,
        "waiting": target.cold_start.waiting if target.cold_start is not None else 0,
        "breaker": status.breaker.state,
        "breaker_opens_to_a_trial_in_seconds": round(status.breaker.wait_seconds, 1),
        "available": status.available,
        "reachable": status.reachable,
        "error_rate": round(status.error_rate, 4),
        "latency_ms": round(status.current_latency_ms, 1),
        "rests_seconds": round(status.rests_seconds, 1),
        "ejected_seconds": round(status.ejected_seconds, 1),
        "scaled": target.cold_start.state if target.cold_start is not None else "awake",
        "replicas": replicas_of(target),
    }


def replicas_of(target: Target) -> list[dict[str, Any]]:
    """Its replicas, where the router chooses between them."""
    if target.fleet is None:
        return []
    return [
        {
            "number": member.number,
            "address": str(member.address),
            "in_flight": member.status.in_flight,
            "breaker": member.breaker.state,
            "reachable": member.status.reachable,
            "error_rate": round(member.status.error_rate, 4),
        }
        for member in target.fleet.members.values()
    ]
