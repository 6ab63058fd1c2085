"""One request's way through the backends: try them in order, hand on the first good answer.

Retries and fail-over end where the client has seen the first byte. Of a stream, whole events only are passed on, so that one that
breaks off can end in an error event rather than in half a line.
"""

import asyncio
import re
from asyncio import AbstractEventLoop
from math import ceil
from time import perf_counter

import orjson

from slipway_router.alive import check_whole, stream_is_alive
from slipway_router.answer import Answer, Cause, UpstreamError
from slipway_router.asgi import CLOSE, ApiError, Header, Send
from slipway_router.breaker import ORDINARY, REFUSED
from slipway_router.policy import Decision
from slipway_router.request import Asked
from slipway_router.retry import backoff
from slipway_router.router import Router
from slipway_router.target import Target

HOLD_BYTES = 16 * 1024 * 1024
"""A whole answer is held back until it is complete, so that another backend can give it if this one breaks off. A larger one
is passed on from here, and can no longer be replaced."""
EVENT_BYTES = 1024 * 1024
"""Largest unfinished event that is held back."""

_NOT_PASSED_ON = frozenset(
    {
        # of the connection, not of the message (RFC 9110, section 7.6.1), or set anew
        b"connection", b"content-length", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"date", b"server", b"x-request-id",
        # a backend's own business with the router, not with its clients
        b"alt-svc", b"set-cookie", b"strict-transport-security", b"access-control-allow-origin",
        b"access-control-allow-credentials", b"access-control-allow-headers", b"access-control-allow-methods",
        # ours: a router behind this one must not be taken for it
        b"x-slipway-backend", b"x-slipway-resource", b"x-slipway-rule", b"x-slipway-attempts",
    }
)  # fmt: skip
_NOT_TAKEN_UP: frozenset[Cause] = frozenset({"connect", "tls", "full", "rate_limit", "unsupported", "open"})
_WORTH_ANOTHER: frozenset[Cause] = frozenset({"connect", "reset", "protocol", "status"})
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_PROMPT_TOKENS = re.compile(rb'"prompt_tokens"\s*:\s*(\d{1,12})')
_ANSWER_TOKENS = re.compile(rb'"completion_tokens"\s*:\s*(\d{1,12})')
_USAGE_WINDOW = 4096


class Attempt:
    """A request at one backend, until that is over."""

    __slots__ = ("_left", "admitted", "answer", "began", "chunk", "target")

    def __init__(self, target: Target, admitted: int) -> None:
        """
        Args:
            target: The backend, which counts this as under way.
            admitted: What its breaker said.
        """
        self.target = target
        self.admitted = admitted
        self.began = perf_counter()
        self.answer: Answer | None = None
        self.chunk = b""
        """The first of a stream. Empty: the answer is no stream."""
        self._left = False

    @property
    def got(self) -> Answer:
        """The answer, once it is there."""
        assert self.answer is not None
        return self.answer

    def leave(self) -> None:
        """Give up what is still to come; once."""
        if self._left:
            return
        self._left = True
        if self.answer is not None:
            self.answer.abort()
        self.target.status.in_flight -= 1
        if self.admitted != ORDINARY:
            self.target.breaker.leave(self.admitted)


