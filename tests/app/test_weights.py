"""What an operator says of backends, in the order in which they are tried."""

import random

import pytest

from slipway_router.asgi import ApiError
from slipway_router.policy import Decision
from slipway_router.weights import Weights

DECISION = Decision("fallback", ("a", "b", "c"))


def test_one_with_no_share_is_left_out_and_the_others_keep_their_order() -> None:
    weights = Weights()
    weights.set("a", 0)
    assert weights.apply(DECISION) == Decision("fallback", ["b", "c"])
    weights.set("a", 1)
    assert weights.shares == {}


def test_a_share_is_that_of_the_requests_and_the_rest_have_it_last() -> None:
    weights = Weights(random.Random(3).random)
    weights.set("a", 0.2)
    orders = [tuple(weights.apply(DECISION).order) for _ in range(5000)]
    assert set(orders) == {("a", "b", "c"), ("b", "c", "a")}
    assert 900 < orders.count(("a", "b", "c")) < 1100


def test_where_all_are_drained_the_client_is_told_so() -> None:
    weights = Weights()
    for name in DECISION.order:
        weights.set(name, 0)
    with pytest.raises(ApiError) as caught:
        weights.apply(DECISION)
    assert (caught.value.status, caught.value.code) == (503, "backends_drained")
    assert "'a', 'b', 'c'" in caught.value.message


def test_what_was_said_of_backends_that_are_gone_is_forgotten() -> None:
    weights = Weights()
    weights.set("a", 0)
    weights.set("b", 0.5)
    weights.keep(["b", "c"])
    assert weights.shares == {"b": 0.5}
    assert (weights.of("a"), weights.of("b")) == (1.0, 0.5)
