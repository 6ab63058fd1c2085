"""Which replica is chosen, on a clock that the test moves. What an engine really caches is not proven here."""

import random
import tracemalloc
from collections import Counter
from collections.abc import Sequence

import pytest

from slipway_router.replica import MEASURED_SECONDS
from slipway_router.replica_choice import GUARD, STREAM_SHARE
from slipway_router.replicas import Assignment, Replicas, prefix_blocks

BLOCK = 100


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fleet(names: str, clock: Clock, capacity: int = 1000) -> Replicas:
    replicas = Replicas(BLOCK, seconds_per_token=0.001, clock=clock)
    for name in names:
        replicas.join(name, capacity)
    return replicas


def send(replicas: Replicas, blocks: Sequence[int], tokens: int | None = None, among: str | None = None) -> Assignment:
    assignment = replicas.choose(blocks, len(blocks) * BLOCK if tokens is None else tokens, among)
    assert assignment is not None
    return assignment


def done(assignment: Assignment) -> str:
    assignment.first_token()
    assignment.end()
    return assignment.replica


def test_equal_beginnings_have_equal_names_up_to_the_first_difference() -> None:
    one = prefix_blocks(b"system prompt, question one, more", 4)
    other = prefix_blocks(b"system prompt, question two, more", 4)
    assert len(one) == len(other) == 8
    assert [a == b for a, b in zip(one, other, strict=True)] == [True] * 6 + [False] * 2
    assert len(set(one)) == 8


def test_only_full_blocks_have_names_and_equal_texts_further_on_are_not_equal() -> None:
    assert prefix_blocks(b"abc", 4) == []
    assert len(prefix_blocks(b"abcdefg", 4)) == 1
    assert len(set(prefix_blocks(b"abcdabcdabcd", 4))) == 3


def test_a_salt_keeps_equal_prompts_apart() -> None:
    assert not set(prefix_blocks(b"abcdefgh", 4, "llama")) & set(prefix_blocks(b"abcdefgh", 4, "qwen"))


def test_an_idle_fleet_is_asked_in_turn() -> None:
    replicas = fleet("abc", Clock())
    assert Counter(done(send(replicas, [n])) for n in range(9)) == {"a": 3, "b": 3, "c": 3}


def test_a_prefix_is_sent_where_it_is_cached() -> None:
    replicas = fleet("abc", Clock())
    homes = {n: done(send(replicas, range(n * 100, n * 100 + 10))) for n in range(9)}
    for n, home in homes.items():
        assert done(send(replicas, [*range(n * 100, n * 100 + 10), 9000 + n])) == home


def test_it_is_computed_anew_once_waiting_takes_longer() -> None:
    clock = Clock()
    replicas = fleet("ab", clock)
    home = done(send(replicas, [1, 2, 3, 4]))
    prompt = [1, 2, 3, 4, 5]
    send(replicas, [*range(100, 103)], among=home)
    assert send(replicas, prompt).replica == home
    replicas = fleet("ab", clock)
    home = done(send(replicas, [1, 2, 3, 4]))
    send(replicas, [*range(100, 106)], among=home)
    assert send(replicas, prompt).replica != home


def test_replicas_that_are_about_equally_fast_are_asked_in_turn() -> None:
    clock = Clock()
    replicas = Replicas(BLOCK, clock=clock)
    for name in "abcd":
        replicas.join(name, 10_000)
    chosen = Counter[str]()
    for n in range(200):
        assignment = send(replicas, range(n * 100, n * 100 + 10))
        clock.now += {"a": 0.051, "b": 0.05, "c": 0.052, "d": 0.049}[assignment.replica]
        chosen[done(assignment)] += 1
    assert chosen == {"a": 50, "b": 50, "c": 50, "d": 50}


def test_a_slower_replica_gets_less() -> None:
    clock = Clock()
    replicas = Replicas(BLOCK, clock=clock)
    replicas.join("slow", 10_000)
    replicas.join("quick", 10_000)
    for n in range(200):
        for name, seconds in (("slow", 0.4), ("quick", 0.1)):
            assignment = send(replicas, range(n * 100, n * 100 + 10), among=name)
            clock.now += seconds
            done(assignment)
    chosen = Counter(send(replicas, range(10**6 + n * 100, 10**6 + n * 100 + 10)).replica for n in range(50))
    assert chosen["quick"] == pytest.approx(40, abs=2)
    # What was measured too long ago counts no more.
    clock.now += MEASURED_SECONDS + 1
    chosen = Counter(send(replicas, range(10**7 + n * 100, 10**7 + n * 100 + 10)).replica for n in range(100))
    assert chosen["slow"] + 10 == pytest.approx(chosen["quick"] + 40, abs=4)


def test_a_replica_measured_again_after_a_while_is_what_it_is_now() -> None:
    clock = Clock()
    replicas = Replicas(BLOCK, clock=clock)
    replicas.join("a", 10_000)
    replicas.join("b", 10_000)
    for after, seconds in ((0.0, 0.4), (MEASURED_SECONDS + 1, 0.1)):
        clock.now += after
        for n in range(40):
            for name, took in (("a", seconds), ("b", 0.4)):
                assignment = send(replicas, range(n * 10, n * 10 + 10), 2000, among=name)
                clock.now += took * assignment.computed_tokens / 1000
                done(assignment)
    send(replicas, [], 1000, among="a")
    assert send(replicas, [], 1000, among="a").wait_seconds == pytest.approx(0.1, rel=0.05)


