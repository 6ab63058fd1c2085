"""The last seconds of a pod, in figures."""

import pytest

from slipway.args import Faults
from slipway.kubernetes.drain import Drain


@pytest.mark.parametrize(("pre_stop", "stream", "grace"), [(10, 900, 925), (0, 30, 45), (300, 0.2, 316)])
def test_grace_is_more_than_the_wait_and_the_longest_stream(pre_stop: int, stream: float, grace: int) -> None:
    drain = Drain.of(pre_stop, stream, Faults("Thing"))
    assert drain.grace_seconds == grace
    assert drain.grace_seconds > drain.pre_stop_seconds + drain.stream_seconds >= pre_stop + stream


def test_no_wait_is_no_handler_since_older_clusters_refuse_a_sleep_of_0() -> None:
    assert Drain(0, 5).lifecycle() == {}
    assert Drain(10, 5).lifecycle() == {"pre_stop": {"sleep": {"seconds": 10}}}


@pytest.mark.parametrize("seconds", [-1, 301])
def test_a_wait_out_of_bounds_is_refused(seconds: int) -> None:
    faults = Faults("Thing")
    Drain.of(seconds, 5, faults)
    assert faults.at("pre_stop_seconds")
