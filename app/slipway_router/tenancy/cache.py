"""Whole answers, kept for those keys that want it: the same request of the same key gets the same answer again for a while.

In the memory of one router, bounded; the least recently used goes first. The same is what is the same to the byte: the body,
and every header that steers.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import blake2b
from time import monotonic
from typing import Any, NamedTuple

from slipway_router.asgi import Header, Message, Send
from slipway_router.cycle import LeanCycle
from slipway_router.tenancy.settings import CacheSettings

OVERHEAD_BYTES = 1024
"""What an entry takes beside its body, roughly."""
_UNSTEERING = frozenset({b"authorization", b"x-request-id", b"content-length", b"traceparent", b"tracestate", b"x-user-id"})
"""Headers that are read, and say nothing of what is answered."""
# Of one answer, or set anew; what a client may spend is not what it could spend then.
_NOT_KEPT = (b"x-request-id", b"content-length", b"x-ratelimit-", b"connection", b"x-slipway-attempts")


class Kept(NamedTuple):
    """An answer."""

    at: float
    until: float
    headers: tuple[Header, ...]
    body: bytes


class Cache:
    """The answers of all keys. None is given to another key than the one it was made for."""

    def __init__(self, settings: CacheSettings, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._most = settings.max_mib * 1024 * 1024
        self.most_of_one = settings.max_entry_kib * 1024
        self.size = 0
        """Bytes that are kept."""

    def find(self, name: bytes) -> Kept | None:
        """The answer to a request, see `named`, if it still holds."""
        kept = self._kept.get(name)
        if kept is None:
            return None
        if self._clock() >= kept.until:
            self._drop(name)
            return None
        self._kept.move_to_end(name)
        return kept

    def keep(self, name: bytes, seconds: float, headers: list[Header], body: bytes) -> None:
        """Keep a good answer for so long, if it is not too large."""
        if len(body) > self.most_of_one:
            return
        self._drop(name)
        now = self._clock()
        passed = tuple(h for h in headers if not h[0].startswith(_NOT_KEPT))
        self._kept[name] = Kept(now, now + seconds, passed, body)
        self.size += len(body) + OVERHEAD_BYTES
        while self.size > self._most:
            self._drop(next(iter(self._kept)))

    def told(self, kept: Kept, request_id: bytes) -> list[Header]:
        """The headers of an answer that is given again."""
        age = (b"age", b"%d" % (self._clock() - kept.at))
        length = (b"content-length", b"%d" % len(kept.body))
        return [*kept.headers, (b"x-slipway-cache", b"hit"), age, (b"x-request-id", request_id), length]

    def _drop(self, name: bytes) -> None:
        gone = self._kept.pop(name, None)
        if gone is not None:
            self.size -= len(gone.body) + OVERHEAD_BYTES


class Keeping:
    """One answer on its way to a client and into the cache."""

    def __init__(self, cache: Cache, name: bytes, seconds: float) -> None:
        self._cache = cache
        self._name = name
        self._seconds = seconds
        self._headers: list[Header] | None = None
        """None: it is not to be kept."""
        self._parts: list[bytes] = []
        self._size = 0

    def start(self, status: int, headers: list[Header]) -> None:
        """It begins. A stream is not kept, nor is anything but a 200."""
        streams = any(n == b"content-type" and v.startswith(b"text/event-stream") for n, v in headers)
        self._headers = None if status != 200 or streams else list(headers)

    def feed(self, body: bytes, *, more: bool) -> None:
        """It goes on, or ends."""
        if self._headers is None:
            return
        self._parts.append(body)
        self._size += len(body)
        if self._size > self._cache.most_of_one:
            self._headers, self._parts = None, []
        elif not more:
            self._cache.keep(self._name, self._seconds, self._headers, b"".join(self._parts))

    def tap(self, cycle: LeanCycle) -> None:
        """Have an answer go through this, however it is written."""
        start, write = cycle.start, cycle.write

        def starting(status: int, headers: list[Header], length: int | None, more: bytes = b"") -> None:
            # What a client may spend now is not what the next could: `more`, its limits, is not kept.
            self.start(status, headers)
            start(status, headers, length, more)

        def writing(body: bytes, *, more: bool) -> None:
            self.feed(body, more=more)
            write(body, more=more)

        cycle.start, cycle.write = starting, writing

    def sending(self, send: Send) -> Send:
        """Where an answer goes through this."""

        async def kept(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.start(message["status"], list(message["headers"]))
            else:
                self.feed(message.get("body", b""), more=message.get("more_body", False))
            await send(message)

        return kept


def named(tenant: str, task: str, headers: Mapping[bytes, bytes], steering: Any, raw: bytes) -> bytes:
    """What tells one request of a key from every other one.

    Args:
        tenant: Whose key it is.
        task: What it is for.
        headers: Those that the router reads.
        steering: What the policy decides on.
        raw: The body.
    """
    told = sorted((n, v) for n, v in headers.items() if n not in _UNSTEERING)
    made = blake2b(repr((tenant, task, told, steering)).encode(), digest_size=32)
    made.update(b"\0")
    made.update(raw)
    return made.digest()


def wanted(headers: Mapping[bytes, bytes]) -> tuple[bool, bool]:
    """Whether a client takes a kept answer, and lets its own be kept: `Cache-Control: no-cache` and `no-store` (RFC 9111)."""
    told = headers.get(b"cache-control", b"").lower()
    return b"no-cache" not in told and b"no-store" not in told, b"no-store" not in told
