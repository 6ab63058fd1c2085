"""The attempts that one request makes at backends: whether there may be one, how it opens, what became of those that failed."""

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Sequence
from math import ceil
from time import perf_counter

from slipway_router.alive import stream_is_alive
from slipway_router.answer import Answer, Cause, UpstreamError
from slipway_router.asgi import ApiError, Header
from slipway_router.attempt import Attempt
from slipway_router.breaker import REFUSED
from slipway_router.cold_start import ColdStart, first_back
from slipway_router.fleet import Fleet, Member, Placed
from slipway_router.prompt import Prompt
from slipway_router.request import Asked
from slipway_router.router import Router
from slipway_router.target import Target
from slipway_router.telemetry.record import Tried, tried
from slipway_router.telemetry.trace import Trace, new_span_id

SLOW_REPLICAS = 2
"""Replicas of one backend that may fail a request, after it reached them, before other backends are asked: then it is likely that
the backend as a whole is unwell, and each may have taken its time."""

# The next replica may do better at once; what others say holds for all of them.
_OF_ONE_REPLICA: frozenset[Cause] = frozenset({"connect", "tls", "timeout", "reset", "protocol", "full", "status", "rate_limit"})
_NOT_TAKEN_UP: frozenset[Cause] = frozenset({"connect", "tls", "full", "rate_limit", "unsupported", "open", "cold"})


