"""uvicorn's HTTP protocol with the work of a request cut to what the data path needs.

uvicorn parses, keeps connections, queues pipelined requests and shuts down, as for every path. For the data path two things are
replaced:

- How a request is read. A client repeats its head, but for the length of the body, on every request of a connection. A head is
  parsed once, by the same parser, and from then on recognised by its bytes. What is anything but plain (a chunked body, `Expect`,
  HTTP/1.0, more than one request in a piece) goes uvicorn's way.
- How an answer is written, see `cycle`.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from slipway_router.asgi import Scope
from slipway_router.cycle import CYCLE, JOINED_BYTES, LeanCycle, RememberedCycle
from slipway_router.head import Head, read_head
from slipway_router.target import TASKS

BODY_SECONDS = 0.05
"""How long the rest of a small body is waited for before a task does. Most clients write head and body in two pieces."""


class LeanProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but for requests of the data path."""

    _head: Head | None = None
    """The last request's."""
    _missing = 0
    """What is still to come of the body of a request that was read here."""
    _parsing = False
    """Whether uvicorn's parser is in the middle of a request."""
    _late: asyncio.TimerHandle | None = None
    """Fires when the rest of a small body does not follow its head at once."""
    _idle_since = 0.0

    def data_received(self, data: bytes) -> None:
        """asyncio's."""
        if self._missing:
            data = self._go_on(data)
            if not data:
                return
        cycle = self.cycle
        # None, whatever its type says, until there is one.
        if not self._parsing and (not cycle or cycle.response_complete):
            head = self._head
            found = head.begins(data) if head is not None else None
            if found is None:
                head = self._head = read_head(data, self._common())
                found = head.begins(data) if head is not None else None
            if found is not None and head is not None:
                start, length = found
                missing = length - (len(data) - start)
                if missing >= 0:
                    self._missing = missing
                    self.cycle = cycle = RememberedCycle(self, head, data[start:], more=missing > 0)
                    if not missing:
                        self._begin(cycle)
                    elif missing <= JOINED_BYTES:
                        self._late = self.loop.call_later(BODY_SECONDS, self._begin_late, cycle)
                    else:
                        self.run(cycle, self._application)
                    return
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's."""
        cycle = self.cycle
        super().connection_lost(exc)
        if self._late is not None:
            self._late.cancel()
        if isinstance(cycle, RememberedCycle) and cycle.passing is not None:
            cycle.passing.gone()

    def pause_writing(self) -> None:
        """asyncio's."""
        super().pause_writing()
        if isinstance(self.cycle, RememberedCycle) and self.cycle.passing is not None:
            self.cycle.passing.hold()

    def resume_writing(self) -> None:
        """asyncio's."""
        super().resume_writing()
        if isinstance(self.cycle, RememberedCycle) and self.cycle.passing is not None:
            self.cycle.passing.go_on()

    def run(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Let a task answer a request."""
        self._start_asgi_task(cycle, app)

    def _begin(self, cycle: RememberedCycle) -> None:
        """Answer a request that is all there: without a task, where the app can."""
        begin: Callable[[RememberedCycle], None] | None = getattr(self._application, "begin", None)
        if begin is None:
            self.run(cycle, self._application)
        else:
            begin(cycle)

    def _begin_late(self, cycle: RememberedCycle) -> None:
        """Answer one whose body is slow to come: it may be refused before it is there, and its time is limited."""
        self._late = None
        self.run(cycle, self._application)

    @property
    def _application(self) -> Any:
        return self.app  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] -- uvicorn's

    def _common(self) -> Scope:
        return {
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "state": self.app_state.copy(),
        }

    def _go_on(self, data: bytes) -> bytes:
        """Take in the next part of a body; returns what comes after it."""
        part, rest = data[: self._missing], data[self._missing :]
        self._missing -= len(part)
        cycle = self.cycle
        if isinstance(cycle, RememberedCycle) and not cycle.response_complete:
            cycle.feed(part, more=self._missing > 0)
            if not self._missing and self._late is not None:
                self._late.cancel()
                self._late = None
                self._begin(cycle)
        return rest

    def on_message_begin(self) -> None:
        """The parser's."""
        self._parsing = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """The parser's."""
        self._parsing = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The cycle's. The timer of an idle connection is left running where there is one: it looks again when it fires."""
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None or self.pipeline or self.flow.read_paused:
            super().on_response_complete()
        else:
            self.server_state.total_requests += 1

    def timeout_keep_alive_handler(self) -> None:
        """The timer's."""
        self.timeout_keep_alive_task = None
        if self.cycle and not self.cycle.response_complete:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope = cast("Scope", cycle.scope)
        if scope["method"] == "POST" and scope["path"] in TASKS and not isinstance(cycle, LeanCycle):
            # uvicorn makes its cycles by name; one that has not begun becomes ours, with the same attributes.
            cycle.__class__ = LeanCycle
            scope[CYCLE] = cycle
        super()._start_asgi_task(cycle, app)
