"""Whether a tenant's request may go on now: by Redis where routers share, else by what this one knows."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile
from math import ceil
from time import time

from slipway_router.asgi import ApiError
from slipway_router.cost import Prices
from slipway_router.request import Asked
from slipway_router.tenancy import refusals
from slipway_router.tenancy.account import Account
from slipway_router.tenancy.charge import Charge, split
from slipway_router.tenancy.redis_link import WINDOW_SECONDS, Book, Link
from slipway_router.tenancy.tenant import Limit, Tenant

ASSUMED_ANSWER_TOKENS = 256
"""Tokens that an answer is taken to have until it tells, where the client sets no bound."""
MOST_IDLE = 10_000
"""Tenants of which something is known; past it those with nothing that counts go."""


class Limits:
    """Every tenant's limits at work."""

    def __init__(self, me: str, window: float = WINDOW_SECONDS, clock: Callable[[], float] = time) -> None:
        """
        Args:
            me: What tells this router from others.
            window: Seconds of a limit by the minute.
            clock: Seconds since 1970, which months are told by.
        """
        self._me = me
        self._window = window
        self._whole_ms = ceil(window * 1000)
        self._clock = clock
        self._count = 0
        self._accounts: dict[str, Account] = {}
        self._month, self._month_until = "", float("-inf")
        self.link: Link | None = None
        """None: nobody shares."""
        self.routers = 1
        """How many share, as far as is known."""

    def enter(self, tenant: Tenant, asked: Asked, bound: int, prices: Prices, now: float) -> Charge | None:
        """Ask for room for a request.

        Args:
            tenant: Whose it is.
            asked: What it asks for.
            bound: Most tokens that may be answered; 0 where the client does not say.
            prices: Of the backend that it goes to first.
            now: By the loop's clock.

        Returns:
            A charge; while it is `pending` Redis is waited for, see `Charge.then`, and then `admitted` says the rest. None:
            nothing of theirs is counted.

        Raises:
            ApiError: 403, they may not ask for this model; 429, a limit is reached; 503, it is closed while Redis is gone.
        """
        if tenant.models is not None:
            tenant.check_model(asked.model)
        if not tenant.counted:
            return None
        tokens = tenant.tokens
        prompt = asked.estimated_tokens - bound
        answer = 0 if asked.task == "embeddings" else bound or ASSUMED_ANSWER_TOKENS
        if tokens is not None and prompt + answer > tokens.most:
            raise refusals.too_large(prompt + answer, tokens.most)
        self._count = number = self._count + 1
        account = self._accounts.get(tenant.name) or self._account(tenant.name, now)
        charge = Charge(self, tenant, account, asked, prompt, answer, prices, number)
        if tenant.budget is not None:
            charge.purse = account.purse(self.month(now))
        link = self.link
        if link is None:
            self._admit_here(charge, tenant.requests, tokens, tenant.budget, now)
        elif link.up:
            charge.pending = True
            link.ask(charge)
        else:
            self._admit_alone(charge, now)
        return charge

    def admitted(self, charge: Charge) -> None:
        """Take in what Redis said.

        Raises:
            ApiError: see `enter`.
        """
        told, now = charge.said, asyncio.get_running_loop().time()
        if told is None:
            self._admit_alone(charge, now)
            return
        tenant, account, purse = charge.tenant, charge.account, charge.purse
        code, requests, tokens, figure, reset, left = told
        if tenant.rated:
            account.said = told
        if purse is not None:
            purse.left = int(left)
        lines = tenant.lines(requests, tokens, reset) if tenant.rated else b""
        if code:
            raise refusals.over(tenant, code, charge, figure / 1000, split(lines))
        charge.second = figure if tenant.tokens is not None else 0
        charge.held = purse is not None
        charge.lines = lines
        if tenant.rated:
            # Counted here too: this router's share, should Redis go.
            window = account.window
            window.pass_to(now)
            if tenant.tokens is not None:
                charge.local = window.admit(now, charge.tokens)
            else:
                window.admit(now, 0)

    def withdrawn(self, charge: Charge) -> None:
        """The client left before Redis said anything, or before anybody heard it."""
        if charge.pending:
            charge.then = partial(self._withdraw, charge)
        else:
            self._withdraw(charge)

    def _withdraw(self, charge: Charge) -> None:
        try:
            self.admitted(charge)
        except ApiError:
            return
        charge.settle(None, None)

    def spent(self, name: str) -> int:
        """What this router has booked for a tenant this month that Redis does not know, or all where there is none; in units."""
        account = self._accounts.get(name)
        return account.purse(self.month(asyncio.get_running_loop().time())).spent if account is not None else 0

    def month(self, now: float) -> str:
        """The calendar month it is, in UTC, such as '2026-11'; looked up once in a second of the loop's clock."""
        if now >= self._month_until:
            self._month_until = now + 1
            self._month = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m")
        return self._month

    def unshared(self, since: float) -> list[Book]:
        """What Redis has to be told of what was admitted without it.

        Args:
            since: When it went, by the loop's clock.
        """
        now = asyncio.get_running_loop().time()
        books: list[Book] = []
        for account in self._accounts.values():
            window = account.window
            # What is over does not count there either.
            window.pass_to(now)
            # From the newest back: what Redis knows already may be thousands of times as much.
            times = [int((now - t) * 1e6) for t in takewhile(lambda t: t >= since, reversed(window.times))]
            later = takewhile(lambda entry: entry[0] >= since - 1, reversed(window.tokens))
            tokens = [(int((now - second) * 1e6), n) for second, n in later if n > 0]
            times.reverse()
            tokens.reverse()
            if times:
                books.append(("times", account.name, times, tokens))
            for purse in account.purses:
                if purse.spent:
                    books.append(("money", account.name, purse.month, "", 0, purse.spent))
                    purse.spent = 0
        return books

    # what this router decides itself

    def _admit_alone(self, charge: Charge, now: float) -> None:
        """While Redis is gone."""
        tenant, purse = charge.tenant, charge.purse
        limits = (tenant.requests, tenant.tokens, tenant.budget)
        if any(limit is not None and limit.gone == "closed" for limit in limits):
            raise refusals.closed()
        requests, tokens = self._part(charge.account, self._share(tenant.requests), self._share(tenant.tokens), now)
        budget = self._share(tenant.budget)
        if budget is not None and purse is not None and purse.left is not None:
            budget = replace(budget, most=max(0, purse.left) // self.routers)
        self._admit_here(charge, requests, tokens, budget, now)

    def _part(
        self, account: Account, requests: Limit | None, tokens: Limit | None, now: float
    ) -> tuple[Limit | None, Limit | None]:
        """In the first minute no more than what was this router's by then, and its part of what was left: so the others' and
        its own are not more than the limit."""
        said, link = account.said, self.link
        assert link is not None
        if said is None or now > link.down_since + self._window:
            return requests, tokens
        if account.alone is None or account.alone[0] != link.down_since:
            window = account.window
            window.pass_to(now)
            mine = len(window.times) + said[1] // self.routers, window.sum + said[2] // self.routers
            account.alone = link.down_since, *mine
        _, first, second = account.alone
        return (
            replace(requests, most=min(requests.most, first)) if requests is not None else None,
            replace(tokens, most=min(tokens.most, second)) if tokens is not None else None,
        )

    def _share(self, limit: Limit | None) -> Limit | None:
        if limit is None or limit.gone == "open":
            return None
        return replace(limit, most=max(1, limit.most // self.routers))

    def _admit_here(self, charge: Charge, requests: Limit | None, tokens: Limit | None, budget: Limit | None, now: float) -> None:
        tenant, wanted, window, purse = charge.tenant, charge.tokens, charge.account.window, charge.purse
        window.pass_to(now)
        more = requests.most - len(window.times) if requests is not None else 0
        over = tokens.most - window.sum if tokens is not None else 0
        if requests is not None and more <= 0:
            raise self._refusal(charge, 1, window.wait_requests(now, requests.most), 0, over, now)
        if tokens is not None and over < wanted:
            raise self._refusal(charge, 2, window.wait_tokens(now, tokens.most, wanted), more, over, now)
        if purse is not None:
            taken = purse.spent + purse.held
            if budget is not None and (taken >= budget.most or taken + charge.units > budget.most):
                raise self._refusal(charge, 3, 0.0, more, over, now)
            purse.held += charge.units
        if tenant.tokens is not None:
            charge.local = window.admit(now, wanted)
        elif tenant.rated:
            window.admit(now, 0)
        else:
            return
        charge.lines = tenant.lines(more - 1, over - wanted, self._whole_ms)

    def _refusal(self, charge: Charge, code: int, wait: float, requests: int, tokens: int, now: float) -> ApiError:
        reset = ceil(charge.account.window.reset_seconds(now) * 1000)
        lines = charge.tenant.lines(requests, tokens, reset) if charge.tenant.rated else b""
        return refusals.over(charge.tenant, code, charge, wait, split(lines))

    def _account(self, name: str, now: float) -> Account:
        if len(self._accounts) >= MOST_IDLE:
            self._accounts = {n: a for n, a in self._accounts.items() if not a.idle(now)}
        account = self._accounts[name] = Account(name, self._window)
        return account