class Attempts:
    """What one request has tried so far."""

    __slots__ = (
        "_another",
        "_asked",
        "_loop",
        "_passed_over",
        "_prompt",
        "_request_id",
        "_router",
        "_slow",
        "_started",
        "_tier",
        "_tracing",
        "_tried",
        "_worked",
        "failures",
        "latest",
        "made",
        "order",
        "trace",
        "trail",
    )

    def __init__(
        self,
        router: Router,
        asked: Asked,
        order: Sequence[str],
        *,
        tier: str,
        request_id: bytes,
        tracing: bytes,
        started: float,
        loop: AbstractEventLoop,
        trace: Trace | None = None,
    ) -> None:
        self._router = router
        self._asked = asked
        self._tier = tier
        self._request_id = request_id
        self._tracing = tracing
        self._started = started
        self._loop = loop
        self._worked = False
        """Whether a backend took the request up and failed: from there on an attempt is a retry. To go past one that could not
        be reached, or refused for its limits, costs nobody anything."""
        self._passed_over: tuple[ColdStart, ...] = ()
        """Backends that this request should be at, and that are not there."""
        self._prompt: Prompt | None = None
        self._tried: dict[Target, list[Member]] | None = None
        """The replicas that it was sent to, where a backend has several."""
        self._slow = 0
        """Replicas of it that failed after they were reached."""
        self._another: Target | None = None
        """The backend of which another replica may do better than the one that failed last."""
        self.order = [router.targets[name] for name in order]
        self.failures: dict[Target, UpstreamError] = {}
        """Why a backend was not asked, or what its last attempt came to."""
        self.made = 0
        """How many there were."""
        self.trace = trace
        """The trace that backends go on with. None: they get what the client sent."""
        self.trail: list[Tried] | None = [] if trace is not None and trace.sampled else None
        """Those that are over, where they are to be told."""
        self.latest: Attempt | None = None
        """The one that was begun last, likewise."""

    @property
    def longest(self) -> float:
        """Loop time by which all is over: the longest of the backends' total times."""
        return self._started + max(t.total for t in self.order)

    def enter(self, target: Target, *, early: bool = False, hedge: bool = False) -> Attempt | None:
        """Begin an attempt, if the backend's deadline, room, own wish and breaker, and the retry budget, allow one."""
        status = target.status
        why: UpstreamError | None = None
        admitted = REFUSED
        at, assignment = target, None
        self._another = None
        if self._loop.time() >= self._started + target.total:
            why = UpstreamError("timeout", "was not asked: its total time is over")
        elif (cold := target.cold_start) is not None and self._passes_over(cold, early=early, hedge=hedge):
            wait = cold.left_seconds
            why = UpstreamError("cold", "has no replica, and is started" if wait else "has just come back", retry_after=wait)
        elif not (status.cooldown.over and status.quota.over):
            wait = status.rests_seconds
            cause = "full" if status.quota.over else "rate_limit"
            why = UpstreamError(cause, f"asked to be left alone for {wait:.0f} s more", retry_after=wait)
        elif target.room is not None and status.in_flight >= target.room[self._tier]:
            why = UpstreamError("full", f"has {status.in_flight} requests under way, all that it may have", retry_after=1.0)
        elif target.fleet is not None and target.fleet.members:
            placed = self._place(target, target.fleet, early=early)
            if placed is not None:
                at, assignment, admitted = placed
        else:
            admitted = target.breaker.admit(early=early)
        if why is None and not admitted:
            wait = target.breaker.wait_seconds
            why = UpstreamError("open", "was not asked: it has failed too often of late", retry_after=wait)
        elif why is None and (self._worked or hedge):
            if not self._router.budget.take():
                at.breaker.leave(admitted)
                if assignment is not None:
                    assignment.end(failed=True)
                    at.status.in_flight -= 1
                target.metrics.retry_refused.inc()
                why = UpstreamError("full", "was not asked: the router's retry budget is used up")
            elif not hedge:
                target.metrics.retried.inc()
        if why is None:
            self.made += 1
            target.metrics.attempts.inc()
            status.in_flight += 1
            attempt = Attempt(target, at, admitted, assignment)
            trace = self.trace
            if trace is not None:
                attempt.span_id = new_span_id() if trace.sampled else trace.span_id
                self.latest = attempt
            return attempt
        if not hedge:
            self.failures.setdefault(target, why)
        return None

    def _passes_over(self, cold: ColdStart, *, early: bool, hedge: bool) -> bool:
        """Whether another backend is to answer because this one has no replica, or has just got its first."""
        if hedge:
            return cold.share < 1
        passes = cold.away if early else not cold.meet()
        if passes:
            self._pass_over(cold)
        elif cold in self._passed_over:
            self._passed_over = tuple(c for c in self._passed_over if c is not cold)
            cold.spilled -= 1
        return passes

    def _pass_over(self, cold: ColdStart) -> None:
        if cold not in self._passed_over:
            self._passed_over = (*self._passed_over, cold)
            cold.spilled += 1

    async def one_is_back(self, waking: Sequence[Target]) -> bool:
        """Wait for the first of these that comes back from zero, as long as there is time to answer. Says whether one did."""
        longest = max(t.total for t in waking)
        until = self._started + longest - min(1.0, longest / 10)
        return await first_back([t.cold_start for t in waking if t.cold_start is not None], until)

    def over(self) -> None:
        """The request is over."""
        for cold in self._passed_over:
            cold.spilled -= 1

    def failed(self, attempt: Attempt, error: UpstreamError) -> None:
        """Take in what an attempt came to."""
        target = attempt.target
        if self.trail is not None:
            self.trail.append(tried(attempt, perf_counter(), error.cause))
        attempt.at.failed(error, attempt.admitted)
        of_one = attempt.assignment is not None and self._of_one_replica(target, error.cause)
        if error.absent and target.cold_start is not None and target.away:
            self._pass_over(target.cold_start)
            error = UpstreamError("cold", f"{error.detail}: it has no replica", retry_after=target.cold_start.left_seconds)
        target.metrics.failures[error.cause].inc()
        self.failures[target] = error
        taken_up = error.cause not in _NOT_TAKEN_UP
        self._worked = self._worked or taken_up
        if of_one:
            self._another = target
            self._slow += taken_up

    def another(self, target: Target) -> bool:
        """Whether the backend whose replica has just failed should be asked again, at another one, before other backends are."""
        if self._another is not target:
            return False
        if self._slow < SLOW_REPLICAS and self._untried(target):
            return True
        self._slow = 0
        return False

    def left_over(self) -> list[Target]:
        """Backends of which some replicas were not asked, in favour of other backends, that may yet do better."""
        tried = self._tried
        if tried is None:
            return []
        return [t for t in self.order if t in tried and self._of_one_replica(t, self.failures[t].cause) and self._untried(t)]

    def another_round(self) -> None:
        """Every replica may be asked once more."""
        self._tried = None

    def _untried(self, target: Target) -> bool:
        tried = (self._tried or {}).get(target, [])
        return target.fleet is not None and bool(target.fleet.willing(tried))

    def _of_one_replica(self, target: Target, cause: Cause) -> bool:
        return cause in _OF_ONE_REPLICA and not (cause == "rate_limit" and target.backend.quota is not None)

    def _place(self, target: Target, fleet: Fleet, *, early: bool) -> Placed | None:
        if self._prompt is None:
            self._prompt = Prompt(self._asked, fleet.most_bytes)
        if self._tried is None:
            self._tried = {}
        tried = self._tried.setdefault(target, [])
        placed = fleet.place(self._prompt, tried, observed=self._asked.stream, early=early)
        if placed is not None:
            tried.append(placed.member)
            placed.member.status.in_flight += 1
        return placed

    def lines(self, attempt: Attempt) -> bytes:
        """More header lines for a backend: hops, and the trace."""
        return self._tracing if self.trace is None else self._tracing + self.trace.lines(attempt.span_id)

    async def open(self, attempt: Attempt) -> None:
        """Ask, and wait for the head of a good answer; of a stream, until it proves alive."""
        target, asked = attempt.at, self._asked
        provider = target.provider
        if provider.prepares:
            await provider.prepare()
        head, body = provider.request(asked, self._request_id, self.lines(attempt))
        answer = attempt.answer = await target.pool.request(head, body, self._started + target.total)
        if provider.translates:
            answer = attempt.answer = await provider.understand(asked, answer)
        target.check(answer)
        if is_stream(answer):
            chunk = b""
            while not chunk or not stream_is_alive(chunk):
                more = await answer.read()
                if not more:
                    raise UpstreamError("reset", "ended its stream before the first token")
                chunk += more
            attempt.chunk = chunk
            if attempt.assignment is not None:
                attempt.assignment.first_token()

    async def open_or_hedge(self, first: Attempt, late: float) -> tuple[Attempt, UpstreamError | None]:
        """As `open`, and once the answer is late, ask the next backend beside it.

        Returns:
            The attempt that goes on, or the last one that failed with its error. The other is over.
        """
        opening = {self._loop.create_task(self.open(first)): first}
        second: Attempt | None = None
        try:
            await asyncio.wait(opening, timeout=late)
            if not next(iter(opening)).done():
                # Another replica of the same backend, where there is one, is as good as the first.
                others = [t for t in self.order if t is not first.target or first.assignment is not None]
                beside = [t for t in others if t not in self.failures and t.breaker.closed]
                second = next((a for a in (self.enter(t, hedge=True) for t in beside) if a is not None), None)
                if second is not None:
                    opening[self._loop.create_task(self.open(second))] = second
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
                    self.failed(attempt, error)
                    attempt.leave()
        finally:
            for task, attempt in opening.items():
                # One that failed at the very same moment is no longer looked at.
                if not task.cancel():
                    task.exception()
                attempt.leave()

    def all_failed(self, headers: list[Header]) -> ApiError:
        """What the client is told: 400 if no API can say what is asked. Of those that can: 429 if all are over a rate limit,
        which clients know how to wait for, 503 if all are only busy, 504 if too slow, else 502.
        """
        failures = [(t, self.failures[t]) for t in self.order]
        causes = {error.cause for _, error in failures} - {"unsupported"}
        told = "; ".join(f"{target.name} {error.detail}" for target, error in failures)
        if not causes:
            return ApiError(400, f"No backend can do what is asked: {told}.", code="unsupported", headers=headers)
        if causes == {"rate_limit"}:
            status, code = 429, "rate_limited"
        elif causes <= {"full", "rate_limit", "open", "cold"}:
            status, code = 503, "backends_busy"
        elif causes == {"timeout"}:
            status, code = 504, "backends_timed_out"
        else:
            status, code = 502, "backends_failed"
        waits = [error.retry_after for _, error in failures if error.retry_after is not None]
        if waits:
            headers = [*headers, (b"retry-after", b"%d" % ceil(min(waits)))]
        kind = "rate_limit_error" if status == 429 else "server_error"
        return ApiError(status, f"No backend could answer: {told}.", kind=kind, code=code, headers=headers)


def is_stream(answer: Answer) -> bool:
    """Whether an answer is a stream of events."""
    for name, value in answer.headers:
        if name == b"content-type":
            return value[:17].lower() == b"text/event-stream"
    return False
