"""One request's way through the backends: try them in order, hand on the first good answer.

Retries and fail-over end where the client has seen the first byte. Of a stream, whole events only are passed on, so that one that
breaks off can end in an error event rather than in half a line.
"""

import asyncio
from asyncio import AbstractEventLoop
from functools import lru_cache
from time import perf_counter

import orjson

from slipway_router.alive import check_whole
from slipway_router.answer import Answer, Cause, UpstreamError
from slipway_router.asgi import CLOSE, Header, Send
from slipway_router.attempt import Attempt
from slipway_router.attempts import Attempts
from slipway_router.keys import ANONYMOUS, Caller
from slipway_router.metrics import CLIENT_GONE, NO_BACKEND
from slipway_router.passing import END_BYTES, HOLD_BYTES, NOT_PASSED_ON, NOT_PASSED_ON_TO_TENANTS, whole_events
from slipway_router.policy import Decision
from slipway_router.providers.dialects import as_openais
from slipway_router.request import Asked
from slipway_router.retry import backoff
from slipway_router.router import Router
from slipway_router.target import Target
from slipway_router.telemetry.record import Record
from slipway_router.tenancy.charge import Charge, split
from slipway_router.usage import tokens_in

_WORTH_ANOTHER: frozenset[Cause] = frozenset({"connect", "reset", "protocol", "status"})
_HELD_BACK: frozenset[Cause] = frozenset({"open", "cold"})


@lru_cache(maxsize=1024)
def _rule(name: str) -> Header:
    return b"x-slipway-rule", name.encode()


@lru_cache(maxsize=64)
def _attempts(made: int) -> Header:
    return b"x-slipway-attempts", b"%d" % made


