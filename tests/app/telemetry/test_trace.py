"""Trace context as W3C's recommendation has it."""

import random

import pytest

from slipway_router.telemetry.trace import MOST_STATE, Sampler, new_span_id

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ALL, NONE = Sampler(1.0, follow_parent=True), Sampler(0.0, follow_parent=True)


def headers(parent: str, state: str = "") -> dict[bytes, bytes]:
    return {b"traceparent": parent.encode()} | ({b"tracestate": state.encode()} if state else {})


@pytest.mark.parametrize(("flags", "sampled"), [("01", True), ("00", False), ("03", True), ("02", False)])
def test_a_clients_trace_goes_on_and_its_flag_decides(flags: str, *, sampled: bool) -> None:
    for sampler in (ALL, NONE):
        trace = sampler.begin(headers(f"00-{TRACE}-{SPAN}-{flags}", "a=1,b=2"))
        assert (trace.trace_id.decode(), (trace.parent_id or b"").decode(), trace.sampled) == (TRACE, SPAN, sampled)
        assert trace.span_id.decode() != SPAN
        told = trace.lines(b"00000000000000aa")
        assert told == b"traceparent: 00-%b-00000000000000aa-%b\r\ntracestate: a=1,b=2\r\n" % (
            TRACE.encode(),
            b"01" if sampled else b"00",
        )


def test_where_clients_are_not_trusted_the_share_decides() -> None:
    assert not Sampler(0.0, follow_parent=False).begin(headers(f"00-{TRACE}-{SPAN}-01")).sampled
    assert Sampler(1.0, follow_parent=False).begin(headers(f"00-{TRACE}-{SPAN}-00")).sampled


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "x",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01\r\nx: y",
    ],
)
def test_what_is_malformed_counts_as_absent(parent: str) -> None:
    trace = ALL.begin(headers(parent, "a=1"))
    assert trace.parent_id is None
    assert trace.trace_id.decode() != TRACE
    assert len(trace.trace_id) == 32
    assert b"tracestate" not in trace.lines(trace.span_id)


def test_a_later_version_may_have_more_fields() -> None:
    assert ALL.begin(headers(f"cc-{TRACE}-{SPAN}-01-what-the-future-holds")).trace_id.decode() == TRACE


def test_a_long_state_is_dropped() -> None:
    parent = f"00-{TRACE}-{SPAN}-01"
    assert b"tracestate" in ALL.begin(headers(parent, "a" * MOST_STATE)).lines(b"1")
    assert b"tracestate" not in ALL.begin(headers(parent, "a" * (MOST_STATE + 1))).lines(b"1")


def test_the_share_is_that_of_the_requests_nobody_else_decides_on() -> None:
    sampler = Sampler(0.25, follow_parent=True, draw=random.Random(7))
    assert 2300 < sum(sampler.begin({}).sampled for _ in range(10_000)) < 2700


def test_a_child_is_below_the_requests_own_span() -> None:
    trace = ALL.begin(headers(f"00-{TRACE}-{SPAN}-01", "a=1"))
    child = trace.child()
    assert (child.trace_id, child.parent_id, child.sampled) == (trace.trace_id, trace.span_id, True)
    assert child.span_id != trace.span_id
    assert child.lines(b"1").endswith(b"tracestate: a=1\r\n")


def test_spans_differ() -> None:
    drawn = {new_span_id() for _ in range(2000)}
    assert len(drawn) == 2000
    assert {len(d) for d in drawn} == {16}
