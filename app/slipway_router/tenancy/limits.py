"""Whether a tenant's request may go on now: by Redis where routers share, else by what this one knows."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile
from math import ceil
from time import time

from slipway_router.asgi import ApiError, Header
from slipway_router.cost import Prices
from slipway_router.request import Asked
from slipway_router.tenancy import refusals
from slipway_router.tenancy.charge import Charge
from slipway_router.tenancy.redis_link import WINDOW_SECONDS, Ask, Book, Link
from slipway_router.tenancy.tenant import Limit, Tenant
from slipway_router.tenancy.window import Window

ASSUMED_ANSWER_TOKENS = 256
"""Tokens that an answer is taken to have until it tells, where the client sets no bound."""
MOST_IDLE = 10_000
"""Tenants whose windows are kept; past it those with nothing in them go."""


class _Purse:
    """One tenant's money of a month, as far as this router knows."""

    __slots__ = ("held", "spent")

    def __init__(self) -> None:
        self.spent = 0
        """Without Redis all; with it, what was booked since it was last there."""
        self.held = 0


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
        self._clock = clock
        self._count = 0
        self._windows: dict[str, Window] = {}
        self._purses: dict[tuple[str, str], _Purse] = {}
        self._month = (0.0, "")
        self.link: Link | None = None
        """None: nobody shares."""
        self.routers = 1
        """How many share, as far as is known."""
        self._told: dict[str, tuple[int, int]] = {}
        """Requests and tokens that Redis last said are left."""
        self._alone: dict[str, tuple[float, int, int]] = {}
        """Since when this router is alone, and its part of requests and tokens in the first minute of that."""
        self._left: dict[tuple[str, str], int] = {}
        """What Redis last said is left of budgets, in units."""

    def enter(self, tenant: Tenant, asked: Asked, prices: Prices) -> Charge | None:
        """Ask for room for a request.

        Args:
            tenant: Whose it is.
            asked: What it asks for.
            prices: Of the backend that it goes to first.

        Returns:
            A charge, whose `pending` is to be waited for where it is set; then `admitted` says the rest. None: nothing of
            theirs is counted.

        Raises:
            ApiError: 403, they may not ask for this model; 429, a limit is reached; 503, it is closed while Redis is gone.
        """
        tenant.check_model(asked.model)
        if not tenant.counted:
            return None
        self._count += 1
        answer = 0 if asked.task == "embeddings" else asked.answer_tokens or ASSUMED_ANSWER_TOKENS
        charge = Charge(self, tenant, asked, answer, prices, self.month(), f"{self._me}-{self._count}")
        tokens = tenant.tokens
        if tokens is not None and charge.tokens > tokens.most:
            raise refusals.too_large(charge.tokens, tokens.most)
        link = self.link
        if link is None:
            self._admit_here(charge, tenant.requests, tokens, tenant.budget)
        elif not link.up:
            self._admit_alone(charge)
        else:
            charge.pending = link.ask(_ask(charge))
        return charge

    def admitted(self, charge: Charge) -> None:
        """Take in what Redis said.

        Raises:
            ApiError: see `enter`.
        """
        assert charge.pending is not None
        told, charge.pending = charge.pending.result(), None
        if told is None:
            self._admit_alone(charge)
            return
        tenant = charge.tenant
        code, requests, tokens, figure, reset, left = told
        if tenant.rated:
            self._told[tenant.name] = requests, tokens
        if tenant.budget is not None:
            self._left[tenant.name, charge.month] = int(left)
        if code:
            raise refusals.over(tenant, code, charge, figure / 1000, _headers(tenant, requests, tokens, reset / 1000))
        charge.second = figure if tenant.tokens is not None else 0
        charge.held = tenant.budget is not None
        self._note(charge)
        charge.told = _headers(tenant, requests, tokens, reset / 1000)

    def withdrawn(self, charge: Charge) -> None:
        """The client left before Redis said anything."""
        pending = charge.pending
        assert pending is not None
        pending.add_done_callback(lambda _: self._withdraw(charge))

    def _withdraw(self, charge: Charge) -> None:
        try:
            self.admitted(charge)
        except ApiError:
            return
        charge.settle(None, None)

    def settle(self, charge: Charge, tokens: int, units: int) -> None:
        """A request came to this. See `Charge.settle`."""
        tenant, name = charge.tenant, charge.tenant.name
        more = tokens - charge.tokens
        if charge.local and more:
            self._windows[name].correct(charge.local, more)
        link = self.link
        if charge.second and more and link is not None:
            link.book(("tokens", name, charge.second, more))
        if tenant.budget is None:
            return
        if charge.held and link is not None:
            link.book(("money", name, charge.month, charge.identity, charge.units, units))
            return
        purse = self._purse(name, charge.month)
        purse.held -= charge.units
        if link is not None and link.up:
            link.book(("money", name, charge.month, "", 0, units))
        else:
            purse.spent += units

    def spent(self, name: str) -> int:
        """What this router has booked for a tenant this month that Redis does not know, or all where there is none; in units."""
        purse = self._purses.get((name, self.month()))
        return purse.spent if purse is not None else 0

    def month(self) -> str:
        """The calendar month it is, in UTC, such as '2026-11'."""
        now = self._clock()
        if not 0 <= now - self._month[0] < 1:
            self._month = now, datetime.fromtimestamp(now, UTC).strftime("%Y-%m")
        return self._month[1]

    def unshared(self, since: float) -> list[Book]:
        """What Redis has to be told of what was admitted without it.

        Args:
            since: When it went, by the loop's clock.
        """
        now = asyncio.get_running_loop().time()
        books: list[Book] = []
        for name, window in self._windows.items():
            # What is over does not count there either.
            window.requests(now)
            window.used(now)
            # From the newest back: what Redis knows already may be thousands of times as much.
            times = [int((now - t) * 1e6) for t in takewhile(lambda t: t >= since, reversed(window.times))]
            later = takewhile(lambda entry: entry[0] >= since - 1, reversed(window.tokens))
            tokens = [(int((now - second) * 1e6), n) for second, n in later if n > 0]
            times.reverse()
            tokens.reverse()
            if times:
                books.append(("times", name, times, tokens))
        for (name, month), purse in self._purses.items():
            if purse.spent:
                books.append(("money", name, month, "", 0, purse.spent))
                purse.spent = 0
        return books

    # what this router decides itself

    def _admit_alone(self, charge: Charge) -> None:
        """While Redis is gone."""
        tenant = charge.tenant
        limits = (tenant.requests, tenant.tokens, tenant.budget)
        if any(limit is not None and limit.gone == "closed" for limit in limits):
            raise refusals.closed()
        requests, tokens = self._part(tenant, self._share(tenant.requests), self._share(tenant.tokens))
        budget = self._share(tenant.budget)
        if budget is not None:
            known = self._left.get((tenant.name, charge.month))
            budget = budget if known is None else replace(budget, most=max(0, known) // self.routers)
        self._admit_here(charge, requests, tokens, budget)

    def _part(self, tenant: Tenant, requests: Limit | None, tokens: Limit | None) -> tuple[Limit | None, Limit | None]:
        """In the first minute no more than what was this router's by then, and its part of what was left: so the others' and
        its own are not more than the limit."""
        told, link = self._told.get(tenant.name), self.link
        assert link is not None
        now = asyncio.get_running_loop().time()
        if told is None or now > link.down_since + self._window:
            return requests, tokens
        known = self._alone.get(tenant.name)
        if known is None or known[0] != link.down_since:
            window = self._window_of(tenant.name)
            mine = window.requests(now) + told[0] // self.routers, window.used(now) + told[1] // self.routers
            known = self._alone[tenant.name] = link.down_since, *mine
        _, first, second = known
        return (
            replace(requests, most=min(requests.most, first)) if requests is not None else None,
            replace(tokens, most=min(tokens.most, second)) if tokens is not None else None,
        )

    def _share(self, limit: Limit | None) -> Limit | None:
        if limit is None or limit.gone == "open":
            return None
        return replace(limit, most=max(1, limit.most // self.routers))

    def _admit_here(self, charge: Charge, requests: Limit | None, tokens: Limit | None, budget: Limit | None) -> None:
        tenant, wanted = charge.tenant, charge.tokens
        now = asyncio.get_running_loop().time()
        window = self._windows.get(tenant.name) or self._window_of(tenant.name)
        counted = window.requests(now)
        used = window.used(now) if tenant.tokens is not None else 0
        more = requests.most - counted if requests is not None else 0
        over = tokens.most - used if tokens is not None else 0
        if requests is not None and more <= 0:
            wait = window.wait_requests(now, requests.most)
            raise refusals.over(tenant, 1, charge, wait, _headers(tenant, 0, over, window.reset_seconds(now)))
        if tokens is not None and over < wanted:
            wait = window.wait_tokens(now, tokens.most, wanted)
            raise refusals.over(tenant, 2, charge, wait, _headers(tenant, more, over, window.reset_seconds(now)))
        if tenant.budget is not None:
            purse = self._purses.get((tenant.name, charge.month)) or self._purse(tenant.name, charge.month)
            if budget is not None:
                taken = purse.spent + purse.held
                if taken >= budget.most or taken + charge.units > budget.most:
                    raise refusals.over(tenant, 3, charge, 0.0, _headers(tenant, more, over, window.reset_seconds(now)))
            purse.held += charge.units
        if tenant.rated:
            window.admit(now, wanted if tenant.tokens is not None else 0)
            charge.local = int(now) if tenant.tokens is not None else 0
            charge.told = _headers(tenant, more - 1, over - wanted, self._window)

    def _note(self, charge: Charge) -> None:
        """Count here too what Redis admitted: this router's share, should it go."""
        tenant = charge.tenant
        if not tenant.rated:
            return
        now = asyncio.get_running_loop().time()
        window = self._windows.get(tenant.name) or self._window_of(tenant.name)
        # What is over goes as others come.
        window.requests(now)
        if tenant.tokens is None:
            window.admit(now, 0)
            return
        window.used(now)
        window.admit(now, charge.tokens)
        charge.local = int(now)

    def _window_of(self, name: str) -> Window:
        window = self._windows.get(name)
        if window is None:
            if len(self._windows) >= MOST_IDLE:
                now = asyncio.get_running_loop().time()
                self._windows = {n: w for n, w in self._windows.items() if w.requests(now) or w.used(now)}
            window = self._windows[name] = Window(self._window)
        return window

    def _purse(self, name: str, month: str) -> _Purse:
        return self._purses.setdefault((name, month), _Purse())


def _ask(charge: Charge) -> Ask:
    tenant = charge.tenant
    requests, tokens, budget = tenant.requests, tenant.tokens, tenant.budget
    return (
        tenant.name,
        requests.most if requests is not None else 0,
        tokens.most if tokens is not None else 0,
        budget.most if budget is not None else 0,
        charge.tokens if tokens is not None else 0,
        charge.units,
        charge.month,
        charge.identity,
    )


def _headers(tenant: Tenant, requests: int, tokens: int, reset: float) -> tuple[Header, ...]:
    """OpenAI's `x-ratelimit-*`, of the limits that there are."""
    until = b"%dms" % ceil(reset * 1000)
    of_requests: tuple[Header, ...] = ()
    if tenant.requests is not None:
        of_requests = (
            tenant.requests.told,
            (b"x-ratelimit-remaining-requests", b"%d" % max(0, requests)),
            (b"x-ratelimit-reset-requests", until),
        )
    if tenant.tokens is None:
        return of_requests
    return (
        *of_requests,
        tenant.tokens.told,
        (b"x-ratelimit-remaining-tokens", b"%d" % max(0, tokens)),
        (b"x-ratelimit-reset-tokens", until),
    )
