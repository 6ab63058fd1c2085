"""An answer's head: written once, checked always, and what closes a connection never overlooked."""

from typing import Any

import pytest

from slipway_router import cycle
from slipway_router.asgi import CLOSE
from slipway_router.cycle import LONGEST_LINE, MOST_LINES, LeanCycle

DATE = (b"date", b"Thu, 26 Nov 2026 18:24:54 GMT")


class Transport:
    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True


def begun(headers: list[tuple[bytes, bytes]], *, keeps: bool = True, length: int | None = 2, more: bytes = b"") -> Any:
    made: Any = object.__new__(LeanCycle)
    made.transport, made.keep_alive, made.default_headers = Transport(), keeps, [DATE]
    made.expected_content_length, made.on_response, made.message_event = 0, lambda: None, _Event()
    made.start(200, headers, length, more)
    made.write(b"ok", more=False)
    return made


class _Event:
    def set(self) -> None:
        pass


def head(made: Any) -> list[bytes]:
    lines, _, _ = made.transport.written.partition(b"\r\n\r\n")
    return lines.split(b"\r\n")


def test_the_first_and_every_other_answer_with_the_same_headers_are_the_same() -> None:
    headers = [(b"content-type", b"application/json"), (b"x-slipway-backend", b"one")]
    told = [head(begun(headers, more=b"content-length: 2\r\nx-request-id: r\r\n")) for _ in range(3)]
    assert told[0] == told[1] == told[2]
    assert told[0] == [
        b"HTTP/1.1 200 OK",
        b"date: Thu, 26 Nov 2026 18:24:54 GMT",
        b"content-type: application/json",
        b"x-slipway-backend: one",
        b"content-length: 2",
        b"x-request-id: r",
    ]


@pytest.mark.parametrize("bad", [b"a\r\nset-cookie: b", b"a\n", b"\na", b"a\r", b"\ra", b"a\0"])
def test_a_header_with_a_line_break_is_refused_however_often_it_comes(bad: bytes) -> None:
    for header in ((b"x-told", bad), (bad, b"told")) * 2:
        with pytest.raises(RuntimeError, match="line break"):
            begun([(b"content-type", b"text/plain"), header])


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("closes", [True, False])
def test_a_connection_that_closes_says_so_once_every_time(keeps: bool, closes: bool) -> None:
    for _ in range(2):
        made = begun([(b"content-type", b"text/plain"), *([CLOSE] if closes else [])], keeps=keeps)
        assert head(made).count(b"connection: close") == int(closes or not keeps)
        assert made.transport.closed == (closes or not keeps)


def test_an_answer_without_a_length_is_chunked() -> None:
    made = begun([(b"content-type", b"text/event-stream")], length=None)
    assert made.transport.written.endswith(b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")


def test_what_is_kept_is_bounded_and_no_request_id_is() -> None:
    for number in range(MOST_LINES + 10):
        begun([(b"x-number", b"%d" % number), (b"x-request-id", b"%d" % number), (b"x-long", b"a" * LONGEST_LINE)])
    kept = cycle._lines  # pyright: ignore[reportPrivateUsage]
    assert len(kept) <= MOST_LINES
    assert not {b"x-request-id", b"x-long"} & {name for name, _ in kept}
