"""Endpoints side by side: the same load on each in turns, its times, and what its requests cost."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from slipway_router.bench.asking import Asker
from slipway_router.bench.load import Measured, at_once
from slipway_router.bench.report import summary, times
from slipway_router.bench.traffic import Arrival


@dataclass(frozen=True)
class TokenPrice:
    """What a vendor takes for tokens."""

    usd_per_million_prompt: float
    usd_per_million_answer: float


@dataclass(frozen=True)
class Endpoint:
    """One of those that are compared."""

    name: str
    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    usd_per_hour: float | None = None
    """Of all that serves it; `None`: not known, or paid by the token."""
    tokens: TokenPrice | None = None
    price_source: str = ""
    """Where its price is from."""

    def asker(self, timeout: float, extra: Mapping[str, Any]) -> Asker:
        """Who asks it.

        Raises:
            ValidationError: the address is none.
        """
        return Asker(self.url, self.model, key=self.key, timeout=timeout, extra=extra)


@dataclass(frozen=True)
class Load:
    """What each endpoint is asked, in all."""

    requests: int
    concurrency: int
    prompt_tokens: int
    answer_tokens: int
    rounds: int
    warm_up: int
    """Requests before the first round, which count nowhere: they open connections and fill caches."""
    timeout: float
    seconds: float
    """Longest time that new requests are sent in one round."""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass
class Result:
    """What came of one endpoint."""

    endpoint: Endpoint
    rounds: list[Measured] = field(default_factory=list[Measured])

    @property
    def whole(self) -> Measured:
        """All rounds together. Their seconds are those of its own turns."""
        seconds = sum(m.seconds for m in self.rounds)
        busy = sum(m.generator_share * m.seconds for m in self.rounds) / seconds if seconds else 0.0
        outcomes = [o for m in self.rounds for o in m.outcomes]
        return Measured(outcomes, seconds, busy, sum(m.given_up for m in self.rounds))

    @property
    def median_ms_by_round(self) -> list[float]:
        """The median total time of each round, in milliseconds: how steady it is."""
        return [median(told) for m in self.rounds if (told := times(m)["total_ms"])]

    def cost(self) -> tuple[float, float] | None:
        """USD for 1,000 requests, and for a million tokens of answers; `None` where the price, or a token, is not known.

        Of hardware that is paid by the hour: the hour's price over what it did in an hour of this load. With less load both are
        dearer, and with more cheaper, until it is full.
        """
        whole = self.whole
        good = [o for o in whole.outcomes if o.cause is None]
        tokens = sum(o.tokens for o in good)
        if not good or not tokens:
            return None
        if (price := self.endpoint.tokens) is not None:
            if not all(o.prompt_tokens for o in good):
                return None
            asked = sum(o.prompt_tokens for o in good)
            usd = asked * price.usd_per_million_prompt / 1e6 + tokens * price.usd_per_million_answer / 1e6
        elif self.endpoint.usd_per_hour is not None:
            usd = self.endpoint.usd_per_hour * whole.seconds / 3600
        else:
            return None
        return usd / len(good) * 1000, usd / tokens * 1e6

    def told(self) -> dict[str, Any]:
        """For programs."""
        endpoint, cost = self.endpoint, self.cost()
        return {
            **summary(self.whole, name=endpoint.name, url=endpoint.url, model=endpoint.model),
            "median_ms_by_round": [round(v, 3) for v in self.median_ms_by_round],
            "price": {
                "usd_per_hour": endpoint.usd_per_hour,
                "usd_per_million_prompt_tokens": endpoint.tokens and endpoint.tokens.usd_per_million_prompt,
                "usd_per_million_answer_tokens": endpoint.tokens and endpoint.tokens.usd_per_million_answer,
                "source": endpoint.price_source or None,
            },
            "usd_per_1000_requests": None if cost is None else round(cost[0], 6),
            "usd_per_million_output_tokens": None if cost is None else round(cost[1], 6),
        }


async def compare(
    endpoints: Sequence[Endpoint], load: Load, stop: asyncio.Event, progress: Callable[[str], None] = lambda _: None
) -> list[Result]:
    """Load every endpoint with the same, in rounds that alternate, one endpoint at a time.

    What changes while it runs (another's load, a cache, the hour) so meets all of them, and none is measured while another uses
    the same network and generator. Who begins changes from round to round.

    Args:
        endpoints: Two or more, or one.
        load: What each is asked.
        stop: Ends it early, with what came until then.
        progress: Told who is loaded.
    """
    results = [Result(e) for e in endpoints]
    askers = [e.asker(load.timeout, load.extra) for e in endpoints]
    request = Arrival(0.0, load.prompt_tokens, load.answer_tokens)
    try:
        if load.warm_up:
            for asker in askers:
                await at_once(asker, request, load.concurrency, load.warm_up, load.seconds, stop)
        for turn in range(load.rounds):
            share = load.requests // load.rounds + (turn < load.requests % load.rounds)
            for offset in range(len(results)):
                if stop.is_set():
                    return results
                i = (turn + offset) % len(results)
                progress(f"round {turn + 1} of {load.rounds}: {endpoints[i].name}")
                results[i].rounds.append(await at_once(askers[i], request, load.concurrency, share, load.seconds, stop))
    finally:
        for asker in askers:
            asker.close()
    return results