def test_streams_that_share_a_system_prompt_spread_over_all_replicas() -> None:
    clock = Clock()
    replicas = fleet("abcd", clock)
    under_way = Counter[str]()
    for n in range(400):
        clock.now += 1
        assignment = send(replicas, [*range(10), 1000 + n])
        clock.now += 0.1
        assignment.first_token()
        under_way[assignment.replica] += 1
    # One that has STREAM_SHARE x tokens under way more than another costs more than the shared prefix saves.
    counts = [under_way[name] for name in "abcd"]
    assert max(counts) - min(counts) <= 1 / STREAM_SHARE + 1


def test_prompts_that_share_a_system_prompt_and_come_at_once_spread_over_all_replicas() -> None:
    replicas = fleet("abcd", Clock())
    queued = Counter(send(replicas, [*range(10), *range(1000 + n * 10, 1010 + n * 10)]).replica for n in range(40))
    assert max(queued.values()) <= 12


def test_tokens_are_released_at_the_end_and_not_at_the_first_token() -> None:
    clock = Clock()
    replicas = fleet("ab", clock)
    long = send(replicas, range(100), among="a")
    long.first_token()
    assert {done(send(replicas, [1000 + n])) for n in range(4)} == {"b"}
    for _ in range(3):
        long.end()
    assert Counter(done(send(replicas, [2000 + n])) for n in range(4)) == {"a": 2, "b": 2}


def test_no_copy_pushes_other_blocks_out_for_a_short_wait() -> None:
    clock = Clock()
    prompt = [1, 2, 3, 4, 5]
    for full, elsewhere in ((False, True), (True, False)):
        replicas = fleet("ab", clock, capacity=20)
        done(send(replicas, [1, 2, 3, 4], among="a"))
        if full:
            done(send(replicas, range(50, 66), among="a"))
            done(send(replicas, range(30, 50), among="b"))
        # 0.6 s of waiting against 0.4 s of computing anew.
        send(replicas, [], 600, among="a")
        assert (send(replicas, prompt).replica == "b") is elsewhere


def test_room_is_made_where_blocks_have_been_idle_longest() -> None:
    clock = Clock()
    replicas = fleet("ab", clock, capacity=10)
    done(send(replicas, range(10), among="a"))
    clock.now = 50
    done(send(replicas, range(100, 110), among="b"))
    clock.now = 100
    assert done(send(replicas, range(200, 205), among=None)) == "a"
    clock.now = 101
    # What is left of a's first prompt is still the oldest.
    assert done(send(replicas, range(300, 305))) == "a"
    assert done(send(replicas, range(400, 405))) == "b"


def test_room_that_is_free_is_taken_first() -> None:
    clock = Clock()
    replicas = fleet("ab", clock, capacity=10)
    done(send(replicas, range(10), among="a"))
    clock.now = 1000
    done(send(replicas, range(100, 105), among="b"))
    assert done(send(replicas, range(200, 205))) == "b"


def test_old_blocks_do_not_keep_a_prompt_waiting_beyond_the_guard() -> None:
    clock = Clock()
    replicas = fleet("ab", clock, capacity=10)
    done(send(replicas, range(10), among="a"))
    clock.now = 990
    done(send(replicas, range(100, 110), among="b"))
    clock.now = 1000
    prompt = range(200, 205)
    own = 5 * BLOCK * 0.001
    queued = send(replicas, [], round((GUARD * own - 0.1) / 0.001), among="a")
    following = send(replicas, prompt)
    assert (following.replica, following.wait_seconds) == ("a", queued.computed_tokens * 0.001)
    # Now the first queue is beyond it.
    assert send(replicas, range(300, 305)).replica == "b"


def test_only_those_that_may_be_asked_are() -> None:
    replicas = fleet("abc", Clock())
    home = done(send(replicas, range(10)))
    others = "abc".replace(home, "")
    assert send(replicas, range(10), among=others).replica in others
    assert replicas.choose(range(10), 1000, among=()) is None
    assert Replicas(BLOCK).choose([1], BLOCK) is None


def test_replicas_come_and_go() -> None:
    replicas = fleet("ab", Clock())
    done(send(replicas, range(10), among="a"))
    done(send(replicas, range(20), among="b"))
    replicas.leave("a")
    replicas.leave("nobody")
    assert (len(replicas), replicas.blocks) == (1, 20)
    replicas.join("c", 100)
    assert send(replicas, range(20), among="c").computed_tokens == 2000
    assert send(replicas, range(20), among="b").computed_tokens == 0
    replicas.leave("b")
    replicas.leave("c")
    assert (len(replicas), replicas.blocks) == (0, 0)


