"""What one request takes of its tenant's limits: asked for before it is sent, corrected by what it really came to."""

import asyncio
from typing import TYPE_CHECKING

from slipway_router.asgi import Header
from slipway_router.cost import Prices
from slipway_router.request import Asked
from slipway_router.tenancy.meter import Meter, asks_usage, telling_usage
from slipway_router.tenancy.money import per_token
from slipway_router.tenancy.tenant import Tenant

if TYPE_CHECKING:
    from slipway_router.tenancy.limits import Limits
    from slipway_router.tenancy.redis_link import Told


class Charge:
    """One request of a tenant."""

    __slots__ = (
        "_limits",
        "answer",
        "asked",
        "held",
        "identity",
        "local",
        "meter",
        "month",
        "pending",
        "prompt",
        "second",
        "tenant",
        "told",
        "units",
    )

    def __init__(
        self, limits: "Limits", tenant: Tenant, asked: Asked, answer: int, prices: Prices, month: str, identity: str
    ) -> None:
        """
        Args:
            limits: Who admits it.
            tenant: Whose it is.
            asked: What it asks for.
            answer: Tokens that its answer is taken to have.
            prices: Of the backend that it goes to first.
            month: In which it is booked.
            identity: Tells it from every other one.
        """
        self._limits = limits
        self.tenant = tenant
        self.prompt = asked.estimated_tokens - asked.answer_tokens
        """Tokens of the prompt, as estimated."""
        self.answer = answer
        self.units = cost(prices, self.prompt, answer) if tenant.budget is not None else 0
        """What is reserved of the budget."""
        self.asked = asked
        """What backends are asked for."""
        self.meter: Meter | None = None
        """Of a stream."""
        if asked.stream and (tenant.tokens is not None or tenant.budget is not None):
            plain = type(asked) is Asked and not asks_usage(asked)
            self.asked = telling_usage(asked) if plain else asked
            self.meter = Meter(strips=plain)
        self.month = month
        self.identity = identity
        self.pending: asyncio.Future[Told | None] | None = None
        """Redis' word, while it is waited for."""
        self.held = False
        """Whether Redis holds `units` of the budget for it."""
        self.second = 0
        """In which Redis counts its tokens; 0: it does not."""
        self.local = 0
        """In which this router does."""
        self.told: tuple[Header, ...] = ()
        """What the client is told of its limits."""

    @property
    def tokens(self) -> int:
        """All of its tokens, as estimated."""
        return self.prompt + self.answer

    def settle(self, prices: Prices | None, tokens: tuple[int, int] | None) -> None:
        """The request is over.

        Args:
            prices: Of the backend that answered; None: none did, so that nothing is owed.
            tokens: Of prompt and answer, as the answer tells. None: it does not; then those of the stream's events that were
                passed on count, and of what is no stream the estimate.
        """
        meter = self.meter
        if tokens is None and meter is not None and (meter.events or meter.prompt is not None):
            tokens = meter.tokens or (self.prompt if meter.prompt is None else meter.prompt, meter.events)
        if prices is None:
            prompt = answer = units = 0
        else:
            prompt, answer = (self.prompt, self.answer) if tokens is None else tokens
            units = cost(prices, prompt, answer)
        self._limits.settle(self, prompt + answer, units)


def cost(prices: Prices, prompt: int, answer: int) -> int:
    """What so many tokens cost, in units."""
    return prompt * per_token(prices.prompt) + answer * per_token(prices.answer)