class Exchange:
    """A request that was understood and decided on, until its answer is over."""

    __slots__ = (
        "_arrived",
        "_failures",
        "_loop",
        "_request_id",
        "_router",
        "_rule",
        "_send",
        "_started",
        "_tier",
        "_tracing",
        "_worked",
        "asked",
        "attempts",
        "begun",
        "order",
        "status",
        "streaming",
        "target",
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
    ) -> None:
        self._router = router
        self._send = send
        self._request_id = request_id
        self._tracing = tracing
        self._started = started
        # For measuring: uvloop's own clock stands still within one turn of the loop, and has milliseconds only.
        self._arrived = perf_counter()
        self._loop = loop
        self._rule = decision.rule.encode()
        self._tier = tier
        self.asked = asked
        self.order = [router.targets[name] for name in decision.order]
        self._failures: dict[Target, UpstreamError] = {}
        self._worked = False
        """Whether a backend took the request up and failed: from there on an attempt is a retry. To go past one that could not
        be reached, or refused for its limits, costs nobody anything."""
        self.attempts = 0
        self.begun = False
        """Whether the client has seen any of the answer."""
        self.streaming = False
        """Whether what it has seen is a stream of events."""
        self.status = 0
        self.target: Target | None = None
        """Whose answer it is."""

    @property
    def longest(self) -> float:
        """Loop time by which all is over: the longest of the backends' total times."""
        return self._started + max(t.total for t in self.order)

    async def run(self) -> None:
        """Answer the client.

        Raises:
            ApiError: no backend could, and the client has seen nothing yet.
        """
        self._router.budget.request()
        for target in self.order:
            if target not in self._failures and await self._try(target):
                return
        # Nothing else is left: one request at a time may find out whether a backend is well again.
        for target in [t for t in self.order if self._failures[t].cause == "open"]:
            if await self._try(target, early=True):
                return
        retries = self._router.config.retries
        for number in range(1, retries.rounds + 1):
            again = [t for t in self.order if self._failures[t].cause in _WORTH_ANOTHER and not t.status.rests_seconds]
            if not again:
                break
            await asyncio.sleep(backoff(retries, number))
            for target in again:
                if await self._try(target):
                    return
        raise _all_failed([(t, self._failures[t]) for t in self.order], self.headers())

    async def _try(self, target: Target, *, early: bool = False) -> bool:
        """Ask one backend, if it may be asked. Says whether the client's request is over; else `_failures` says why not."""
        attempt = self._enter(target, early=early)
        if attempt is None:
            return False
        try:
            late = target.first_bytes[self.asked.stream].late_after if target.first_bytes is not None else None
            if late is None:
                await self._open(attempt)
            else:
                attempt, error = await self._open_or_hedge(attempt, late)
                if error is not None:
                    raise error
            await (self._pass_stream if attempt.chunk else self._pass_whole)(attempt)
        except UpstreamError as error:
            self._failed(attempt, error)
            if self.begun:
                await self.break_off(f"the backend {attempt.target.name} {error.detail}")
            return self.begun
        else:
            return True
        finally:
            attempt.leave()

    def _enter(self, target: Target, *, early: bool = False, hedge: bool = False) -> "Attempt | None":
        """Begin an attempt, if the backend's deadline, room, own wish and breaker, and the retry budget, allow one."""
        status = target.status
        why: UpstreamError | None = None
        admitted = REFUSED
        if self._loop.time() >= self._started + target.total:
            why = UpstreamError("timeout", "was not asked: its total time is over")
        elif not (status.cooldown.over and status.quota.over):
            wait = status.rests_seconds
            why = UpstreamError("rate_limit", f"asked to be left alone for {wait:.0f} s more", retry_after=wait)
        elif target.room is not None and status.in_flight >= target.room[self._tier]:
            why = UpstreamError("full", f"has {status.in_flight} requests under way, all that it may have", retry_after=1.0)
        elif not (admitted := target.breaker.admit(early=early)):
            wait = target.breaker.wait_seconds
            why = UpstreamError("open", "was not asked: it has failed too often of late", retry_after=wait)
        elif self._worked or hedge:
            if not self._router.budget.take():
                target.breaker.leave(admitted)
                self._router.metrics.retry_refused.inc()
                why = UpstreamError("full", "was not asked: the router's retry budget is used up")
            elif not hedge:
                self._router.metrics.retried.inc()
        if why is None:
            self.attempts += 1
            target.metrics.attempts.inc()
            status.in_flight += 1
            return Attempt(target, admitted)
        if not hedge:
            self._failures.setdefault(target, why)
        return None

    def _failed(self, attempt: "Attempt", error: UpstreamError) -> None:
        attempt.target.failed(error, attempt.admitted)
        attempt.target.metrics.failures[error.cause].inc()
        self._failures[attempt.target] = error
        self._worked = self._worked or error.cause not in _NOT_TAKEN_UP

    async def _open(self, attempt: "Attempt") -> None:
        """Ask, and wait for the head of a good answer; of a stream, until it proves alive."""
        target, asked = attempt.target, self.asked
        provider = target.provider
        if provider.prepares:
            await provider.prepare()
        head, body = provider.request(asked, self._request_id, self._tracing)
        answer = attempt.answer = await target.pool.request(head, body, self._started + target.total)
        if provider.translates:
            answer = attempt.answer = await provider.understand(asked, answer)
        target.check(answer)
        if _is_stream(answer):
            chunk = b""
            while not chunk or not stream_is_alive(chunk):
                more = await answer.read()
                if not more:
                    raise UpstreamError("reset", "ended its stream before the first token")
                chunk += more
            attempt.chunk = chunk

    async def _open_or_hedge(self, first: "Attempt", late: float) -> "tuple[Attempt, UpstreamError | None]":
        """As `_open`, and once the answer is late, ask the next backend beside it.

        Returns:
            The attempt that goes on, or the last one that failed with its error. The other is over.
        """
        opening = {self._loop.create_task(self._open(first)): first}
        second: Attempt | None = None
        try:
            await asyncio.wait(opening, timeout=late)
            if not next(iter(opening)).done():
                beside = [t for t in self.order if t not in self._failures and t is not first.target and t.breaker.closed]
                second = next((a for a in (self._enter(t, hedge=True) for t in beside) if a is not None), None)
                if second is not None:
                    opening[self._loop.create_task(self._open(second))] = second
            while True:
                await asyncio.wait(opening, return_when=asyncio.FIRST_COMPLETED)
                for task in [t for t in opening if t.done()]:
                    attempt = opening.pop(task)
                    error = task.exception()
                    if error is None:
                        if second is not None:
                            (self._router.metrics.hedge_won if attempt is second else self._router.metrics.hedge_lost).inc()
                        return attempt, None
                    if not isinstance(error, UpstreamError):
                        raise error
                    if not opening:
                        return attempt, error
                    self._failed(attempt, error)
                    attempt.leave()
        finally:
            for task, attempt in opening.items():
                # One that failed at the very same moment is no longer looked at.
                if not task.cancel():
                    task.exception()
                attempt.leave()

    async def break_off(self, why: str) -> None:
        """End a stream that cannot go on with an error event, and no `[DONE]`.

        An answer that is no stream is left without its end, which the server turns into a closed connection.
        """
        if not self.streaming:
            return
        error = {"message": f"The stream broke off: {why}.", "type": "server_error", "param": None, "code": "stream_broken"}
        event = b"data: " + orjson.dumps({"error": error}) + b"\n\n"
        await self._send({"type": "http.response.body", "body": event, "more_body": False})

    def headers(self) -> list[Header]:
        """What tells where an answer came from."""
        headers = [
            (b"x-slipway-rule", self._rule),
            (b"x-slipway-attempts", b"%d" % self.attempts),
        ]
        if self._router.draining_since is not None:
            headers.append(CLOSE)
        return headers

    async def _pass_whole(self, attempt: "Attempt") -> None:
        target, answer = attempt.target, attempt.got
        body = await answer.read_up_to(HOLD_BYTES)
        if answer.status < 300:
            check_whole(body, cut=answer.pending)
        headers = self._answer_headers(target, answer)
        if answer.pending:
            headers += [h for h in answer.headers if h[0] == b"content-length"]
        else:
            headers.append((b"content-length", b"%d" % len(body)))
        self._begin(attempt, answer)
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        while answer.pending:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
            body = await answer.read()
        await self._send({"type": "http.response.body", "body": body})
        if answer.status < 400:
            _count_tokens(target, body)
            self._time(target)

    async def _pass_stream(self, attempt: "Attempt") -> None:
        target, answer, chunk = attempt.target, attempt.got, attempt.chunk
        self._begin(attempt, answer)
        self.streaming = True
        headers = self._answer_headers(target, answer)
        send = self._send
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        held = last = b""
        while chunk:
            last = chunk
            if held or not chunk.endswith(b"\n\n"):
                chunk, held = _whole_events(held + chunk)
            if chunk:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            chunk = await answer.read()
        if answer.until_close and b"[DONE]" not in last[-64:]:
            raise UpstreamError("reset", "closed the connection in the middle of its answer")
        await send({"type": "http.response.body", "body": held})
        self._time(target)

    def _begin(self, attempt: "Attempt", answer: Answer) -> None:
        """The first byte goes to the client: from here on there is no other backend."""
        self.begun = True
        self.status = answer.status
        self.target = target = attempt.target
        if answer.status < 400:
            now = perf_counter()
            target.succeeded((now - attempt.began) * 1000, answer, attempt.admitted)
            target.metrics.first_byte[self.asked.task].observe(now - self._arrived)
            if target.first_bytes is not None:
                target.first_bytes[self.asked.stream].add(now - attempt.began)

    def _time(self, target: Target) -> None:
        target.metrics.duration[self.asked.task].observe(perf_counter() - self._arrived)

    def _answer_headers(self, target: Target, answer: Answer) -> list[Header]:
        passed = [h for h in answer.headers if h[0] not in _NOT_PASSED_ON]
        return [*passed, *target.headers, (b"x-request-id", self._request_id), *self.headers()]


