"""uvicorn's HTTP protocol with the work of a request cut to what the data path needs.

uvicorn parses, keeps connections, queues pipelined requests and shuts down, as for every path. What is replaced for the data path
is how an answer is written: its head is joined and checked once instead of header by header, and goes out together with the first
bytes of the body. A body that is there already is taken without waiting for it.
"""

from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from slipway_router.asgi import Message, Scope
from slipway_router.target import TASKS

JOINED_BYTES = 64 * 1024
"""Up to here copying a body behind its head is cheaper than handing over two buffers."""
_CYCLE = "slipway.cycle"


class LeanCycle(RequestResponseCycle):
    """One request of the data path, and its answer."""

    _head = b""
    """What is to go out before the next bytes of the body."""

    def take_body(self) -> bytes | None:
        """The request's body if all of it is there; None if it is still to be received."""
        if self.more_body or self.disconnected or self.waiting_for_100_continue:
            return None
        self.message_event.clear()
        body, self.body = bytes(self.body), bytearray()
        return body

    async def send(self, message: Any) -> None:
        """ASGI's. The start of an answer waits for the first message with its body, which the data path sends at once."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self._start(message)
        elif self.response_complete:
            raise RuntimeError("the answer is complete already")
        else:
            self._go_on(message.get("body", b""), more=message.get("more_body", False))

    def _start(self, message: Message) -> None:
        if message["type"] != "http.response.start":
            raise RuntimeError(f"an answer begins with http.response.start, not with {message['type']}")
        self.response_started = True
        self.waiting_for_100_continue = False
        self.chunked_encoding = True
        parts: list[bytes] = [STATUS_LINE[message["status"]]]
        headers = [*self.default_headers, *message["headers"]]
        closes = False
        for name, value in headers:
            if name == b"content-length":
                self.chunked_encoding = False
                self.expected_content_length = int(value)
            elif name == b"connection" and value == b"close":
                self.keep_alive, closes = False, True
            parts += (name, b": ", value, b"\r\n")
        lines = len(headers) + 1
        if not self.keep_alive and not closes:
            parts.append(b"connection: close\r\n")
            lines += 1
        if self.chunked_encoding:
            parts.append(b"transfer-encoding: chunked\r\n")
            lines += 1
        head = b"".join(parts)
        if not head.count(b"\r\n") == head.count(b"\n") == head.count(b"\r") == lines or b"\0" in head:
            raise RuntimeError("a header holds a line break")
        self._head = head + b"\r\n"

    def _go_on(self, body: bytes, *, more: bool) -> None:
        head = self._head
        if head:
            self._head = b""
            if len(body) > JOINED_BYTES:
                self.transport.write(head)
                head = b""
        if self.chunked_encoding:
            data = b"%b%x\r\n%b\r\n" % (head, len(body), body) if body else head
            if not more:
                data += b"0\r\n\r\n"
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("the answer is longer than its content-length")
            data = head + body if head else body
        if data:
            self.transport.write(data)
        if more:
            return
        if self.expected_content_length:
            raise RuntimeError("the answer is shorter than its content-length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


class LeanProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but for requests of the data path."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope = cast("Scope", cycle.scope)
        if scope["method"] == "POST" and scope["path"] in TASKS:
            # uvicorn makes its cycles by name; one that has not begun becomes ours, with the same attributes.
            cycle.__class__ = LeanCycle
            scope[_CYCLE] = cycle
        super()._start_asgi_task(cycle, app)


def body_at_hand(scope: Scope) -> bytes | None:
    """The request's body, if all of it has arrived; else it must be received."""
    cycle = scope.get(_CYCLE)
    return cycle.take_body() if isinstance(cycle, LeanCycle) else None
