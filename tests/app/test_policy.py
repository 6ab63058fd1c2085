"""The policy on contexts and statuses alone, with the numbers it is known by."""

from typing import Any

import pytest

from slipway_router.config import Config
from slipway_router.policies import Policy
from slipway_router.policy import Candidates, ProviderStatus, RoutingContext

MINI, LLAMA, CLAUDE, GPT4 = "gpt4-mini", "vllm-llama", "claude", "gpt4"
BACKENDS: list[dict[str, Any]] = [
    {"name": MINI, "model": "m", "quality": "medium", "cost_per_1k_tokens": 0.0006},
    {"name": LLAMA, "model": "l", "quality": "medium", "cost_per_1k_tokens": 0.002, "self_hosted": True},
    {"name": CLAUDE, "model": "c", "quality": "high", "cost_per_1k_tokens": 0.015},
    {"name": GPT4, "model": "g", "quality": "high", "cost_per_1k_tokens": 0.03},
]
LARGE = RoutingContext(estimated_tokens=1000)


def candidates(*only: str, **statuses: Any) -> Candidates:
    config = Config.parse({"backends": [{**b, "url": "http://h/v1"} for b in BACKENDS]})
    known = {b.name: ProviderStatus(b.name) for b in config.backends}
    for name, changes in statuses.items():
        for field, value in changes.items():
            setattr(known[name.replace("_", "-")], field, value)
    return Candidates(only or known, known, config.resolved_policy(), named=bool(only))


@pytest.mark.parametrize(
    ("context", "rule", "first"),
    [
        (RoutingContext("enterprise", quality_requirement="high"), "enterprise", GPT4),
        (RoutingContext("enterprise", quality_requirement="high", latency_budget_ms=100), "enterprise", GPT4),
        (RoutingContext("enterprise", quality_requirement="medium"), "cost", MINI),
        (RoutingContext("paid", quality_requirement="high"), "fallback", MINI),
        (RoutingContext(latency_budget_ms=499), "latency", LLAMA),
        (RoutingContext(latency_budget_ms=500), "cost", MINI),
        (RoutingContext(estimated_tokens=999), "cost", MINI),
        (RoutingContext(estimated_tokens=1000), "fallback", MINI),
        (RoutingContext(estimated_tokens=999, quality_requirement="high"), "fallback", MINI),
    ],
)
def test_the_first_rule_that_names_a_backend_wins(context: RoutingContext, rule: str, first: str) -> None:
    decision = candidates().route(context)
    assert (decision.rule, decision.order[0]) == (rule, first)
    assert sorted(decision.order) == sorted([MINI, LLAMA, CLAUDE, GPT4])


def test_the_order_of_fail_over_is_that_of_preference() -> None:
    assert candidates().route(LARGE).order == [MINI, LLAMA, CLAUDE, GPT4]
    assert candidates().route(RoutingContext("enterprise", quality_requirement="high")).order == [GPT4, MINI, LLAMA, CLAUDE]


@pytest.mark.parametrize(("latency", "first"), [(299.9, LLAMA), (300.0, MINI)])
def test_latency_rule_needs_a_self_hosted_backend_below_300_ms(latency: float, first: str) -> None:
    hurried = RoutingContext(latency_budget_ms=100)
    assert candidates(vllm_llama={"current_latency_ms": latency}).route(hurried).order[0] == first


def test_fallback_wants_an_error_rate_below_a_tenth() -> None:
    decision = candidates(gpt4_mini={"error_rate": 0.1}, vllm_llama={"error_rate": 0.0999}).route(LARGE)
    assert (decision.rule, decision.order) == ("fallback", [LLAMA, MINI, CLAUDE, GPT4])


def test_the_last_resort_is_taken_when_every_error_rate_is_too_high() -> None:
    high = {"error_rate": 0.2}
    decision = candidates(gpt4_mini=high, vllm_llama=high, claude=high, gpt4=high).route(LARGE)
    assert (decision.rule, decision.order) == ("last_resort", [MINI, LLAMA, CLAUDE, GPT4])


def test_unavailable_backends_are_named_by_no_rule_and_come_last() -> None:
    gone = {"available": False, "error_rate": 0.6}
    assert candidates(gpt4=gone).route(RoutingContext("enterprise", quality_requirement="high")).order == [
        MINI,
        LLAMA,
        CLAUDE,
        GPT4,
    ]
    assert candidates(gpt4_mini=gone).route(RoutingContext()).order == [LLAMA, CLAUDE, GPT4, MINI]
    assert candidates(gpt4_mini=gone, claude=gone).route(LARGE).order == [LLAMA, GPT4, MINI, CLAUDE]


def test_a_request_longer_than_a_context_goes_elsewhere_first() -> None:
    small = candidates(gpt4_mini={"context_tokens": 4096}, vllm_llama={"context_tokens": 8192})
    assert small.route(RoutingContext(estimated_tokens=8192)).order == [LLAMA, CLAUDE, GPT4, MINI]
    assert small.route(RoutingContext(estimated_tokens=8193)).order == [CLAUDE, GPT4, MINI, LLAMA]


def test_a_named_model_with_one_backend_leaves_nothing_to_decide() -> None:
    decision = candidates(CLAUDE).route(RoutingContext("enterprise", quality_requirement="high"))
    assert (decision.rule, list(decision.order)) == ("model", [CLAUDE])
    assert candidates(CLAUDE, GPT4).route(LARGE).order == [CLAUDE, GPT4]


def test_the_configured_policy_replaces_what_follows_from_the_backends() -> None:
    statuses = {n: ProviderStatus(n) for n in ("a", "b")}
    policy = Policy(best="b", cheap="b", preferences=("b", "a"), last_resort="a", small_tokens=10)
    chosen = Candidates(["a", "b"], statuses, policy, named=False)
    assert chosen.route(RoutingContext(estimated_tokens=9)) == ("cost", ["b", "a"])
    assert chosen.route(RoutingContext(estimated_tokens=10)) == ("fallback", ["b", "a"])


def test_latency_is_a_moving_average_whose_first_sample_stands_for_itself() -> None:
    status = ProviderStatus("a")
    status.update(1000, success=True)
    assert status.current_latency_ms == 1000
    status.update(500, success=True)
    assert status.current_latency_ms == pytest.approx(0.3 * 500 + 0.7 * 1000)
    status.update(None, success=True)
    assert status.current_latency_ms == pytest.approx(850)


def test_errors_count_ten_times_what_successes_take_off() -> None:
    status = ProviderStatus("a")
    for step in range(1, 5):
        status.update(None, success=False)
        assert status.error_rate == pytest.approx(0.1 * step)
        assert status.available
    status.update(None, success=False)
    assert not status.available
    status.update(None, success=True)
    assert status.error_rate == pytest.approx(0.49)
    assert status.available
    for _ in range(100):
        status.update(None, success=True)
    assert status.error_rate == 0
    for _ in range(20):
        status.update(None, success=False)
    assert status.error_rate == 1


def test_a_backend_set_aside_comes_last_until_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("slipway_router.policy.monotonic", lambda: now[0])
    both = candidates()
    both.statuses[MINI].set_aside(7)
    assert both.statuses[MINI].rate_limit_remaining == 0
    assert both.route(RoutingContext()).order == [LLAMA, CLAUDE, GPT4, MINI]
    now[0] += 7
    assert both.route(RoutingContext()).order[0] == MINI
