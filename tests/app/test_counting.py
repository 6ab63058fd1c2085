"""Counters, histograms and gauges: the text is what `prometheus_client`'s own would be."""

from collections.abc import Iterator

import prometheus_client as library
import pytest
from prometheus_client import CollectorRegistry, disable_created_metrics, enable_created_metrics, generate_latest

from slipway_router.counting import Collected, Counters, Histograms, Reads, Registry, number
from slipway_router.metric_table import Metric

COUNTED = Metric("c_total", "counter", "", ("a", "b"), "Counted.")
TIMED = Metric("h", "histogram", "seconds", ("a",), "Timed.")
READ = Metric("g", "gauge", "", ("b", "a"), "Read.")


@pytest.fixture(autouse=True)
def without_created() -> Iterator[None]:
    disable_created_metrics()
    yield
    enable_created_metrics()


def test_the_text_is_that_of_the_librarys_own() -> None:
    mine, theirs = Registry(), CollectorRegistry()
    counters, histograms, gauges = Counters(COUNTED, mine), Histograms(TIMED, [0.1, 1, 10], mine), Reads(READ, mine)
    counter = library.Counter("c", "Counted.", ["a", "b"], registry=theirs)
    histogram = library.Histogram("h", "Timed.", ["a"], registry=theirs, buckets=[0.1, 1, 10])
    gauge = library.Gauge("g", "Read.", ["b", "a"], registry=theirs)
    assert mine.text() == generate_latest(theirs)
    for kind in (counters, counter):
        kind.labels("x", "y").inc()
        kind.labels("x", "y").inc(41)
        kind.labels('"\\\n', "z").inc(0.25)
    for kind in (histograms, histogram):
        for seconds in (0, 0.1, 0.100001, 1, 5, 11, 5000):
            kind.labels("x").observe(seconds)
        kind.labels("none yet")
    gauges.read(("2", "1"), lambda: -1.5)
    gauge.labels("2", "1").set(-1.5)
    text = mine.text()
    assert text == generate_latest(theirs)
    assert b'c_total{a="x",b="y"} 42.0' in text
    assert b'h_bucket{a="x",le="0.1"} 2.0' in text


def test_without_labels_there_are_no_braces() -> None:
    mine = Registry()
    Reads(Metric("g", "gauge", "", (), "G."), mine).read((), lambda: 3)
    assert mine.text() == b"# HELP g G.\n# TYPE g gauge\ng 3.0\n"


def test_what_is_collected_is_told_as_it_is_then() -> None:
    mine, told = Registry(), {("1", "2"): 3.0}
    Collected(READ, mine, lambda: told)
    told = {("4", "5"): 6.0}
    assert mine.text().decode().splitlines()[2:] == ['g{a="5",b="4"} 6.0']


def test_children_are_dropped_by_any_label() -> None:
    mine = Registry()
    counters, histograms, gauges = Counters(COUNTED, mine), Histograms(TIMED, [1], mine), Reads(READ, mine)
    for a in ("x", "y"):
        counters.labels(a, "b").inc()
        histograms.labels(a).observe(1)
        gauges.read(("b", a), lambda: 1)
    mine.drop("a", "x")
    assert b'"x"' not in mine.text()
    assert mine.text().count(b'"y"') == 1 + 4 + 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.0"), (1e300, "1e+300"), (float("nan"), "NaN"), (float("inf"), "+Inf"), (float("-inf"), "-Inf"), (True, "1.0")],
)
def test_numbers_are_written_as_go_reads_them(value: float, text: str) -> None:
    assert number(value) == text