def _is_stream(answer: Answer) -> bool:
    for name, value in answer.headers:
        if name == b"content-type":
            return value[:17].lower() == b"text/event-stream"
    return False


def _whole_events(data: bytes) -> tuple[bytes, bytes]:
    """Cut behind the last whole event. An event that grows past 1 MiB is passed on as it comes."""
    end = data.rfind(b"\n\n") + 2
    if end == 1:
        end = 0
    crlf = data.rfind(b"\r\n\r\n") + 4
    end = max(end, crlf if crlf > 3 else 0)
    if len(data) - end > EVENT_BYTES:
        end = len(data)
    return data[:end], data[end:]


def _count_tokens(target: Target, body: bytes) -> None:
    """From `usage` of a whole answer. Found by its quoted key: inside a JSON text the quotes would be escaped."""
    at = body.rfind(b'"usage"')
    found = _USAGE.match(body, at) if at >= 0 else None
    if found is None:
        return
    end = found.end() + _USAGE_WINDOW
    prompt, answer = _PROMPT_TOKENS.search(body, found.end(), end), _ANSWER_TOKENS.search(body, found.end(), end)
    if prompt:
        target.metrics.prompt_tokens.inc(int(prompt[1]))
    if answer:
        target.metrics.answer_tokens.inc(int(answer[1]))


def _all_failed(failures: list[tuple[Target, UpstreamError]], headers: list[Header]) -> ApiError:
    """400 if no backend's API can say what is asked. Of those that can: 503 if all are only busy, 504 if too slow, else 502."""
    causes = {error.cause for _, error in failures} - {"unsupported"}
    told = "; ".join(f"{target.name} {error.detail}" for target, error in failures)
    if not causes:
        return ApiError(400, f"No backend can do what is asked: {told}.", code="unsupported", headers=headers)
    if causes <= {"full", "rate_limit", "open"}:
        status, code = 503, "backends_busy"
    elif causes == {"timeout"}:
        status, code = 504, "backends_timed_out"
    else:
        status, code = 502, "backends_failed"
    waits = [error.retry_after for _, error in failures if error.retry_after is not None]
    if waits:
        headers = [*headers, (b"retry-after", b"%d" % ceil(min(waits)))]
    return ApiError(status, f"No backend could answer: {told}.", kind="server_error", code=code, headers=headers)