def test_what_is_found_is_what_each_replica_was_sent() -> None:
    """Against a plain search in a list per replica, over random prompts, without eviction."""
    chance = random.Random(7)
    replicas = fleet("abcdefghi", Clock(), capacity=100_000)
    sent: dict[str, set[tuple[int, ...]]] = {n: set() for n in "abcdefghi"}
    for _ in range(300):
        prompt: list[int] = []
        name = 0
        for _ in range(chance.randrange(12)):
            name = name * 3 + chance.randrange(3) + 1
            prompt.append(name)
        replica = chance.choice("abcdefghi")
        known = max(n for n in range(len(prompt) + 1) if n == 0 or any(s[:n] == tuple(prompt[:n]) for s in sent[replica]))
        assert send(replicas, prompt, among=replica).computed_tokens == (len(prompt) - known) * BLOCK
        sent[replica].add(tuple(prompt))


def test_memory_is_bounded_by_the_capacities() -> None:
    clock = Clock()
    replicas = fleet("abcd", clock, capacity=500)

    def traffic(first: int) -> None:
        for n in range(first, first + 2000):
            clock.now += 1
            done(send(replicas, range(n * 100, n * 100 + 20)))

    traffic(0)
    tracemalloc.start()
    try:
        traffic(2000)
        before = tracemalloc.get_traced_memory()[0]
        traffic(4000)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert replicas.blocks <= 4 * 500
    assert grown < 50_000


def test_restarts_leave_nothing_behind() -> None:
    replicas = fleet("ab", Clock())
    for _ in range(3000):
        send(replicas, [1, 2, 3], among="a")
        replicas.join("a", 10)
    tracemalloc.start()
    try:
        send(replicas, [1, 2, 3])
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 20_000


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: prefix_blocks(b"", 0), "block_bytes is 0"),
        (lambda: Replicas(0), "block_tokens is 0; give more than 0"),
        (lambda: Replicas(1, seconds_per_token=-1), "seconds_per_token is -1"),
        (lambda: Replicas(1).join("a", 0), "capacity_blocks is 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(wrong: object, said: str) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match=said):
        wrong()


def test_a_prompt_whose_first_token_nobody_tells_is_taken_to_be_computed_when_its_time_is_over() -> None:
    clock = Clock()
    replicas = fleet("a", clock)
    for n in range(3):
        assert replicas.choose([n], 1000, observed=False) is not None
    (seen,) = replicas.weigh([], 0)
    assert seen.wait_seconds == pytest.approx(3.0)
    clock.now = 1.5
    (seen,) = replicas.weigh([], 0)
    assert seen.wait_seconds == pytest.approx(1.5)
    clock.now = 3.0
    (seen,) = replicas.weigh([], 0)
    assert seen.wait_seconds == 0
    assert seen.held_tokens == replicas.held("a") == 3000


def test_nobody_who_may_be_chosen_costs_less_than_the_one_that_is() -> None:
    """The choice passes over replicas that cannot be the cheapest; what is weighed is worked out for all of them."""
    clock = Clock()
    replicas = Replicas(BLOCK, clock=clock)
    for name in "abcdefgh":
        replicas.join(name, 60)
    rng = random.Random(2)
    under_way: list[tuple[float, Assignment]] = []
    chosen_of: Counter[tuple[bool, bool]] = Counter()
    for n in range(2000):
        start = rng.randrange(12) * 100
        shared = rng.randrange(1, 20)
        blocks = [*range(start, start + shared), *range(10_000 + 20 * n, 10_000 + 20 * n + rng.randrange(12))]
        weighed = replicas.weigh(blocks, len(blocks) * BLOCK)
        costs = [w.cost_seconds for w in weighed if w.cost_seconds is not None]
        assert weighed[0].cost_seconds == min(costs)
        chosen_of[weighed[0].missing_tokens == len(blocks) * BLOCK, weighed[0].wait_seconds > 0] += 1
        assignment = send(replicas, blocks)
        assert assignment.replica == weighed[0].name
        slow = 3 if assignment.replica in "ab" else 1
        under_way.append((clock.now + assignment.wait_seconds + slow * assignment.computed_tokens / 5000, assignment))
        clock.now += rng.expovariate(4)
        for until, open_ in [u for u in under_way if u[0] <= clock.now]:
            done(open_)
            under_way.remove((until, open_))
    assert len(chosen_of) == 4  # with and without a part of the prompt, with and without work


def test_what_is_weighed_is_what_is_chosen() -> None:
    clock = Clock()
    replicas = fleet("abc", clock)
    rng = random.Random(1)
    for n in range(200):
        start = rng.randrange(5) * 100
        blocks = [*range(start, start + rng.randrange(1, 20)), 10_000 + n]
        weighed = replicas.weigh(blocks, len(blocks) * BLOCK)
        assert [w.chosen for w in weighed] == [True, False, False]
        assignment = send(replicas, blocks)
        assert assignment.replica == weighed[0].name
        assert assignment.computed_tokens == weighed[0].missing_tokens
        clock.now += rng.random()
        if rng.random() < 0.7:
            done(assignment)
    assert replicas.weigh([1], BLOCK, among=()) == []
    assert replicas.held("z") == 0
