"""A request's head, parsed once on each connection and from then on recognised by its bytes."""

from typing import Any

import httptools

from slipway_router.asgi import Header, Scope
from slipway_router.target import TASKS

REMEMBERED_BYTES = 16 * 1024
"""Largest head that a connection remembers."""
_LENGTH = b"\r\ncontent-length:"


class Head:
    """A request's head on one connection, to be recognised when it comes again with another length."""

    __slots__ = ("_after", "_before", "keep_alive", "known", "scope")

    def __init__(self, before: bytes, after: bytes, scope: Scope, keep_alive: bool) -> None:
        """
        Args:
            before: What comes before the digits of the length.
            after: What comes after them, to the end of the head.
            scope: ASGI's, of every request with this head.
            keep_alive: Whether the connection stays.
        """
        self._before = before
        self._after = after
        self.scope = scope
        self.keep_alive = keep_alive
        self.known: Any = None
        """What the data path found in it, for the next request. It says itself for how long that is true."""

    def begins(self, data: bytes) -> tuple[int, int] | None:
        """Where the body begins and how long it is, if these bytes begin with this head."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        at = len(before)
        end = data.find(b"\r", at, at + 16)
        digits = data[at:end]
        if end < 0 or not digits.isdigit() or not data.startswith(after, end):
            return None
        return end + len(after), int(digits)


class _Reading:
    """What the parser says of a head."""

    def __init__(self, head: bytes) -> None:
        self.url = b""
        self.headers: list[Header] = []
        self.plain = self.keep_alive = False
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(head)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        self.plain = (parser.get_method(), parser.get_http_version()) == (b"POST", "1.1") and not parser.should_upgrade()
        self.keep_alive = parser.should_keep_alive()


def read_head(data: bytes, scope: Scope) -> Head | None:
    """Understand the head of a plain request of the data path; None for any other, and for one that is not all there.

    Args:
        data: What a connection received.
        scope: What is true of all its requests.
    """
    end = data.find(b"\r\n\r\n") + 4
    if not 4 < end <= REMEMBERED_BYTES or not data.startswith(b"POST "):
        return None
    head = data[:end]
    lower = head.lower()
    at = lower.find(_LENGTH)
    if at < 0 or b"\r\ntransfer-encoding:" in lower or b"\r\nexpect:" in lower:
        return None
    try:
        read = _Reading(head)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    path = read.url.decode("latin-1")
    if not read.plain or path not in TASKS:
        return None
    at += len(_LENGTH)
    at += len(head[at:]) - len(head[at:].lstrip(b" \t"))
    made: Scope = {
        **scope,
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": read.url,
        "query_string": b"",
        "headers": read.headers,
    }
    known = Head(head[:at], head[head.index(b"\r", at) :], made, read.keep_alive)
    return known if known.begins(head) is not None else None
