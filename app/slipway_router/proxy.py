"""The front of the router: a bare ASGI app that answers the data path and the probes itself and leaves the rest to FastAPI.

The data path does not go through FastAPI because that costs more than everything the router itself does for a request; the
figures come from `python -m bench.peers`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial

import orjson

from slipway_router.arrival import Arrival
from slipway_router.asgi import ApiError, App, Message, Receive, Scope, Send, respond, unexpected
from slipway_router.attempt import Attempt
from slipway_router.body import read_body, too_large
from slipway_router.cycle import RememberedCycle, body_at_hand
from slipway_router.ensemble.asked import understood
from slipway_router.ensemble.fan_out import Client, FanOut
from slipway_router.exchange import Exchange
from slipway_router.express import Express, can
from slipway_router.keys import Caller
from slipway_router.loops import hop_line
from slipway_router.matching import Request
from slipway_router.messages.front import PATH as MESSAGES
from slipway_router.messages.front import Front
from slipway_router.metrics import CLIENT_GONE, NO_BACKEND
from slipway_router.policy import RoutingContext
from slipway_router.refusal import answering, draining, log_unexpected, refuse
from slipway_router.request import Asked, parse, request_id, user_of
from slipway_router.router import Router
from slipway_router.schema import Task
from slipway_router.sender import Sender, sender_at, sender_of
from slipway_router.shadow.copying import Copying
from slipway_router.shadow.drawing import Shadows
from slipway_router.target import TASKS
from slipway_router.telemetry.record import Record
from slipway_router.watch import Watch

GRACE_SECONDS = 5.0
"""How long new requests are still served after the router was told to stop: clients with open connections and load balancers
learn of it from /ready and from `connection: close`."""

ENSEMBLE = "/v1/ensemble"

Parse = Callable[[Task, bytes], Asked]


class Proxy:
    """The ASGI app."""

    def __init__(self, router: Router, app: App) -> None:
        """
        Args:
            router: What answers.
            app: Gets every other path.
        """
        self._router = router
        router.metrics.under_way = lambda: self._under_way
        self._app = app
        self.watches: set[Watch | Express] = set()
        """Of the requests under way."""
        self.copies: set[asyncio.Task[None]] = set()
        """Of requests, to candidates."""
        self._probes: dict[str, Callable[[], tuple[int, bytes]]] = {"/health": _alive, "/ready": self._ready}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, method = scope["path"], scope["method"]
        task = TASKS.get(path) if method == "POST" else None
        if task is not None:
            await self._guarded(scope, send, self._data(task, scope, receive, send))
            return
        begun = False

        async def noticing(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            if path == MESSAGES and method == "POST":
                front = Front(scope, send)
                await self._data("chat", front.scope, receive, front.send, front.parse)
            elif path == ENSEMBLE and method == "POST":
                await self._data("chat", scope, receive, send, ensemble=True)
            elif path in self._probes and method in ("GET", "HEAD"):
                status, body = self._probes[path]()
                await respond(send, status, body)
            else:
                await self._app(scope, receive, noticing)
        except Exception as error:  # noqa: BLE001 -- the last line: a client never sees our traceback, nor does its request take others along
            identity = log_unexpected(scope, error)
            if not begun:
                await refuse(send, unexpected(identity), identity.encode())

    def stop(self) -> None:
        """Cut what is still under way; streams end with an error event."""
        self.drop_copies()
        for watch in list(self.watches):
            watch.cancel("draining")

    def drop_copies(self) -> None:
        """End what no client waits for."""
        for copy in list(self.copies):
            copy.cancel()

    def _ready(self) -> tuple[int, bytes]:
        ready, state = self._router.ready()
        return 200 if ready else 503, orjson.dumps(state)

    async def _data(
        self,
        task: Task,
        scope: Scope,
        receive: Receive,
        send: Send,
        understand: Parse = parse,
        *,
        ensemble: bool = False,
    ) -> None:
        router = self._router
        loop = asyncio.get_running_loop()
        started = loop.time()
        sender = sender_of(scope, router)
        identity = request_id(sender.headers)
        recorder = router.recorder
        seen = recorder.see(scope["path"], sender.headers, identity) if recorder is not None else None
        exchange = None
        try:
            caller = self._admitted(sender, started, seen)
            raw = body_at_hand(scope)
            if raw is None:
                raw = await read_body(sender.headers.get(b"content-length"), router.max_body, receive)
            elif len(raw) > router.max_body:
                raise too_large(router.max_body)
            if raw is None:
                self._refused(task, CLIENT_GONE, None, seen)
                return
            if ensemble:
                fan_out = self._fan_out(raw, sender, caller, identity, started, send, loop, seen)
                await self._watched(fan_out, fan_out.longest, fan_out.run(), receive, loop)
                return
            arrival = Arrival(router, task, sender, caller, identity, started, seen, understand(task, raw))
            if caller.tenant is not None:
                kept = arrival.kept()
                if kept is not None:
                    self._refused(task, 200, None, seen)
                    await send({"type": "http.response.start", "status": 200, "headers": router.cache.told(kept, identity)})
                    await send({"type": "http.response.body", "body": kept.body})
                    return
                await arrival.wait()
            exchange, copying = self._exchange(arrival, arrival.kept_and_metered(send))
            try:
                await self._watched(exchange, exchange.attempts.longest, exchange.run(), receive, loop)
            finally:
                if copying is not None:
                    copying.over(self.copies)
        except ApiError as error:
            self._refused(task, error.status, error, seen, exchange)
            await refuse(send, error, identity, receive if error.status == 413 else None)

    def begin(self, cycle: RememberedCycle) -> None:
        """Answer a request of the data path that is all there. By `Express` where that can, else in a task."""
        router = self._router
        task = TASKS[cycle.head.scope["path"]]
        loop = asyncio.get_running_loop()
        started = loop.time()
        sender = sender_at(cycle.head, router)
        identity = request_id(sender.headers)
        recorder = router.recorder
        seen = recorder.see(cycle.head.scope["path"], sender.headers, identity) if recorder is not None else None
        try:
            caller = self._admitted(sender, started, seen)
            raw = cycle.take_body() or b""
            if len(raw) > router.max_body:
                raise too_large(router.max_body)
            arrival = Arrival(router, task, sender, caller, identity, started, seen, parse(task, raw))
            if caller.tenant is not None:
                kept = arrival.kept()
                if kept is not None:
                    self._refused(task, 200, None, seen)
                    cycle.start(200, router.cache.told(kept, identity), len(kept.body))
                    cycle.write(kept.body, more=False)
                    return
                if not arrival.enter():
                    assert arrival.charge is not None
                    arrival.charge.then = partial(self._admitted_later, cycle, arrival)
                    return
            self._send_on(cycle, arrival)
        except Exception as error:  # noqa: BLE001 -- see `__call__`
            self._failed(cycle, task, identity, seen, error)

    def _admitted_later(self, cycle: RememberedCycle, arrival: Arrival) -> None:
        """Redis has said something of a request, or is gone."""
        try:
            arrival.admitted()
            if cycle.disconnected:
                arrival.withdraw()
                self._refused(arrival.task, CLIENT_GONE, None, arrival.seen)
                return
            self._send_on(cycle, arrival)
        except Exception as error:  # noqa: BLE001 -- see `__call__`
            self._failed(cycle, arrival.task, arrival.identity, arrival.seen, error)

    def _send_on(self, cycle: RememberedCycle, arrival: Arrival) -> None:
        arrival.tap(cycle)
        exchange, copying = self._exchange(arrival, arrival.metered(cycle.send))
        first = exchange.attempts.order[0]
        if copying is not None:
            cycle.run(self._copied(exchange, copying))
        elif can(first):
            express = Express(self, exchange, cycle)
            self.watches.add(express)
            express.start(first, arrival.started)
        else:
            cycle.run(self.going_on(exchange, None))

    def _failed(self, cycle: RememberedCycle, task: Task, identity: bytes, seen: Record | None, error: Exception) -> None:
        """Answer a request that is not sent on."""
        if not isinstance(error, ApiError):
            told = log_unexpected(cycle.head.scope, error)
            self._refused(task, 500, unexpected(""), seen)
            cycle.run(answering(unexpected(told), identity))
            return
        self._refused(task, error.status, error, seen)
        cycle.run(answering(error, identity))

    def _refused(
        self, task: Task, status: int, error: ApiError | None, seen: Record | None, exchange: Exchange | None = None
    ) -> None:
        """Count a request that got no backend's answer, and tell of it."""
        if exchange is not None:
            exchange.settle()
        self._router.metrics.answered(*NO_BACKEND, task, status)
        if self._router.recorder is not None and seen is not None:
            self._router.recorder.over(seen, task, status, (error.code or error.kind) if error is not None else None, exchange)

    def _exchange(self, arrival: Arrival, send: Send) -> tuple[Exchange, Copying | None]:
        """What answers a request, and what keeps its answer where it is to be copied.

        Raises:
            ApiError: it goes round.
        """
        shadows, copying = self._router.shadows, None
        try:
            if shadows is not None:
                copying = self._copying(shadows, arrival.asked, arrival.context, arrival.sender, arrival.identity, send)
            return arrival.exchange(send if copying is None else copying.send), copying
        except BaseException:
            arrival.withdraw()
            raise

    def over(self, express: Express, code: int) -> None:
        """See `Desk`."""
        self.watches.discard(express)
        if code:
            express.exchange.count(code)

    def going_on(self, exchange: Exchange, opened: Attempt | None) -> App:
        """See `Desk`."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self._guarded(scope, send, self._go_on(exchange, opened, receive, send))

        return app

    def _copied(self, exchange: Exchange, copying: Copying) -> App:
        """Answers it in a task, which keeps the answer for the copies."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await self._guarded(scope, send, self._go_on(exchange, None, receive, send))
            finally:
                copying.over(self.copies)

        return app

    def refusing(self, exchange: Exchange, error: ApiError | None) -> App:
        """See `Desk`."""
        error = error or draining()
        self._refused(exchange.asked.task, error.status, error, exchange.seen, exchange)
        return answering(error, exchange.request_id)

    def failing(self, exchange: Exchange, error: Exception) -> App:
        """See `Desk`."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 -- ASGI's
            identity = log_unexpected(scope, error)
            if not exchange.begun:
                await refuse(send, unexpected(identity), identity.encode())

        return app

    async def _go_on(self, exchange: Exchange, opened: Attempt | None, receive: Receive, send: Send) -> None:
        try:
            loop = asyncio.get_running_loop()
            await self._watched(exchange, exchange.attempts.longest, exchange.run(opened), receive, loop)
        except ApiError as error:
            self._refused(exchange.asked.task, error.status, error, exchange.seen, exchange)
            await refuse(send, error, exchange.request_id)

    async def _guarded(self, scope: Scope, send: Send, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 -- see `__call__`
            identity = log_unexpected(scope, error)
            await refuse(send, unexpected(identity), identity.encode())

    def _admitted(self, sender: Sender, started: float, seen: Record | None) -> Caller:
        """Who asks, if the router takes a request of theirs now.

        Raises:
            ApiError: 503 while it stops or is full, 401 where the key is nobody's, 429 where it is full for them.
        """
        router = self._router
        if router.draining_since is not None and started > router.draining_since + GRACE_SECONDS:
            raise draining()
        caller = sender.caller(router)
        if seen is not None:
            seen.key = caller.name
        router.metrics.keys.of(caller.name).requests.value += 1
        router.admit(caller.tier or sender.headers.get(b"x-user-tier", b"free").decode("latin-1"), self._under_way)
        return caller

    @property
    def _under_way(self) -> int:
        return len(self.watches) + self._router.branches

    def _fan_out(
        self,
        raw: bytes,
        sender: Sender,
        caller: Caller,
        identity: bytes,
        started: float,
        send: Send,
        loop: asyncio.AbstractEventLoop,
        seen: Record | None,
    ) -> FanOut:
        """One request of `/v1/ensemble`, if there is room for all of its branches."""
        router = self._router
        if not router.config.ensemble.enabled:
            raise ApiError(404, f"{ENSEMBLE} is switched off here.", code="not_found")
        several = understood(raw, router.models(), router.config.ensemble)
        context = sender.context(caller, several.asked.estimated_tokens, several.asked.answer_tokens)
        router.admit(context.user_tier, self._under_way + len(several.branches) - 1)
        return FanOut(
            router,
            several,
            Client(sender.headers, context, identity, sender.lines_for(router), started, caller, seen),
            send,
            loop,
        )

    def _copying(
        self, shadows: Shadows, asked: Asked, context: RoutingContext, sender: Sender, identity: bytes, send: Send
    ) -> Copying | None:
        """What keeps the answer of a request that is to be copied. None: this one is not.

        Raises:
            ApiError: 508, it goes round; nothing holds a place for it then.
        """
        headers, hops = sender.headers, hop_line(sender.headers)
        request = Request(asked.task, asked.model, headers, user_of(asked, headers), context, self._router.needs(asked))
        drawn = shadows.drawn(request, self._under_way, draining=self._router.draining_since is not None)
        return Copying(self._router, drawn, asked, identity, hops, send) if drawn else None

    async def _watched(
        self,
        exchange: Exchange | FanOut,
        until: float,
        run: Coroutine[None, None, None],
        receive: Receive,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        watch = Watch(receive, until, loop)
        self.watches.add(watch)
        code = CLIENT_GONE
        try:
            await run
            code = exchange.status
        except asyncio.CancelledError:
            if watch.reason is None:
                raise
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            if watch.reason == "draining":
                if not exchange.begun:
                    raise draining() from None
                code = exchange.status
                await exchange.break_off("the router stops")
        except ApiError:
            code = 0
            raise
        except Exception:
            code = exchange.status if exchange.begun else 500
            raise
        finally:
            watch.close()
            self.watches.discard(watch)
            if code:
                exchange.count(code)
            else:
                exchange.settle()


def _alive() -> tuple[int, bytes]:
    return 200, b'{"status":"ok"}'
