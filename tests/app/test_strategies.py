"""The policies beside the four rules, each on backends of a test's own."""

from collections import Counter
from typing import Any

import pytest

from slipway_router.cost import Prices
from slipway_router.policies import NamedPolicy
from slipway_router.policy import ProviderStatus, RoutingContext, arranged
from slipway_router.strategies import STRATEGIES


def ordered(policy: dict[str, Any], statuses: dict[str, dict[str, Any]], user: str | None = None, **ctx: Any) -> list[str]:
    parsed = NamedPolicy.model_validate(policy)
    made = {n: ProviderStatus(n, **fields) for n, fields in statuses.items()}
    return STRATEGIES[parsed.kind](parsed, list(made), RoutingContext(**ctx), made, user)


THREE: dict[str, dict[str, Any]] = {"a": {}, "b": {}, "c": {}}


def test_priority_is_the_order_given_among_those_there_are() -> None:
    assert ordered({"kind": "priority", "backends": ["c", "x", "a"]}, THREE) == ["c", "a"]


def weighted(users: int, **weights: float) -> dict[str, str]:
    policy = {"kind": "weighted", "weights": weights}
    return {u: ordered(policy, {n: {} for n in weights}, u)[0] for u in map(str, range(users))}


def test_weights_are_shares_of_users() -> None:
    shares = Counter(weighted(4000, a=90, b=8, c=2).values())
    assert shares["a"] / 4000 == pytest.approx(0.9, abs=0.02)
    assert shares["b"] / 4000 == pytest.approx(0.08, abs=0.02)
    assert shares["c"] / 4000 == pytest.approx(0.02, abs=0.01)


def test_a_user_stays_and_only_those_move_who_must() -> None:
    before, after = weighted(2000, a=95, b=5), weighted(2000, a=90, b=10)
    assert before == weighted(2000, a=95, b=5)
    moved = [u for u in before if before[u] != after[u]]
    assert all(after[u] == "b" for u in moved)
    assert len(moved) / 2000 == pytest.approx(0.05, abs=0.015)


def test_without_a_user_every_request_is_drawn_and_a_weight_of_0_comes_last() -> None:
    policy = {"kind": "weighted", "weights": {"a": 0, "b": 1, "c": 1}}
    drawn = [ordered(policy, THREE) for _ in range(400)]
    assert 120 < sum(o[0] == "b" for o in drawn) < 280
    assert all(o[2] == "a" for o in drawn)


OWN: dict[str, Any] = {"slots": 4, "replicas": 2, "quality": "high", "current_latency_ms": 200}
API: dict[str, Any] = {"cost_per_1k_tokens": 0.01, "quality": "high", "current_latency_ms": 500}


def test_what_is_owned_costs_nothing_more_until_it_is_full() -> None:
    policy = {"kind": "cheapest"}
    assert ordered(policy, {"api": API, "own": {**OWN, "in_flight": 7}}) == ["own", "api"]
    assert ordered(policy, {"api": API, "own": {**OWN, "in_flight": 8}}) == ["api", "own"]
    assert ordered(policy, {"api": API, "own": {**OWN, "in_flight": 5, "most_in_flight": 5}}) == ["api", "own"]
    # Who wants better than the API gets it all the same.
    poor = {**API, "quality": "low"}
    assert ordered(policy, {"api": poor, "own": {**OWN, "in_flight": 8}}, quality_requirement="high") == ["own", "api"]


def test_a_client_that_waits_can_be_weighed_against_a_price() -> None:
    full = {"api": API, "own": {**OWN, "in_flight": 15}}
    asked: dict[str, Any] = {"estimated_tokens": 2000, "answer_tokens": 500}
    # The API: $0.02 and half a second. The own one: twice its 0.2 s, since it has twice what it can take.
    assert ordered({"kind": "cheapest", "waiting_cost_per_hour": 20}, full, **asked) == ["own", "api"]
    slow = {"api": API, "own": {**OWN, "in_flight": 15, "current_latency_ms": 5000}}
    assert ordered({"kind": "cheapest", "waiting_cost_per_hour": 20}, slow, **asked) == ["api", "own"]
    assert ordered({"kind": "cheapest", "waiting_cost_per_hour": 1}, slow, **asked) == ["own", "api"]


