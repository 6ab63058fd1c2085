"""Counters and histograms: what they tell Prometheus is what `prometheus_client`'s own would."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    enable_created_metrics,
    generate_latest,
)

from slipway_router.counting import Counters, Histograms


def test_the_text_is_that_of_the_librarys_own() -> None:
    mine, theirs = CollectorRegistry(), CollectorRegistry()
    counters, histograms = Counters("c", "Counted.", ["a", "b"], mine), Histograms("h", "Timed.", ["a"], [0.1, 1, 10], mine)
    disable_created_metrics()
    try:
        counter = Counter("c", "Counted.", ["a", "b"], registry=theirs)
        histogram = Histogram("h", "Timed.", ["a"], registry=theirs, buckets=[0.1, 1, 10])
        assert generate_latest(mine) == generate_latest(theirs)
        for kind in (counters, counter):
            kind.labels("x", "y").inc()
            kind.labels("x", "y").inc(41)
            kind.labels('"', "z").inc()
        for kind in (histograms, histogram):
            for seconds in (0, 0.1, 0.100001, 1, 5, 11, 5000):
                kind.labels("x").observe(seconds)
            kind.labels("none yet")
        text = generate_latest(mine)
        assert text == generate_latest(theirs)
    finally:
        enable_created_metrics()
    assert b'c_total{a="x",b="y"} 42.0' in text
    assert b'h_bucket{a="x",le="0.1"} 2.0' in text
