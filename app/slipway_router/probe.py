"""The background health probe: what brings a backend back that no request would be sent to any more."""

import asyncio
import random

from slipway_router.answer import Answer, UpstreamError
from slipway_router.router import Router
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
    """Probe every backend now and then until cancelled."""
    async with asyncio.TaskGroup() as group:
        for target in router.targets.values():
            group.create_task(_keep_probing(target, period))


async def _keep_probing(target: Target, period: float) -> None:
    while True:
        await probe(target)
        target.pool.trim()
        base = period
        if not target.reached:
            base = min(period, FIRST_PERIOD_SECONDS)
        elif target.status.reachable and target.status.available and not target.backend.self_hosted:
            base = max(period, VENDOR_PERIOD_SECONDS)
        await asyncio.sleep(base * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 -- no secret depends on it


async def probe(target: Target) -> None:
    """Ask a backend for its models, and count the outcome like that of a request, but for its latency.

    Any answer below 500 shows a server that works, except one that our key is wrong or that its limit is used up; a server
    without a list of models answers 404.
    """
    answer: Answer | None = None
    try:
        if target.provider.prepares:
            await target.provider.prepare()
        answer = await target.pool.request(target.provider.probe(), b"", asyncio.get_running_loop().time() + LIMIT_SECONDS)
        if answer.status != 404:
            target.check(answer)
        await answer.read_up_to(MOST_BYTES)
        target.probed(None, answer)
    except UpstreamError as error:
        target.probed(error, None)
    finally:
        if answer is not None:
            answer.abort()