def test_prompt_and_answer_can_have_prices_of_their_own() -> None:
    two = {"reader": {"prices": Prices(0.001, 0.02)}, "writer": {"prices": Prices(0.004, 0.008)}}
    policy = {"kind": "cheapest"}
    assert ordered(policy, two, estimated_tokens=1000, answer_tokens=100) == ["reader", "writer"]
    assert ordered(policy, two, estimated_tokens=1000, answer_tokens=900) == ["writer", "reader"]
    # A quarter is the answer's where nobody tells: 0.00575 against 0.005.
    assert ordered(policy, two, estimated_tokens=1000) == ["writer", "reader"]


def test_least_latency_counts_what_is_under_way() -> None:
    policy = {"kind": "least_latency"}
    assert ordered(policy, {"a": {"current_latency_ms": 200}, "b": {"current_latency_ms": 100}}) == ["b", "a"]
    busy = {"a": {"current_latency_ms": 200}, "b": {"current_latency_ms": 100, "in_flight": 2}}
    assert ordered(policy, busy) == ["a", "b"]


def test_least_latency_tries_what_was_never_measured_without_flooding_it() -> None:
    policy = {"kind": "least_latency"}
    known: dict[str, Any] = {"current_latency_ms": 100, "in_flight": 1}
    assert ordered(policy, {"a": known, "new": {}}) == ["new", "a"]
    assert ordered(policy, {"a": known, "new": {"in_flight": 5}}) == ["a", "new"]


PRICED: dict[str, dict[str, Any]] = {
    "dear": {"cost_per_1k_tokens": 0.03, "quality": "high", "current_latency_ms": 900},
    "fair": {"cost_per_1k_tokens": 0.01, "quality": "high", "current_latency_ms": 2000},
    "poor": {"cost_per_1k_tokens": 0.001, "quality": "low", "current_latency_ms": 100},
    "own": {"cost_per_1k_tokens": 0.0, "quality": "medium", "current_latency_ms": 300},
}


@pytest.mark.parametrize(
    ("policy", "ctx", "order"),
    [
        ({}, {}, ["own", "fair", "dear", "poor"]),
        ({}, {"quality_requirement": "low"}, ["own", "poor", "fair", "dear"]),
        ({}, {"quality_requirement": "high"}, ["fair", "dear", "own", "poor"]),
        ({}, {"quality_requirement": "high", "latency_budget_ms": 1000}, ["dear", "fair", "own", "poor"]),
        ({"max_latency_ms": 1000}, {"quality_requirement": "high"}, ["dear", "fair", "own", "poor"]),
        ({"quality": "high"}, {"quality_requirement": "low"}, ["fair", "dear", "own", "poor"]),
    ],
)
def test_the_cheapest_that_is_good_and_quick_enough(policy: dict[str, Any], ctx: dict[str, Any], order: list[str]) -> None:
    assert ordered({"kind": "cheapest", **policy}, PRICED, **ctx) == order


def test_of_equal_prices_the_least_loaded() -> None:
    same = {n: {"cost_per_1k_tokens": 0.01, "in_flight": f} for n, f in (("a", 3), ("b", 0), ("c", 1))}
    assert ordered({"kind": "cheapest"}, same) == ["b", "c", "a"]


def arrange(order: str, **statuses: dict[str, Any]) -> str:
    made = {n: ProviderStatus(n, **statuses.get(n, {})) for n in order}
    return "".join(arranged(list(order), RoutingContext(estimated_tokens=100), made))


def test_fail_over_prefers_what_does_not_fail_together() -> None:
    west = {"domain": "west"}
    assert arrange("abcd", a=west, b=west, d=west) == "acbd"
    assert arrange("abcd", b=west, d=west) == "abcd"


def test_domains_have_parts_and_the_fewer_two_share_the_better() -> None:
    at = {
        n: {"domain": d} for n, d in zip("abcde", ("k8s/h100", "k8s/h100", "k8s/l4", "aws/h100", "k8s/h100/zone-a"), strict=True)
    }
    assert arrange("abcde", **at) == "adcbe"


def test_what_is_not_usable_comes_last_whatever_its_domain() -> None:
    small = {"context_tokens": 99}
    assert arrange("abc", a=small, b={"domain": "x"}) == "bca"
    assert arrange("abcd", a={"domain": "x"}, b={"domain": "x"}, c={**small, "domain": "y"}) == "adbc"
