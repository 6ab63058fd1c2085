"""A request of the data path from when it came to when it is sent on."""

from asyncio import get_running_loop

from slipway_router.asgi import Send
from slipway_router.cycle import LeanCycle
from slipway_router.exchange import Exchange
from slipway_router.keys import Caller
from slipway_router.policy import Decision, RoutingContext
from slipway_router.request import Asked
from slipway_router.router import Router
from slipway_router.schema import Task
from slipway_router.sender import Sender
from slipway_router.telemetry.record import Record
from slipway_router.tenancy.cache import Keeping, Kept, named, wanted
from slipway_router.tenancy.charge import Charge


class Arrival:
    """What is known of it by then."""

    __slots__ = (
        "asked",
        "caller",
        "charge",
        "context",
        "decision",
        "identity",
        "keeping",
        "router",
        "seen",
        "sender",
        "started",
        "task",
    )

    def __init__(
        self,
        router: Router,
        task: Task,
        sender: Sender,
        caller: Caller,
        identity: bytes,
        started: float,
        seen: Record | None,
        asked: Asked,
    ) -> None:
        """
        Args:
            router: What it came to.
            task: What it is for.
            sender: Who sent it.
            caller: Whose key it has.
            identity: Its id.
            started: Loop time at which it came.
            seen: Itself, where somebody is told of it.
            asked: What it asks for.

        Raises:
            ApiError: it can go nowhere.
        """
        self.router = router
        self.task: Task = task
        self.sender = sender
        self.caller = caller
        self.identity = identity
        self.started = started
        self.seen = seen
        self.asked = asked
        self.context: RoutingContext = sender.context(caller, asked.estimated_tokens, asked.answer_tokens)
        self.decision: Decision = router.decide(asked, self.context, sender.headers)
        self.charge: Charge | None = None
        """What it takes of its caller's limits."""
        self.keeping: Keeping | None = None
        """What keeps its answer for the next such request."""

    def kept(self) -> Kept | None:
        """An answer that is there already. Only where its caller wants answers kept; else this one's will be.

        Raises:
            ApiError: they may not ask for this model any more.
        """
        tenant, asked = self.caller.tenant, self.asked
        assert tenant is not None
        seconds = tenant.cache_seconds
        # A request in another API's shape (`Asked` of a kind of its own) is answered in that, and its body is not `raw`.
        if seconds is None or asked.stream or type(asked) is not Asked:
            return None
        tenant.check_model(asked.model)
        takes, keeps = wanted(self.sender.headers)
        name = named(tenant.name, self.task, self.sender.headers, self.context, asked.raw)
        found = self.router.cache.find(name) if takes else None
        if found is None and keeps:
            self.keeping = Keeping(self.router.cache, name, seconds)
        return found

    def enter(self) -> bool:
        """Ask for room in its caller's limits.

        Returns:
            Whether it is admitted now. Else Redis is asked: the charge's `then` is called once it has said something, and
            `admitted` tells what.

        Raises:
            ApiError: it is not.
        """
        tenant, router = self.caller.tenant, self.router
        assert tenant is not None
        prices = router.targets[self.decision.order[0]].prices
        charge = router.limits.enter(tenant, self.asked, self.context.answer_tokens, prices, self.started)
        if charge is None:
            return True
        self.charge = charge
        self.asked = charge.asked
        return not charge.pending

    def admitted(self) -> None:
        """Take in what Redis said.

        Raises:
            ApiError: it is not admitted.
        """
        assert self.charge is not None
        try:
            self.router.limits.admitted(self.charge)
        except BaseException:
            self.charge = None
            raise

    async def wait(self) -> None:
        """As `enter`, and wait for Redis.

        Raises:
            ApiError: it is not admitted.
        """
        tenant = self.caller.tenant
        assert tenant is not None
        self.charge = await self.router.charged(tenant, self.asked, self.decision)
        if self.charge is not None:
            self.asked = self.charge.asked

    def tap(self, cycle: LeanCycle) -> None:
        """Have a whole answer kept, where that is wanted."""
        if self.keeping is not None:
            self.keeping.tap(cycle)

    def metered(self, send: Send) -> Send:
        """Where a stream's answer is counted, of what a task sends; `Express` does it itself."""
        return send if self.charge is None or self.charge.meter is None else self.charge.meter.sending(send)

    def kept_and_metered(self, send: Send) -> Send:
        """The same, and a whole one is kept."""
        return self.metered(send if self.keeping is None else self.keeping.sending(send))

    def withdraw(self) -> None:
        """It is not sent on: nothing is owed."""
        if self.charge is not None:
            self.charge.settle(None, None)
            self.charge = None

    def exchange(self, send: Send) -> Exchange:
        """What answers it."""
        context, seen = self.context, self.seen
        exchange = Exchange(
            self.router,
            self.asked,
            self.decision,
            send,
            tier=context.user_tier,
            request_id=self.identity,
            tracing=self.sender.lines_for(self.router),
            started=self.started,
            loop=get_running_loop(),
            caller=self.caller,
            seen=seen,
            charge=self.charge,
        )
        if seen is not None:
            seen.tier = context.user_tier
        return exchange
