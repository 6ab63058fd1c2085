"""Who is left out, on a clock that the test moves."""

from typing import Any

import pytest

from slipway_router.outliers import Outliers
from slipway_router.replica_settings import OutlierSettings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def peers(names: str, clock: Clock, **settings: Any) -> Outliers:
    made = Outliers(OutlierSettings(**settings), clock)
    for name in names:
        made.join(name)
        made.succeeded(name, 0.1)
    return made


def out(outliers: Outliers, names: str) -> str:
    return "".join(n for n in names if outliers.ejected_seconds(n))


def test_failures_in_a_row_eject_and_a_success_between_them_does_not() -> None:
    outliers = peers("abc", Clock())
    for _ in range(4):
        assert outliers.failed("a") is None
    outliers.succeeded("a", 0.1)
    for _ in range(4):
        assert outliers.failed("a") is None
    assert out(outliers, "abc") == ""
    assert outliers.failed("a") == "a is left out for 30 s: 5 failures in a row"
    assert out(outliers, "abc") == "a"


def test_it_comes_back_is_left_out_for_longer_each_time_and_forgiven_by_intervals() -> None:
    clock = Clock()
    outliers = peers("abc", clock, consecutive_failures=1, most_ejection_seconds=70)
    for seconds in (30, 60, 70, 70):
        assert not outliers.ejecting
        outliers.failed("a")
        assert outliers.ejected_seconds("a") == seconds
        assert outliers.ejecting
        clock.now += seconds
        assert outliers.ejected_seconds("a") == 0
    for _ in range(4):
        clock.now += 10
        outliers.succeeded("b", 0.1)
    outliers.failed("a")
    assert outliers.ejected_seconds("a") == 30


@pytest.mark.parametrize(
    ("names", "share", "ejected"),
    [
        ("abcdef", 0.34, 2),
        ("abcd", 0.34, 1),
        ("ab", 0.1, 1),
        ("a", 1.0, 0),
        ("abcd", 1.0, 3),
        ("abcd", 0.0, 0),
    ],
)
def test_never_more_than_a_share_and_never_all(names: str, share: float, ejected: int) -> None:
    outliers = peers(names, Clock(), consecutive_failures=1, most_ejected=share)
    for name in names:
        outliers.failed(name)
    assert len(out(outliers, names)) == ejected


def interval(outliers: Outliers, clock: Clock, **failures: tuple[int, int, float]) -> str | None:
    """For each peer how many of how many outcomes fail, and the seconds of the others; then the interval ends."""
    for name, (failing, of, seconds) in failures.items():
        for n in range(of):
            # spread out, so that they are not in a row
            if failing and n % (of // failing) == 0:
                outliers.failed(name)
            else:
                outliers.succeeded(name, seconds)
    clock.now += 10
    return outliers.succeeded(next(iter(failures)), None)


def test_one_that_fails_more_than_the_others_is_ejected_and_all_that_fail_alike_are_not() -> None:
    clock = Clock()
    outliers = peers("abc", clock)
    assert interval(outliers, clock, a=(10, 20, 0.1), b=(10, 20, 0.1), c=(10, 20, 0.1)) is None
    said = interval(outliers, clock, a=(10, 20, 0.1), b=(1, 20, 0.1), c=(0, 20, 0.1))
    assert said is not None
    assert said.startswith("a is left out for 30 s: ")
    assert "of the others'" in said
    assert out(outliers, "abc") == "a"


def test_too_few_outcomes_say_nothing() -> None:
    clock = Clock()
    outliers = peers("abc", clock)
    assert interval(outliers, clock, a=(3, 6, 0.1), b=(0, 20, 0.1), c=(0, 20, 0.1)) is None
    assert interval(outliers, clock, a=(10, 20, 0.1), b=(0, 5, 0.1), c=(0, 5, 0.1)) is None


def test_one_that_is_many_times_slower_is_ejected_unless_all_are_fast() -> None:
    clock = Clock()
    outliers = peers("abc", clock)
    assert interval(outliers, clock, a=(0, 20, 0.09), b=(0, 20, 0.01), c=(0, 20, 0.01)) is None
    assert interval(outliers, clock, a=(0, 20, 0.9), b=(0, 20, 0.2), c=(0, 20, 0.2)) is None
    said = interval(outliers, clock, a=(0, 20, 2.0), b=(0, 20, 0.2), c=(0, 20, 0.3))
    assert said is not None
    assert "its first bytes took" in said
    assert out(outliers, "abc") == "a"


def test_who_is_gone_or_comes_back_has_no_past() -> None:
    outliers = peers("ab", Clock(), consecutive_failures=2)
    outliers.failed("a")
    outliers.leave("a")
    assert outliers.failed("a") is None
    assert outliers.succeeded("a", 0.1) is None
    assert outliers.ejected_seconds("a") == 0
    outliers.join("a")
    outliers.failed("a")
    assert out(outliers, "ab") == ""