class Exchange:
    """A request that was understood and decided on, until its answer is over."""

    __slots__ = (
        "_arrived",
        "_request_id",
        "_router",
        "_send",
        "asked",
        "attempt",
        "attempts",
        "begun",
        "broken",
        "caller",
        "charge",
        "first_at",
        "rule",
        "seen",
        "status",
        "streaming",
        "target",
        "tokens",
    )

    def __init__(
        self,
        router: Router,
        asked: Asked,
        decision: Decision,
        send: Send,
        *,
        tier: str,
        request_id: bytes,
        tracing: bytes,
        started: float,
        loop: AbstractEventLoop,
        caller: Caller = ANONYMOUS,
        seen: Record | None = None,
        charge: Charge | None = None,
    ) -> None:
        self._router = router
        self._send = send
        self._request_id = request_id
        # For measuring: uvloop's own clock stands still within one turn of the loop, and has milliseconds only.
        self._arrived = perf_counter()
        self.rule = decision.rule
        """What decided where the request goes."""
        self.asked = asked
        self.caller = caller
        """Whose key the request has."""
        self.seen = seen
        """Itself, where somebody is told of it when it is over."""
        self.charge = charge
        """What it takes of their limits; None where they have none, and once it is settled."""
        self.attempts = Attempts(
            router,
            asked,
            decision.order,
            tier=tier,
            request_id=request_id,
            tracing=tracing,
            started=started,
            loop=loop,
            trace=seen.trace if router.passes_trace and seen is not None else None,
        )
        self.begun = False
        """Whether the client has seen any of the answer."""
        self.streaming = False
        """Whether what it has seen is a stream of events."""
        self.status = 0
        self.target: Target | None = None
        """Whose answer it is."""
        self.attempt: Attempt | None = None
        """And which attempt's."""
        self.broken = False
        """Whether its stream ended before its time."""
        self.first_at = 0.0
        """By `perf_counter`, when the client saw the first of it; 0: it has not."""
        self.tokens: tuple[int, int] | None = None
        """Of prompt and answer, where the answer tells."""
        router.budget.request()

    @property
    def request_id(self) -> bytes:
        """The request's id."""
        return self._request_id

    def request_to(self, attempt: Attempt) -> tuple[bytes, bytes]:
        """Head and body for a backend. See `Provider.request`."""
        return attempt.at.provider.request(self.asked, self._request_id, self.attempts.lines(attempt))

    async def run(self, opened: Attempt | None = None) -> None:
        """Answer the client.

        Args:
            opened: An attempt whose answer has begun well, and is no stream.

        Raises:
            ApiError: no backend could, and the client has seen nothing yet.
        """
        attempts = self.attempts
        order, failures = attempts.order, attempts.failures
        try:
            if opened is not None and await self._carry(opened, opened=True):
                return
            for target in order:
                # One that failed already, before this, may have another replica.
                if (target not in failures or attempts.another(target)) and await self._try(target):
                    return
            for target in attempts.left_over():
                if await self._try(target):
                    return
            # Nothing else is left: one request at a time may find out whether a backend is well again, and one that is just back
            # gets more than its share.
            for target in [t for t in order if failures[t].cause in _HELD_BACK and not t.away]:
                if await self._try(target, early=True):
                    return
            retries = self._router.config.retries
            for number in range(1, retries.rounds + 1):
                again = [t for t in order if failures[t].cause in _WORTH_ANOTHER and not t.status.rests_seconds]
                if not again:
                    break
                await asyncio.sleep(backoff(retries, number))
                attempts.another_round()
                for target in again:
                    if await self._try(target):
                        return
            while waking := [t for t in order if failures[t].cause == "cold"]:
                if not await attempts.one_is_back(waking):
                    break
                for target in [t for t in waking if not t.away]:
                    if await self._try(target, early=True):
                        return
            raise attempts.all_failed([*self.headers(), *(self.charge.headers if self.charge is not None else ())])
        finally:
            attempts.over()

    async def _try(self, target: Target, *, early: bool = False) -> bool:
        """Ask one backend, if it may be asked, and another one of its replicas while that may do better.

        Says whether the client's request is over; else `attempts` knows why not.
        """
        over = await self._ask(target, early=early)
        while not over and self.attempts.another(target):
            over = await self._ask(target, early=early)
        return over

    async def _ask(self, target: Target, *, early: bool) -> bool:
        attempt = self.attempts.enter(target, early=early)
        return attempt is not None and await self._carry(attempt)

    async def _carry(self, attempt: Attempt, *, opened: bool = False) -> bool:
        """Ask a backend, unless it was, and pass its answer on. Returns as `_try` does."""
        attempts, target = self.attempts, attempt.target
        try:
            late = target.first_bytes[self.asked.stream].late_after if target.first_bytes is not None else None
            if opened:
                pass
            elif late is None:
                await attempts.open(attempt)
            else:
                attempt, error = await attempts.open_or_hedge(attempt, late)
                if error is not None:
                    raise error
            await (self._pass_stream if attempt.chunk else self._pass_whole)(attempt)
        except UpstreamError as error:
            attempts.failed(attempt, error)
            if self.begun:
                await self.break_off(f"the backend {attempt.target.name} {error.detail}")
            return self.begun
        else:
            return True
        finally:
            attempt.leave()

    def settle(self, *, gone: bool = False) -> None:
        """Book what the request came to; once.

        Args:
            gone: The client left. What a backend was asked for by then is owed, whether it was answered or not.
        """
        charge = self.charge
        if charge is None:
            return
        self.charge = None
        answered = self.target if self.status < 400 else None
        if answered is None and gone and self.attempts.made:
            answered = self.attempts.order[0]
        charge.settle(answered.prices if answered is not None else None, self.tokens)

    def count(self, code: int) -> None:
        """Count the request, which is over, under the backend that answered."""
        if self.charge is not None:
            self.settle(gone=code == CLIENT_GONE)
        target = self.target
        told = (target.name, target.model) if target is not None else NO_BACKEND
        self._router.metrics.answered(*told, self.asked.task, code)
        recorder = self._router.recorder
        if recorder is not None and self.seen is not None:
            recorder.over(self.seen, self.asked.task, code, "stream_broken" if self.broken else None, self)

    async def break_off(self, why: str) -> None:
        """End a stream that cannot go on with an error event, and no `[DONE]`.

        An answer that is no stream is left without its end, which the server turns into a closed connection.
        """
        if self.streaming:
            await self._send({"type": "http.response.body", "body": self.broken_off(why), "more_body": False})

    def broken_off(self, why: str) -> bytes:
        """The event that ends such a stream."""
        self.broken = True
        error = {"message": f"The stream broke off: {why}.", "type": "server_error", "param": None, "code": "stream_broken"}
        return b"data: " + orjson.dumps({"error": error}) + b"\n\n"

    def headers(self) -> list[Header]:
        """What tells where an answer came from."""
        headers = [_rule(self.rule), _attempts(self.attempts.made)]
        if self._router.draining_since is not None:
            headers.append(CLOSE)
        return headers

    async def _pass_whole(self, attempt: Attempt) -> None:
        answer = attempt.got
        body = await answer.read_up_to(HOLD_BYTES)
        if answer.status < 300:
            check_whole(body, cut=answer.pending)
        headers = [*self.answer_headers(attempt.at, answer), *split(self.lines)]
        if answer.status >= 400 and not answer.pending:
            headers, body = as_openais(answer.status, headers, body)
        if answer.pending:
            headers += [h for h in answer.headers if h[0] == b"content-length"]
        else:
            headers.append((b"content-length", b"%d" % len(body)))
        self.begin(attempt, answer)
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        while answer.pending:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
            body = await answer.read()
        await self._send({"type": "http.response.body", "body": body})
        if answer.status < 400:
            self.ended(answer.unsaid or body)

    async def _pass_stream(self, attempt: Attempt) -> None:
        answer, chunk = attempt.got, attempt.chunk
        self.begin_stream(attempt)
        headers = [*self.answer_headers(attempt.at, answer), *split(self.lines)]
        send = self._send
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        held = before = last = b""
        while chunk:
            if held or not chunk.endswith(b"\n\n"):
                chunk, held = whole_events(held + chunk)
            if chunk:
                before, last = last, chunk
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            chunk = await answer.read()
        last += held
        if answer.until_close and b"[DONE]" not in last[-64:]:
            raise UpstreamError("reset", "closed the connection in the middle of its answer")
        await send({"type": "http.response.body", "body": held})
        # Its usage comes in the last event before the end: both in one part, or each in its own.
        self.ended(answer.unsaid or (before + last)[-END_BYTES:])

    def begin(self, attempt: Attempt, answer: Answer) -> None:
        """The first byte goes to the client: from here on there is no other backend."""
        self.begun = True
        self.status = answer.status
        self.attempt = attempt
        self.target = target = attempt.target
        if answer.status < 400:
            now = self.first_at = perf_counter()
            attempt.at.succeeded((now - attempt.began) * 1000, answer, attempt.admitted)
            attempt.good = True
            target.metrics.queue.observe(attempt.began - self._arrived)
            target.metrics.first_byte[self.asked.task].observe(now - self._arrived)
            if target.first_bytes is not None:
                target.first_bytes[self.asked.stream].add(now - attempt.began)

    def begin_stream(self, attempt: Attempt) -> None:
        """The same, of a stream."""
        self.begin(attempt, attempt.got)
        self.streaming = True
        if self.first_at:
            attempt.target.metrics.first_token.observe(self.first_at - self._arrived)

    def ended(self, tail: bytes) -> None:
        """The last byte of a good answer is there.

        Args:
            tail: The answer, or of a stream its end, where its usage is told.
        """
        target = self.target
        assert target is not None
        metrics, now = target.metrics, perf_counter()
        metrics.duration[self.asked.task].observe(now - self._arrived)
        told = self.tokens = tokens_in(tail)
        if told is None:
            return
        prompt, answer = told
        metrics.prompt_tokens.value += prompt
        metrics.answer_tokens.value += answer
        if self.streaming and self.first_at and answer > 1:
            metrics.output_token.observe((now - self.first_at) / (answer - 1))
        key, prices = self._router.metrics.keys.of(self.caller.name), target.prices
        key.prompt_tokens.value += prompt
        key.answer_tokens.value += answer
        key.dollars.value += (prompt * prices.prompt + answer * prices.answer) / 1000

    def answer_headers(self, target: Target, answer: Answer) -> list[Header]:
        """What the client is told with an answer, but for what is told of this request alone: see `lines`."""
        stays = NOT_PASSED_ON if self.charge is None else NOT_PASSED_ON_TO_TENANTS
        headers = [h for h in answer.headers if h[0] not in stays]
        headers += target.headers
        headers += self.headers()
        return headers

    @property
    def lines(self) -> bytes:
        """Header lines that no other answer has: the request's id, and what is left of the client's limits."""
        charge = self.charge
        return b"x-request-id: %b\r\n%b" % (self._request_id, charge.lines if charge is not None else b"")
