"""What one request takes of its tenant's limits: asked for before it is sent, corrected by what it really came to."""

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from slipway_router.asgi import Header
from slipway_router.cost import Prices
from slipway_router.request import Asked
from slipway_router.tenancy.account import Account, Purse, Told
from slipway_router.tenancy.meter import Meter, asks_usage, telling_usage
from slipway_router.tenancy.money import per_token
from slipway_router.tenancy.tenant import Tenant

if TYPE_CHECKING:
    from slipway_router.tenancy.limits import Limits


class Charge:
    """One request of a tenant.

    What most requests leave as it is stands in the class: half of what making one would cost.
    """

    meter: Meter | None = None
    """Of a stream."""
    pending = False
    """Whether Redis is waited for."""
    then: Callable[[], None] | None = None
    """Called when it has said something, or is gone."""
    said: Told | None = None
    """What Redis said. None: nothing, in time."""
    held = False
    """Whether Redis holds `units` of the budget for it."""
    second = 0
    """In which Redis counts its tokens; 0: it does not."""
    local = 0
    """In which this router does."""
    purse: Purse | None = None
    """What it is paid from."""
    lines = b""
    """Header lines that tell the client of its limits."""

    def __init__(
        self,
        limits: "Limits",
        tenant: Tenant,
        account: Account,
        asked: Asked,
        prompt: int,
        answer: int,
        prices: Prices,
        number: int,
    ) -> None:
        """
        Args:
            limits: Who admits it.
            tenant: Whose it is.
            account: What is known of them.
            asked: What it asks for.
            prompt: Tokens of the prompt, as estimated.
            answer: Tokens that its answer is taken to have.
            prices: Of the backend that it goes to first.
            number: Tells it from every other one of this router.
        """
        self._limits = limits
        self.tenant = tenant
        self.account = account
        self.asked = asked
        """What backends are asked for."""
        self.prompt = prompt
        self.answer = answer
        self.tokens = prompt + answer
        """All of its tokens, as estimated."""
        self.number = number
        if prices is not account.prices:
            account.prices, account.rates = prices, per_tokens(prices)
        self._prices = prices
        self._rates = of_prompt, of_answer = account.rates
        self.units = prompt * of_prompt + answer * of_answer
        """What is reserved of the budget."""
        if asked.stream and (tenant.tokens is not None or tenant.budget is not None):
            plain = type(asked) is Asked and not asks_usage(asked)
            if plain:
                self.asked = telling_usage(asked)
            self.meter = Meter(strips=plain)

    @property
    def headers(self) -> list[Header]:
        """`lines`, one by one."""
        return split(self.lines)

    def ask(self) -> bytes:
        """What `admit.lua` is asked."""
        month = self.purse.month if self.purse is not None else ""
        return self.tenant.asking % (self.tokens, self.units, month.encode(), self.number)

    def heard(self, told: Told | None) -> None:
        """Take in what Redis said; None: it is gone."""
        self.said, self.pending = told, False
        if self.then is not None:
            self.then()

    async def wait(self) -> None:
        """Until Redis has said something, or is gone."""
        said: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.then = lambda: None if said.done() else said.set_result(None)
        await said

    def settle(self, prices: Prices | None, tokens: tuple[int, int] | None) -> None:
        """The request is over.

        Args:
            prices: Of the backend that answered; None: none did, so that nothing is owed.
            tokens: Of prompt and answer, as the answer tells. None: it does not; then those of the stream's events that were
                passed on count, and of what is no stream the estimate.
        """
        if prices is None:
            more, units = -self.tokens, 0
        else:
            meter = self.meter
            if tokens is None and meter is not None and (meter.events or meter.prompt is not None):
                tokens = meter.tokens or (self.prompt if meter.prompt is None else meter.prompt, meter.events)
            prompt, answer = (self.prompt, self.answer) if tokens is None else tokens
            more = prompt + answer - self.tokens
            of_prompt, of_answer = self._rates if prices is self._prices else per_tokens(prices)
            units = prompt * of_prompt + answer * of_answer
        account, purse, link = self.account, self.purse, self._limits.link
        if more and self.local:
            account.window.correct(self.local, more)
        counted = (self.second, more) if more and self.second else ()
        if purse is not None and self.held and link is not None:
            link.book(("money", account.name, purse.month, self.number, self.units, units, *counted))
            return
        if counted and link is not None:
            link.book(("tokens", account.name, *counted))
        if purse is None:
            return
        purse.held -= self.units
        if link is not None and link.up:
            link.book(("money", account.name, purse.month, "", 0, units))
        else:
            purse.spent += units


@lru_cache(maxsize=4096)
def per_tokens(prices: Prices) -> tuple[int, int]:
    """Units for one token of a prompt, and of an answer."""
    return per_token(prices.prompt), per_token(prices.answer)


def split(lines: bytes) -> list[Header]:
    """Header lines as ASGI has them."""
    parts = [line.partition(b": ") for line in lines.split(b"\r\n")[:-1]]
    return [(name, value) for name, _, value in parts]
