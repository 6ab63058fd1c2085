"""One ensemble: its branches at once, each by the ordinary data path, and the answer made of theirs."""

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter, time
from typing import Any

import orjson

from slipway_router.asgi import CLOSE, ApiError, Header, Send, respond
from slipway_router.ensemble.aggregate import longest, majority, settled
from slipway_router.ensemble.asked import AskedOfSeveral, Branch, JudgeSettings
from slipway_router.ensemble.judge import question, shuffled, verdict
from slipway_router.ensemble.outcome import Collected, Outcome, error_of, is_completion, summed
from slipway_router.exchange import Exchange
from slipway_router.keys import Caller
from slipway_router.metrics import CLIENT_GONE, NO_BACKEND
from slipway_router.policy import RoutingContext
from slipway_router.request import Asked
from slipway_router.router import Router
from slipway_router.telemetry.record import Record


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks, as far as every branch must know it."""

    headers: Mapping[bytes, bytes]
    context: RoutingContext
    request_id: bytes
    tracing: bytes
    started: float
    """Loop time."""
    caller: Caller
    seen: Record | None
    """The request, where somebody is told of it."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What was made of the answers."""

    places: Sequence[int]
    """Of the models whose answers the client gets."""
    told: Mapping[str, Any]
    """How that came about, for the client."""
    spent: object = None
    """Usage of the judge."""
    attempts: int = 0
    """And its attempts."""


class FanOut:
    """One ensemble, until it is answered."""

    def __init__(self, router: Router, several: AskedOfSeveral, client: Client, send: Send, loop: AbstractEventLoop) -> None:
        """
        Args:
            router: What answers.
            several: What is asked, and of whom.
            client: By whom.
            send: Where the answer goes.
            loop: The running loop.
        """
        self._router = router
        self._several = several
        self._client = client
        self._send = send
        self._loop = loop
        self.status = 200
        self.begun = False
        """Whether the client has seen any of the answer."""

    @property
    def longest(self) -> float:
        """Loop time by which all is over, the writing of the answer included."""
        return self._client.started + self._several.longest_seconds + 60.0

    async def run(self) -> None:
        """Answer the client.

        Raises:
            ApiError: too few models answered.
        """
        several = self._several
        try:
            outcomes = await self._outcomes()
            answers = {i: o for i, o in enumerate(outcomes) if o.status == "answered"}
            if len(answers) < several.min_answers:
                raise _too_few(outcomes, len(answers), several.min_answers)
            chosen = await self._chosen(answers)
        except ApiError as error:
            self._router.metrics.ensembles.answered(several.aggregate, error.status)
            raise
        body = self._body(outcomes, chosen)
        attempts = sum(o.attempts for o in outcomes) + chosen.attempts
        headers: list[Header] = [
            (b"x-slipway-rule", b"ensemble"),
            (b"x-slipway-attempts", b"%d" % attempts),
            (b"x-request-id", self._client.request_id),
        ]
        backend = outcomes[chosen.places[0]].backend
        if len(chosen.places) == 1 and backend is not None:
            headers.append((b"x-slipway-backend", backend.encode()))
        if self._router.draining_since is not None:
            headers.append(CLOSE)
        self.begun = True
        await respond(self._send, self.status, orjson.dumps(body), headers)

    async def break_off(self, why: str) -> None:
        """An answer that is cut short is left without its end, which the server turns into a closed connection."""

    def settle(self) -> None:
        """Nothing is to be booked: each branch was."""

    def count(self, code: int) -> None:
        """Count the whole; each branch was counted when it was over."""
        self._router.metrics.ensembles.answered(self._several.aggregate, code)
        if self._router.recorder is not None and self._client.seen is not None:
            self._router.recorder.over(self._client.seen, "chat", code, None)

    async def _outcomes(self) -> list[Outcome]:
        """Ask all at once; give up those that can change nothing any more."""
        several, router = self._several, self._router
        began = perf_counter()
        tasks = [self._loop.create_task(self._branch(b, number)) for number, b in enumerate(several.branches, 1)]
        # The ensemble itself counts as one of the requests under way already.
        router.branches += len(tasks) - 1
        outcomes: list[Outcome | None] = [None] * len(tasks)
        pending = set(tasks)
        try:
            while pending and not settled(several.aggregate, outcomes, several.min_answers):
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    outcomes[tasks.index(task)] = task.result()
        finally:
            router.branches -= len(tasks) - 1
            for task in pending:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        seconds = perf_counter() - began
        made = [o or Outcome(b.model, "cancelled", seconds=seconds) for o, b in zip(outcomes, several.branches, strict=True)]
        for outcome in made:
            router.metrics.ensembles.branch(outcome.status)
        return made

    async def _branch(self, branch: Branch, number: int) -> Outcome:
        asked = self._several.asked
        return await self._ask(
            branch.model, {**asked.fields, "model": branch.model}, asked, branch.deadline_seconds, b"-%d" % number
        )

    async def _ask(self, model: str, fields: Mapping[str, Any], like: Asked, deadline_seconds: float, suffix: bytes) -> Outcome:
        """Ask one model as a client would, routing, retries and fail-over included.

        Args:
            model: As the client named it.
            fields: The body.
            like: Whose estimates count.
            deadline_seconds: From now on.
            suffix: Tells this request's id from its siblings'.
        """
        router, client = self._router, self._client
        asked = replace(like, model=model, fields=fields, raw=orjson.dumps(fields))
        collected = Collected()
        began = perf_counter()
        seen = client.seen.branch(suffix, began) if client.seen is not None else None
        exchange: Exchange | None = None
        outcome = Outcome(model, "timed_out", error=f"did not answer within {deadline_seconds:g} s", error_code="deadline")
        code = CLIENT_GONE
        try:
            decision = router.decide(asked, client.context, client.headers)
            tenant = client.caller.tenant
            charge = await router.charged(tenant, asked, decision) if tenant is not None else None
            exchange = Exchange(
                router,
                asked,
                decision,
                collected.send,
                tier=client.context.user_tier,
                request_id=client.request_id + suffix,
                tracing=client.tracing,
                started=self._loop.time(),
                loop=self._loop,
                caller=client.caller,
                seen=seen,
                charge=charge,
            )
            async with asyncio.timeout(deadline_seconds):
                await exchange.run()
            code = exchange.status
            outcome = _read(model, collected)
        except TimeoutError:
            code = 504
        except ApiError as error:
            code = error.status
            after = dict(error.headers).get(b"retry-after")
            outcome = Outcome(model, "failed", code=code, error=error.message, error_code=error.code, retry_after=after)
        finally:
            if exchange is not None and exchange.target is not None:
                exchange.count(code)
            else:
                router.metrics.answered(*NO_BACKEND, "chat", code)
                if router.recorder is not None and seen is not None:
                    router.recorder.over(seen, "chat", code, outcome.error_code, exchange)
            if exchange is not None:
                exchange.settle(gone=code in (CLIENT_GONE, 504))
        target = exchange.target if exchange is not None else None
        return replace(
            outcome,
            backend=target.name if target is not None else None,
            attempts=exchange.attempts.made if exchange is not None else 0,
            seconds=perf_counter() - began,
        )

    async def _chosen(self, answers: Mapping[int, Outcome]) -> _Chosen:
        several = self._several
        match several.aggregate:
            case "all":
                return _Chosen(sorted(answers), {})
            case "longest":
                return _one(longest(answers))
            case "majority":
                place, agreed = majority(answers)
                return _one(place, agreed=agreed)
            case "first":
                return _one(min(answers, key=lambda place: answers[place].seconds))
            case "judge":
                assert several.judge is not None
                return await self._judged(several.judge, answers)

    async def _judged(self, judge: JudgeSettings, answers: Mapping[int, Outcome]) -> _Chosen:
        """What the judge chooses; what most agree on where it does not."""
        place, agreed = majority(answers)
        if len(answers) == 1:
            return _one(place, agreed=agreed, judge={"model": judge.model, "status": "not_asked"})
        order = shuffled(answers)
        asked = self._several.asked
        messages = question(asked.fields.get("messages"), [answers[i] for i in order], judge.instructions)
        tokens = sum(len(m["content"]) for m in messages) // 4
        like = Asked("chat", judge.model, False, tokens, b"", {})
        said = await self._ask(judge.model, {"model": judge.model, "messages": messages}, like, judge.deadline_seconds, b"-judge")
        number = verdict(said.text, len(order)) if said.body is not None else None
        status = "failed" if said.body is None else "unclear" if number is None else "chose"
        self._router.metrics.ensembles.judged(status)
        told = {**said.told(), "status": status}
        found = _one(order[number - 1], judge=told) if number is not None else _one(place, agreed=agreed, judge=told)
        return replace(found, spent=an_answers_usage(said), attempts=said.attempts)

    def _body(self, outcomes: Sequence[Outcome], chosen: _Chosen) -> dict[str, Any]:
        first = outcomes[chosen.places[0]]
        assert first.body is not None
        choices = [{**outcomes[place].choice, "index": i} for i, place in enumerate(chosen.places)]
        return {
            "id": f"ensemble-{self._client.request_id.decode()}",
            "object": "chat.completion",
            "created": int(time()),
            "model": first.body.get("model", first.model),
            "choices": choices,
            "usage": summed([*(an_answers_usage(o) for o in outcomes), chosen.spent]),
            "ensemble": {
                "aggregate": self._several.aggregate,
                **chosen.told,
                "branches": [o.told() for o in outcomes],
            },
        }


