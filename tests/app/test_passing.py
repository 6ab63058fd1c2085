"""Streams are passed on in whole events, whatever ends a line."""

import pytest

from slipway_router.passing import EVENT_BYTES, NOT_PASSED_ON, NOT_PASSED_ON_TO_TENANTS, whole_events


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_the_cut_is_behind_the_last_whole_event(end: bytes) -> None:
    assert whole_events(b"data: a" + end + b"data: b" + end + b"data: c") == (b"data: a" + end + b"data: b" + end, b"data: c")
    assert whole_events(b"data: a" + end) == (b"data: a" + end, b"")
    assert whole_events(b"data: a") == (b"", b"data: a")


def test_an_event_without_an_end_is_passed_on_once_it_is_too_large() -> None:
    assert whole_events(b"a" * EVENT_BYTES) == (b"", b"a" * EVENT_BYTES)
    assert whole_events(b"a" * (EVENT_BYTES + 1)) == (b"a" * (EVENT_BYTES + 1), b"")


def test_a_tenant_is_told_of_its_own_limits_and_not_of_the_backends() -> None:
    assert {h.decode() for h in NOT_PASSED_ON_TO_TENANTS - NOT_PASSED_ON} == {
        f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")
    }
