"""What is known of one replica, on a clock that the test moves."""

import pytest

from slipway_router.replica import ASSUMED_SECONDS_PER_TOKEN, LEAST_MEASURED_TOKENS
from slipway_router.replicas import Assignment, Replicas


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def alone(clock: Clock, capacity: int = 100, seconds_per_token: float | None = 0.001) -> Replicas:
    replicas = Replicas(100, seconds_per_token=seconds_per_token, clock=clock)
    replicas.join("a", capacity)
    return replicas


def send(replicas: Replicas, blocks: list[int], tokens: int | None = None) -> Assignment:
    assignment = replicas.choose(blocks, len(blocks) * 100 if tokens is None else tokens)
    assert assignment is not None
    return assignment


def test_the_queue_is_the_pending_tokens_less_what_the_head_has_had() -> None:
    clock = Clock()
    replicas = alone(clock)
    first = send(replicas, [1, 2, 3, 4])
    assert (first.wait_seconds, first.computed_tokens) == (0, 400)
    clock.now = 0.1
    second = send(replicas, [5, 6])
    assert second.wait_seconds == pytest.approx(0.3)
    clock.now = 0.5
    first.first_token()
    clock.now = 0.55
    assert send(replicas, [7]).wait_seconds == pytest.approx(0.15)


def test_a_replica_that_is_stuck_never_looks_free() -> None:
    clock = Clock()
    replicas = alone(clock)
    send(replicas, [1, 2])
    send(replicas, [3])
    clock.now = 1000.0
    assert send(replicas, [4]).wait_seconds == pytest.approx(0.1)


@pytest.mark.parametrize("whole", [True, False], ids=["not streamed", "streamed"])
def test_the_queue_is_empty_when_all_are_computed(whole: bool) -> None:
    clock = Clock()
    replicas = alone(clock)
    for assignment in [send(replicas, [n]) for n in range(5)]:
        assignment.end() if whole else assignment.first_token()
    assert send(replicas, [9]).wait_seconds == 0


def test_only_what_is_not_cached_is_to_be_computed() -> None:
    replicas = alone(Clock())
    send(replicas, [1, 2, 3])
    assert send(replicas, [1, 2, 9], 290).computed_tokens == 90
    assert send(replicas, [1, 2, 9], 290).computed_tokens == 0
    assert send(replicas, [8, 2, 9]).computed_tokens == 300


def test_the_least_recently_used_goes_first_and_of_one_prompt_its_end() -> None:
    clock = Clock()
    replicas = alone(clock, capacity=4)
    for clock.now, blocks in enumerate([[1, 2, 3], [10], [1], [11]]):
        send(replicas, blocks).end()
    # 3 made room for 11: the prompt's beginning was used last, and its second block came before its third.
    assert replicas.blocks == 4
    assert send(replicas, [1, 2, 3]).computed_tokens == 100


def test_what_is_used_again_stays_longer() -> None:
    replicas = alone(Clock(), capacity=4)
    for blocks in ([1, 2], [10], [1], [11], [12], [13]):
        send(replicas, blocks).end()
    assert send(replicas, [1, 2]).computed_tokens == 100


def test_a_prompt_larger_than_the_cache_leaves_its_beginning() -> None:
    replicas = alone(Clock(), capacity=3)
    send(replicas, [1, 2, 3, 4, 5])
    assert replicas.blocks == 3
    assert send(replicas, [1, 2, 3, 4, 5]).computed_tokens == 200


def test_the_speed_is_measured_by_first_tokens() -> None:
    clock = Clock()
    replicas = alone(clock, seconds_per_token=None)
    assert send(replicas, [1]).wait_seconds == 0
    assert send(replicas, [2]).wait_seconds == pytest.approx(100 * ASSUMED_SECONDS_PER_TOKEN)
    replicas.join("a", 100)
    for n in range(100):
        assignment = send(replicas, list(range(n * 10, n * 10 + 10)))
        clock.now += 0.5
        assignment.first_token()
        clock.now += 30
        assignment.end()
    send(replicas, [5000, 5001])
    assert send(replicas, [6000]).wait_seconds == pytest.approx(200 * 0.0005, rel=0.05)


def test_a_prompt_computed_in_no_time_or_answered_whole_is_no_measure() -> None:
    clock = Clock()
    replicas = alone(clock, seconds_per_token=None)
    for n in range(50):
        short = send(replicas, [n], LEAST_MEASURED_TOKENS - 1)
        clock.now += 5
        short.first_token()
        whole = send(replicas, [n, n + 1000], 1000)
        clock.now += 5
        whole.end()
    send(replicas, [8, 9001], 1100)
    assert send(replicas, [9000]).wait_seconds == pytest.approx(1000 * ASSUMED_SECONDS_PER_TOKEN)


def test_a_failure_before_the_first_token_leaves_nothing_cached_that_was_not_before() -> None:
    replicas = alone(Clock())
    send(replicas, [1, 2]).end()
    send(replicas, [1, 2, 3, 4]).end(failed=True)
    assert replicas.blocks == 2
    broken_off = send(replicas, [1, 2, 3, 4])
    broken_off.first_token()
    broken_off.end(failed=True)
    assert replicas.blocks == 4


def test_what_ends_after_a_restart_or_twice_has_no_effect() -> None:
    clock = Clock()
    replicas = alone(clock)
    old = send(replicas, [1, 2, 3])
    replicas.join("a", 100)
    assert replicas.blocks == 0
    new = send(replicas, [1, 2, 3])
    assert new.computed_tokens == 300
    old.first_token()
    old.end(failed=True)
    old.end(failed=True)
    assert send(replicas, [1, 2, 3]).wait_seconds == pytest.approx(0.3)
    new.end()
    new.end()
    assert replicas.blocks == 3