def an_answers_usage(outcome: Outcome) -> object:
    """What an answer says that it took; nothing where there is none."""
    return outcome.body.get("usage") if outcome.body is not None else None


def _one(place: int, **told: object) -> _Chosen:
    return _Chosen([place], {"chosen": place, **told})


def _read(model: str, collected: Collected) -> Outcome:
    body = collected.body
    if collected.status >= 400:
        return Outcome(model, "failed", code=collected.status, error=error_of(body), error_code="refused")
    if not is_completion(body):
        return Outcome(model, "failed", code=502, error="answered with what is no chat completion", error_code="no_completion")
    return Outcome(model, "answered", code=collected.status, body=body)


def _too_few(outcomes: Sequence[Outcome], answered: int, wanted: int) -> ApiError:
    """400 if what all refused is the client's own mistake, 429 if all are over a rate limit, 503 if all are only busy, 504 if all
    were too slow, else 502."""
    failed = [o for o in outcomes if o.status != "answered"]
    told = "; ".join(f"'{o.model}' {_lower(o.error or o.status)}" for o in failed)
    codes = {504 if o.status == "timed_out" else o.code or 502 for o in failed}
    status, kind = 502, "server_error"
    if codes == {429}:
        status, kind = 429, "rate_limit_error"
    elif codes <= {429, 503}:
        status = 503
    elif codes == {504}:
        status = 504
    elif all(400 <= c < 500 for c in codes):
        status, kind = 400, "invalid_request_error"
    waits = [int(o.retry_after) for o in failed if o.retry_after is not None]
    headers: list[Header] = [(b"retry-after", b"%d" % min(waits))] if waits and status in (429, 503) else []
    many = "model" if len(outcomes) == 1 else "models"
    message = f"{answered} of {len(outcomes)} {many} answered, {wanted} must: {told}"
    return ApiError(
        status, message if message.endswith(".") else f"{message}.", kind=kind, code="ensemble_failed", headers=headers
    )


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")
