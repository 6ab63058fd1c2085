"""The usual way of a request: its first backend answers. On callbacks alone: a task and what it awaits cost more than the rest.

What is not usual is left to a task: `Exchange` tries the other backends once the first has failed, and passes on what is too
large to hold. Whatever decides (whether a backend may be asked, what a good answer is, what it counts) is asked there too.
"""

import asyncio
from typing import Protocol

from slipway_router.alive import check_whole, stream_is_alive
from slipway_router.answer import HIGH_WATER_BYTES, Answer, UpstreamError
from slipway_router.asgi import ApiError, App
from slipway_router.attempt import Attempt
from slipway_router.attempts import is_stream
from slipway_router.connection import Connection
from slipway_router.cycle import RememberedCycle
from slipway_router.exchange import Exchange
from slipway_router.metrics import CLIENT_GONE
from slipway_router.passing import END_BYTES, whole_events
from slipway_router.providers.dialects import as_openais
from slipway_router.target import Target
from slipway_router.tenancy.meter import Meter
from slipway_router.watch import Reason


class Desk(Protocol):
    """Who sends requests this way, and takes those back that must go another."""

    def over(self, express: "Express", code: int) -> None:
        """The request is over, with this status; 0 where it goes on in a task."""
        ...

    def going_on(self, exchange: Exchange, opened: Attempt | None) -> App:
        """Answers it in a task: from this answer on, or by the backends that are left."""
        ...

    def refusing(self, exchange: Exchange, error: ApiError | None) -> App:
        """Answers it with an error; None: the router stops."""
        ...

    def failing(self, exchange: Exchange, error: Exception) -> App:
        """Answers it after a fault of ours."""
        ...


def can(target: Target) -> bool:
    """Whether a backend can be asked this way: it speaks OpenAI's API, and no second is asked beside it."""
    provider = target.provider
    return target.first_bytes is None and not provider.prepares and not provider.translates


