"""What is told of a load."""

import pytest

from slipway_router.bench.asking import Outcome
from slipway_router.bench.load import Measured
from slipway_router.bench.report import shown, summary

GOOD = [Outcome(0.002 * i, 0.001 * i, 0.002 * i, 11) for i in range(1, 101)]
BAD = [Outcome(9.0, cause="status 500", detail="first"), Outcome(9.0, 0.5, 0.6, 3, "reset", "cut"), Outcome(9.0, cause="reset")]


def test_failures_are_counted_by_cause_and_kept_out_of_everything_else() -> None:
    told = summary(Measured([*GOOD, *BAD], 4.0, 0.25), model="m")
    assert (told["model"], told["requests"], told["failures"], told["seconds"]) == ("m", 103, 3, 4.0)
    assert (told["requests_per_second"], told["output_tokens"], told["output_tokens_per_second"]) == (25.0, 1100, 275.0)
    assert told["time_to_first_token_ms"] == {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0}
    assert told["time_per_output_token_ms"] == {"p50": 5.0, "p90": 9.0, "p95": 9.5, "p99": 9.9}
    assert told["total_ms"] == {"p50": 100.0, "p90": 180.0, "p95": 190.0, "p99": 198.0}
    assert told["causes"] == [
        {"cause": "reset", "count": 2, "example": "cut"},
        {"cause": "status 500", "count": 1, "example": "first"},
    ]


def test_when_nothing_succeeds_there_are_no_percentiles() -> None:
    told = summary(Measured(BAD, 1.0))
    assert told["total_ms"] is told["time_to_first_token_ms"] is told["time_per_output_token_ms"] is None
    assert [line.split()[-4:] for line in shown(told).splitlines() if " ms " in line] == [["-"] * 4] * 3


def test_the_table_tells_rates_times_and_causes() -> None:
    lines = shown(summary(Measured([*GOOD, *BAD], 4.0, 0.25, given_up=2))).splitlines()
    assert lines[0] == "103 requests in 4.0 s, 3 failures, 2 given up"
    assert lines[1] == "25.0 requests/s, 275.0 output tokens/s"
    rows = [" ".join(line.split()) for line in lines]
    assert "time to first token, ms 50.00 90.00 95.00 99.00" in rows
    assert "2 reset cut" in rows
    assert not any("itself computed" in line for line in lines)


@pytest.mark.parametrize(("share", "told"), [(0.79, False), (0.8, True)])
def test_a_load_generator_that_was_too_busy_says_so(share: float, told: bool) -> None:
    assert ("itself computed for 80% of the time" in shown(summary(Measured(GOOD, 4.0, share)))) is told


def test_that_it_was_busy_says_nothing_where_nothing_was_answered() -> None:
    assert "itself computed" not in shown(summary(Measured(BAD, 0.01, 0.99)))
