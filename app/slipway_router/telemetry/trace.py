"""The trace that a request belongs to, as W3C's Trace Context has it: taken from the client or begun, and passed on."""

import os
import random
import re
from collections.abc import Mapping

_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE, _NO_SPAN = b"0" * 32, b"0" * 16
MOST_STATE = 512
"""Bytes of `tracestate` that are passed on at least (Trace Context, section 3.3.1.5); a longer one is dropped."""


class Trace:
    """Which trace a request is part of, and its own span in it."""

    __slots__ = ("_state", "parent_id", "sampled", "span_id", "trace_id")

    def __init__(self, trace_id: bytes, parent_id: bytes | None, span_id: bytes, sampled: bool, state: bytes = b"") -> None:
        """
        Args:
            trace_id: 32 hexadecimal digits.
            parent_id: The client's span, 16 digits; None where the trace begins here.
            span_id: The request's own, likewise.
            sampled: Whether its spans are told.
            state: The client's `tracestate`.
        """
        self.trace_id = trace_id
        self.parent_id = parent_id
        self.span_id = span_id
        self.sampled = sampled
        self._state = state

    def lines(self, span_id: bytes) -> bytes:
        """Header lines for a backend, which goes on from this span."""
        line = b"traceparent: 00-%b-%b-%b\r\n" % (self.trace_id, span_id, b"01" if self.sampled else b"00")
        return line + b"tracestate: %b\r\n" % self._state if self._state else line

    def child(self) -> "Trace":
        """Another span in it, below the request's own."""
        return Trace(self.trace_id, self.span_id, new_span_id(), self.sampled, self._state)


class Sampler:
    """Decides which traces are told."""

    def __init__(self, share: float, *, follow_parent: bool, draw: "random.Random | None" = None) -> None:
        """
        Args:
            share: Of the requests that nobody else decides on, 0 to 1.
            follow_parent: Whether the client's sampled flag decides where it sends one.
            draw: Where chance comes from.
        """
        self._share = share
        self._follow = follow_parent
        self._random = (draw or random.Random()).random  # noqa: S311 -- no secret depends on it

    def begin(self, headers: Mapping[bytes, bytes]) -> Trace:
        """The trace of a request, by its `traceparent` and `tracestate`. What is malformed counts as absent (section 4.3)."""
        given = headers.get(b"traceparent")
        if given is None:
            trace_id, span_id = (_traces or _drawn(_traces, 16)).pop(), (_spans or _drawn(_spans, 8)).pop()
            return Trace(trace_id, None, span_id, self._random() < self._share)
        found = _PARENT.fullmatch(given)
        # Version 00 has four fields; later ones may have more. ff is forbidden.
        if (
            found is None
            or found[1] == b"ff"
            or (found[1] == b"00" and found[5])
            or found[2] == _NO_TRACE
            or found[3] == _NO_SPAN
        ):
            return self.begin({})
        sampled = bool(int(found[4], 16) & 1) if self._follow else self._random() < self._share
        state = headers.get(b"tracestate", b"")
        return Trace(found[2], found[3], new_span_id(), sampled, state if len(state) <= MOST_STATE else b"")


_traces: list[bytes] = []
_spans: list[bytes] = []
"""Ids that nothing has yet."""


def _drawn(ids: list[bytes], size: int) -> list[bytes]:
    """Draw many ids of so many bytes at once, as hexadecimal digits: most of what one costs is the call of the system.

    That one of them is all 0, which is no id, is as likely as that two spans are given the same.
    """
    ids.extend(os.urandom(size * 256).hex("-", size).encode().split(b"-"))
    return ids


def new_span_id() -> bytes:
    """64 random bits."""
    return (_spans or _drawn(_spans, 8)).pop()
