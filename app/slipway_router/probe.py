"""The background health probe: what brings a backend back that no request would be sent to any more."""

import asyncio
import random

import orjson

from slipway_router.answer import Answer, UpstreamError
from slipway_router.backend import Backend
from slipway_router.breaker import REFUSED
from slipway_router.request import Asked, parse
from slipway_router.router import Router
from slipway_router.schema import Task
from slipway_router.target import Target

PERIOD_SECONDS = 5.0
FIRST_PERIOD_SECONDS = 1.0
"""Between probes of a backend that was never reached: it may just be starting, and its failures are forgotten."""
VENDOR_PERIOD_SECONDS = 30.0
"""Between probes of a vendor's API while it is well: they count against its rate limit."""
JITTER = 0.2
"""Share by which a period varies either way, so that replicas do not probe in step."""
MOST_BYTES = 1024 * 1024
"""How much of a list of models is read; an aggregator's can be long."""
LIMIT_SECONDS = 5.0
"""Within which a probe must be answered: listing models needs no inference."""


async def probe_all(router: Router, period: float = PERIOD_SECONDS) -> None:
    """Probe every backend, each of its replicas where it has several, now and then until cancelled; also later ones."""
    probing: dict[Target, asyncio.Task[None]] = {}
    try:
        while True:
            changed = router.changed
            there = {e for t in router.targets.values() for e in t.endpoints}
            for target in probing.keys() - there:
                probing.pop(target).cancel()
            for target in there - probing.keys():
                probing[target] = asyncio.create_task(_keep_probing(target, period))
            await changed.wait()
    finally:
        for task in probing.values():
            task.cancel()
        await asyncio.gather(*probing.values(), return_exceptions=True)


async def _keep_probing(target: Target, period: float) -> None:
    while True:
        await probe(target)
        target.pool.trim()
        target.sample_cost()
        base = period
        waking = target.cold_start is not None and target.cold_start.state == "waking"
        if waking or not target.reached:
            base = min(period, FIRST_PERIOD_SECONDS)
        elif target.status.reachable and target.status.available and not target.backend.self_hosted:
            base = max(period, VENDOR_PERIOD_SECONDS)
        await asyncio.sleep(base * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 -- no secret depends on it


async def probe(target: Target) -> None:
    """Ask a backend for its models or, where its `health_check` says so, its model for one token; count the outcome.

    It counts like that of a request, but for its latency. To the list of models any answer below 500 shows a server that works,
    except one that our key is wrong or that its limit is used up; a server without such a list answers 404. A backend that asked
    to be left alone is, and one that answered requests since the last probe need not be asked for a token.
    """
    if target.status.rests_seconds:
        return
    if target.backend.health_check == "models":
        await _ask(target, None)
    elif target.proven:
        target.proven = False
    else:
        admitted = target.breaker.admit()
        if admitted != REFUSED:
            await _ask(target, admitted)
            target.breaker.leave(admitted)


async def _ask(target: Target, admitted: int | None) -> None:
    """Probe by its list of models, or, with the breaker's leave, by a token."""
    answer: Answer | None = None
    provider, now = target.provider, asyncio.get_running_loop().time()
    try:
        if provider.prepares:
            await provider.prepare()
        if admitted is None:
            answer = await target.pool.request(provider.probe(), b"", now + LIMIT_SECONDS)
            if not provider.alive(answer.status):
                target.check(answer)
        else:
            asked = _one_token(target.backend)
            head, body = provider.request(asked, b"health-check", b"")
            answer = await target.pool.request(head, body, now + target.backend.timeouts.first_byte)
            if provider.translates:
                answer = await provider.understand(asked, answer)
            target.check(answer)
            if answer.status >= 400:
                raise UpstreamError("status", f"answered {answer.status} when asked for one token")
        await answer.read_up_to(MOST_BYTES)
        target.probed(None, answer, admitted)
    except UpstreamError as error:
        target.probed(error, None, admitted)
    finally:
        if answer is not None:
            answer.abort()


def _one_token(backend: Backend) -> Asked:
    task: Task = "chat" if "chat" in backend.tasks else "completions"
    content = {"messages": [{"role": "user", "content": "Hi"}]} if task == "chat" else {"prompt": "Hi"}
    return parse(task, orjson.dumps({"model": backend.model, "max_tokens": 1, **content}))
