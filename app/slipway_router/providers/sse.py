"""Server-sent events, as far as vendors of models use them (WHATWG HTML, "Server-sent events")."""

import re

from slipway_router.answer import UpstreamError

MOST_BYTES = 4 * 1024 * 1024
"""Largest event that is waited for."""
# Lines may end in LF, CRLF or CR. Spelt out, it is found faster than by what one line may end in, twice.
_END = re.compile(rb"\n\n|\r\n\r\n|\r\r|\n\r\n|\r\n\n")


class Events:
    """Takes a stream's bytes as they come, gives the data of whole events."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that are whole with these bytes.

        Raises:
            UpstreamError: 'protocol' when an event grows past 4 MiB.
        """
        # Only what is new can end an event: a long one must not be looked through again with every piece of it.
        if self._rest and _END.search(self._rest[-3:] + data) is None:
            self._rest += data
            events: list[bytes] = []
        else:
            *events, rest = _END.split(bytes(self._rest) + data)
            self._rest = bytearray(rest)
        if len(self._rest) > MOST_BYTES:
            raise UpstreamError("protocol", f"sent an event of more than {MOST_BYTES // (1024 * 1024)} MiB")
        return [found for event in events if (found := _data(event))]


def event(data: bytes, kind: str | None = None) -> bytes:
    """One event with these data, which must be of one line."""
    return b"data: %b\n\n" % data if kind is None else b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


def _data(event: bytes) -> bytes:
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")]
    return lines[0] if len(lines) == 1 else b"\n".join(lines)
