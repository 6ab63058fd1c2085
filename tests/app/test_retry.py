"""The retry budget, the pause between rounds, and cooling down."""

from email.utils import formatdate
from time import time

import pytest
from tests.app.test_breaker import Clock

from slipway_router.asgi import Header
from slipway_router.retry import Cooldown, RetryBudget, backoff, told_seconds
from slipway_router.steadiness import Retries


def taken(budget: RetryBudget, most: int = 1000) -> int:
    return next((i for i in range(most) if not budget.take()), most)


def test_retries_are_a_share_of_requests_and_a_floor() -> None:
    budget = RetryBudget(Retries(ratio=0.2, per_second=1), Clock())
    assert taken(budget) == 10
    for _ in range(100):
        budget.request()
    assert taken(budget) == 20


def test_the_budget_forgets_what_is_older_than_two_windows() -> None:
    clock = Clock()
    budget = RetryBudget(Retries(ratio=0.5, per_second=0), clock)
    for _ in range(100):
        budget.request()
    assert taken(budget) == 50
    clock.now += 10
    assert taken(budget) == 0
    for _ in range(10):
        budget.request()
    assert taken(budget) == 5
    clock.now += 10
    assert taken(budget) == 0
    clock.now += 35
    assert taken(budget) == 0
    budget.request()
    budget.request()
    assert taken(budget) == 1


def test_no_budget_is_no_retry() -> None:
    budget = RetryBudget(Retries(ratio=0, per_second=0), Clock())
    budget.request()
    assert not budget.take()


def test_the_pause_is_random_and_its_bound_doubles_up_to_the_longest() -> None:
    settings = Retries(backoff=0.1, most_backoff=0.3)
    for number, bound in ((1, 0.1), (2, 0.2), (3, 0.3), (4, 0.3)):
        pauses = [backoff(settings, number) for _ in range(400)]
        assert 0 <= min(pauses) < bound * 0.2
        assert bound * 0.8 < max(pauses) <= bound


def test_the_longest_time_told_counts() -> None:
    clock = Clock()
    cooldown = Cooldown(clock)
    assert (cooldown.over, cooldown.wait_seconds) == (True, 0)
    cooldown.rest(60)
    cooldown.rest(0.7)
    clock.now += 59
    assert not cooldown.over
    assert cooldown.wait_seconds == pytest.approx(1)
    clock.now += 1
    assert cooldown.over


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([(b"retry-after", b"7")], 7),
        ([(b"retry-after", b"0.5"), (b"retry-after-ms", b"1500")], 1.5),
        ([(b"retry-after", formatdate(time() - 60, usegmt=True).encode())], 0),
        ([(b"retry-after", b"soon")], None),
        ([(b"retry-after", b"-3")], None),
        ([(b"retry-after", b"\xff")], None),
        ([(b"retry-after-ms", b"9" * 400)], None),
        ([(b"content-type", b"7")], None),
    ],
)
def test_how_long_an_answer_asks_to_be_left_alone(headers: list[Header], seconds: float | None) -> None:
    assert told_seconds(headers) == seconds


def test_it_may_ask_with_a_date() -> None:
    told = told_seconds([(b"retry-after", formatdate(time() + 100, usegmt=True).encode())])
    assert told is not None
    assert 95 < told <= 100
