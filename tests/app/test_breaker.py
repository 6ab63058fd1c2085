"""The circuit breaker, with a clock of the test's own."""

import pytest

from slipway_router.breaker import ORDINARY, REFUSED, Breaker
from slipway_router.steadiness import BreakerSettings


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr("slipway_router.breaker.JITTER", 0.0)
    return Clock()


def opened(clock: Clock, **settings: float) -> Breaker:
    breaker = Breaker(BreakerSettings.model_validate({"failures": 2, "window": 4, "open_seconds": 10, **settings}), clock)
    for _ in range(2):
        assert breaker.admit() == ORDINARY
        breaker.failed(ORDINARY)
    assert breaker.state == "open"
    return breaker


def test_failures_count_only_within_the_window(clock: Clock) -> None:
    breaker = Breaker(BreakerSettings(failures=2, window=3), clock)
    for _ in range(5):
        breaker.failed(ORDINARY)
        breaker.succeeded(ORDINARY)
        breaker.succeeded(ORDINARY)
        assert breaker.state == "closed"
    breaker.failed(ORDINARY)
    breaker.succeeded(ORDINARY)
    breaker.failed(ORDINARY)
    assert breaker.state == "open"


def test_open_it_refuses_until_its_time_is_over_and_then_lets_one_through(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 9.9
    assert (breaker.admit(), breaker.willing) == (REFUSED, False)
    assert breaker.wait_seconds == pytest.approx(0.1)
    clock.now += 0.1
    assert breaker.willing
    trial = breaker.admit()
    assert trial > ORDINARY
    assert (breaker.state, breaker.admit(), breaker.admit(early=True), breaker.willing) == ("half_open", REFUSED, REFUSED, False)
    breaker.succeeded(trial)
    assert (breaker.state, breaker.admit()) == ("closed", ORDINARY)
    breaker.failed(ORDINARY)
    assert breaker.state == "closed"


def test_each_trial_that_fails_doubles_the_open_time_up_to_the_longest(clock: Clock) -> None:
    breaker = opened(clock, most_open_seconds=25)
    for seconds in (20, 25, 25):
        clock.now += breaker.wait_seconds
        breaker.failed(breaker.admit())
        assert breaker.state == "open"
        assert breaker.wait_seconds == pytest.approx(seconds)
    clock.now += 25
    breaker.succeeded(breaker.admit())
    breaker.failed(ORDINARY)
    breaker.failed(ORDINARY)
    assert breaker.wait_seconds == pytest.approx(10)


def test_what_began_before_it_opened_decides_nothing(clock: Clock) -> None:
    breaker = opened(clock)
    breaker.succeeded(ORDINARY)
    breaker.failed(ORDINARY)
    assert breaker.wait_seconds == pytest.approx(10)
    clock.now += 10
    trial = breaker.admit()
    breaker.failed(ORDINARY)
    breaker.succeeded(ORDINARY)
    breaker.leave(ORDINARY)
    assert (breaker.state, breaker.admit()) == ("half_open", REFUSED)
    breaker.succeeded(trial)
    assert breaker.state == "closed"


def test_a_trial_without_an_outcome_leaves_the_next_request_to_try(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 10
    first = breaker.admit()
    breaker.leave(first)
    second = breaker.admit()
    assert second not in (REFUSED, first)
    breaker.leave(first)
    assert breaker.admit() == REFUSED


def test_a_trial_that_was_decided_does_not_free_another_when_its_stream_ends(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 10
    first = breaker.admit()
    breaker.succeeded(first)
    breaker.failed(ORDINARY)
    breaker.failed(ORDINARY)
    clock.now += 10
    assert breaker.admit() > ORDINARY
    breaker.leave(first)
    assert breaker.admit() == REFUSED


def test_early_when_nothing_else_is_left_or_the_backend_is_reached_again(clock: Clock) -> None:
    breaker = opened(clock)
    assert breaker.admit(early=True) > ORDINARY
    breaker = opened(clock)
    breaker.hurry()
    assert breaker.willing


def test_replicas_do_not_try_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = {round(opened(Clock()).wait_seconds, 6) for _ in range(20)}
    assert len(waits) > 10
    assert min(waits) >= 8
    assert max(waits) <= 12


@pytest.mark.parametrize(("field", "value", "said"), [("window", 4, "among 4 outcomes"), ("most_open_seconds", 1, "raise that")])
def test_settings_that_contradict_each_other_are_refused(field: str, value: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BreakerSettings.model_validate({field: value})