class Express:
    """One request at one backend."""

    __slots__ = (
        "_answer",
        "_attempt",
        "_before",
        "_chunk",
        "_connecting",
        "_cycle",
        "_desk",
        "_held",
        "_kept",
        "_last",
        "_meter",
        "_request",
        "_streams",
        "_total_at",
        "exchange",
    )

    def __init__(self, desk: Desk, exchange: Exchange, cycle: RememberedCycle) -> None:
        """
        Args:
            desk: Where it comes from.
            exchange: The request, understood and decided on.
            cycle: Its client.
        """
        self._desk = desk
        self.exchange = exchange
        self._cycle = cycle
        self._attempt: Attempt | None = None
        self._answer: Answer | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._kept = False
        self._streams: bool | None = None
        """Whether the answer is a stream; None: that is not known yet."""
        self._chunk = self._held = self._before = self._last = b""
        self._total_at = 0.0
        self._request = (b"", b"")
        charge = exchange.charge
        self._meter: Meter | None = charge.meter if charge is not None else None

    def start(self, target: Target, started: float) -> None:
        """Ask a backend.

        Args:
            target: One that `can` be.
            started: Loop time at which the request came.
        """
        attempt = self.exchange.attempts.enter(target)
        if attempt is None:
            self._leave(0, goes_on=True)
            self._cycle.run(self._desk.going_on(self.exchange, None))
            return
        self._attempt = attempt
        self._cycle.passing = self
        at = attempt.at
        self._total_at = started + at.total
        try:
            self._request = self.exchange.request_to(attempt)
        except UpstreamError as error:
            self._failed(error)
            return
        except ApiError as error:
            self._leave(0)
            self._cycle.run(self._desk.refusing(self.exchange, error))
            return
        except Exception as error:  # noqa: BLE001 -- as in `heard`
            self._unexpected(error)
            return
        kept = at.pool.kept()
        if kept is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect(at))
        else:
            self._kept = True
            self._ask(kept)

    # the backend's side

    def heard(self) -> None:
        """There is more of the answer, or it is over."""
        try:
            if self.exchange.streaming:
                self._pass_on()
            else:
                self._look()
        except UpstreamError as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001 -- it would end in the backend's connection, and the client would wait for ever
            self._unexpected(error)

    def _ask(self, connection: Connection) -> None:
        answer = connection.send(*self._request, self._total_at, self)
        self._answer = answer
        assert self._attempt is not None
        self._attempt.answer = answer

    async def _connect(self, target: Target) -> None:
        try:
            connection = await target.pool.connect(self._total_at)
        except UpstreamError as error:
            self._connecting = None
            self._failed(error)
            return
        except Exception as error:  # noqa: BLE001 -- as in `heard`
            self._unexpected(error)
            return
        self._connecting = None
        self._ask(connection)

    def _look(self) -> None:
        """At what came before the client has seen any of it."""
        answer, attempt = self._answer, self._attempt
        assert answer is not None
        assert attempt is not None
        if not answer.started:
            if answer.error is not None:
                raise answer.error
            return
        streams = self._streams
        if streams is None:
            attempt.at.check(answer)
            streams = self._streams = is_stream(answer)
        if streams:
            self._look_at_stream(answer, attempt)
        elif answer.complete:
            self._pass_whole(answer, attempt)
        elif answer.error is not None:
            raise answer.error
        elif answer.unread > HIGH_WATER_BYTES:
            self._leave(0, goes_on=True)
            self._cycle.run(self._desk.going_on(self.exchange, attempt))

    def _look_at_stream(self, answer: Answer, attempt: Attempt) -> None:
        chunk = self._chunk = self._chunk + answer.take()
        if not chunk or not stream_is_alive(chunk):
            if answer.complete:
                raise UpstreamError("reset", "ended its stream before the first token")
            if answer.error is not None:
                raise answer.error
            return
        if attempt.assignment is not None:
            attempt.assignment.first_token()
        self.exchange.begin_stream(attempt)
        self._cycle.start(answer.status, self.exchange.answer_headers(attempt.at, answer), None, self.exchange.lines)
        self._pass_on(chunk)

    def _pass_whole(self, answer: Answer, attempt: Attempt) -> None:
        exchange, cycle = self.exchange, self._cycle
        body = answer.take()
        if answer.status < 300:
            check_whole(body, cut=False)
        headers = exchange.answer_headers(attempt.at, answer)
        if answer.status >= 400:
            headers, body = as_openais(answer.status, headers, body)
        exchange.begin(attempt, answer)
        cycle.start(answer.status, headers, len(body), b"content-length: %d\r\n%b" % (len(body), exchange.lines))
        cycle.passing = None
        cycle.write(body, more=False)
        if answer.status < 400:
            exchange.ended(body)
        self._leave(exchange.status)

    def _pass_on(self, chunk: bytes | None = None) -> None:
        """What there is of a stream, and its end."""
        answer, cycle = self._answer, self._cycle
        assert answer is not None
        if chunk is None:
            chunk = answer.take()
        if chunk:
            if self._held or not chunk.endswith(b"\n\n"):
                chunk, self._held = whole_events(self._held + chunk)
            if chunk:
                self._before, self._last = self._last, chunk
                if self._meter is not None:
                    chunk = self._meter.feed(chunk)
                cycle.write(chunk, more=True)
                if cycle.flow.write_paused:
                    answer.hold()
        if answer.complete:
            self._end(answer)
        elif answer.error is not None:
            raise answer.error

    def _end(self, answer: Answer) -> None:
        exchange, cycle = self.exchange, self._cycle
        last = self._last + self._held
        if answer.until_close and b"[DONE]" not in last[-64:]:
            raise UpstreamError("reset", "closed the connection in the middle of its answer")
        cycle.passing = None
        held = self._held
        if held and self._meter is not None:
            held = self._meter.feed(held)
        cycle.write(held, more=False)
        # Its usage comes in the last event before the end: both in one part, or each in its own.
        exchange.ended((self._before + last)[-END_BYTES:])
        self._leave(exchange.status)

    # the client's side

    def gone(self) -> None:
        """The client is."""
        self.cancel("client")

    def hold(self) -> None:
        """The client takes no more for now."""
        if self._answer is not None:
            self._answer.hold()

    def go_on(self) -> None:
        """It does again."""
        if self._answer is not None:
            self._answer.go_on()

    def cancel(self, reason: Reason) -> None:
        """Give the request up."""
        exchange, cycle = self.exchange, self._cycle
        if reason != "draining":
            self._leave(CLIENT_GONE)
        elif exchange.begun:
            self._break_off("the router stops")
        else:
            self._leave(0)
            cycle.run(self._desk.refusing(exchange, None))

    # endings

    def _failed(self, error: UpstreamError) -> None:
        exchange, attempt = self.exchange, self._attempt
        assert attempt is not None
        answer = self._answer
        if error.cause == "reset" and self._kept and answer is not None and not answer.heard:
            # Closed while it was idle: that is no failure of the backend.
            self._kept = False
            self._connecting = asyncio.get_running_loop().create_task(self._connect(attempt.at))
            return
        exchange.attempts.failed(attempt, error)
        if exchange.begun:
            self._break_off(f"the backend {attempt.target.name} {error.detail}")
        else:
            attempt.leave()
            self._leave(0, goes_on=True)
            self._cycle.run(self._desk.going_on(exchange, None))

    def _unexpected(self, error: Exception) -> None:
        exchange, cycle = self.exchange, self._cycle
        self._leave(exchange.status or 500)
        cycle.run(self._desk.failing(exchange, error))

    def _break_off(self, why: str) -> None:
        exchange, cycle = self.exchange, self._cycle
        cycle.passing = None
        if exchange.streaming:
            cycle.write(exchange.broken_off(why), more=False)
        else:
            cycle.transport.close()
        self._leave(exchange.status)

    def _leave(self, code: int, *, goes_on: bool = False) -> None:
        """Be over.

        Args:
            code: What the client was answered; 0: nothing yet.
            goes_on: A task tries further.
        """
        self._cycle.passing = None
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._answer is not None:
            self._answer.listener = None
        if not goes_on:
            if self._attempt is not None:
                self._attempt.leave()
            self.exchange.attempts.over()
        self._desk.over(self, code)
