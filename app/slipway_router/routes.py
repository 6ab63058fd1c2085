"""Routes at work: which of them takes a request, and the order of backends that its policy makes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import NamedTuple

from slipway_router.config import AUTO, Backend, Config
from slipway_router.policies import RULES_POLICY, Match, NamedPolicy, zone
from slipway_router.policy import Candidates, Decision, RoutingContext, Statuses, arranged
from slipway_router.schema import Task
from slipway_router.strategies import STRATEGIES


class Request(NamedTuple):
    """A request, as far as routes look at it."""

    task: Task
    model: str
    """As the client named it."""
    headers: Mapping[bytes, bytes]
    """Those that some route names, at least."""
    user: str | None
    """Tells one user from another."""
    context: RoutingContext


class RouteAtWork:
    """One route, its policy and the backends that these lead to."""

    def __init__(self, name: str, match: Match, policy: NamedPolicy | None, config: Config, statuses: Statuses) -> None:
        """
        Args:
            name: The route's.
            match: Which requests it takes.
            policy: How it chooses. None: by the four rules.
            config: For the backends and the four rules.
            statuses: Status of every backend.
        """
        self.name = name
        self.match = match
        self.policy = policy
        self._statuses = statuses
        self._headers = [(n.encode("latin-1"), value) for n, value in match.headers.items()]
        self._minutes = match.minutes()
        self._zone = zone(match.timezone)
        self._rules = config.resolved_policy()
        self._by_model = {
            (task, model): names
            for task in ("chat", "completions", "embeddings")
            for model, names in self._candidates(config.backends, task).items()
        }

    def mismatch(self, request: Request, now: Callable[[], datetime] | None = None) -> str | None:
        """The first condition that does not apply to a request, by its name; None where all do."""
        match, context = self.match, request.context
        if match.models and request.model not in match.models:
            return "models"
        if match.tasks and request.task not in match.tasks:
            return "tasks"
        if match.tiers and context.user_tier not in match.tiers:
            return "tiers"
        if match.task_types and context.task_type not in match.task_types:
            return "task_types"
        if match.min_tokens is not None and context.estimated_tokens < match.min_tokens:
            return "min_tokens"
        if match.max_tokens is not None and context.estimated_tokens > match.max_tokens:
            return "max_tokens"
        for name, pattern in self._headers:
            value = request.headers.get(name)
            if value is None or not fnmatchcase(value.decode("latin-1"), pattern):
                return "headers"
        if self._minutes is not None:
            at = datetime.now(self._zone) if now is None else now().astimezone(self._zone)
            start, end = self._minutes
            minute = at.hour * 60 + at.minute
            if not (start <= minute < end if start < end else minute >= start or minute < end):
                return "hours"
        return None

    def backends(self, request: Request) -> Sequence[str]:
        """Where this route could send a request: the policy's backends that do the task and serve the model asked.

        A model that the route itself names may be served under any name. None are left where a client named a backend that the
        policy does not: then the route is passed over.
        """
        return self._by_model.get((request.task, request.model), ())

    def decide(self, request: Request) -> Decision | None:
        """The order of backends; None where it leads to none of them."""
        names = self.backends(request)
        if not names:
            return None
        if self.policy is None:
            chosen = Candidates(names, self._statuses, self._rules, named=False).route(request.context)
            return Decision(self.name, chosen.order)
        order = STRATEGIES[self.policy.kind](self.policy, names, request.context, self._statuses, request.user)
        return Decision(self.name, arranged(order, request.context, self._statuses))

    def _candidates(self, backends: Sequence[Backend], task: Task) -> dict[str, list[str]]:
        within = set(self.policy.named if self.policy is not None else ()) or {b.name for b in backends}
        doing = [b for b in backends if task in b.tasks and b.name in within]
        made: dict[str, list[str]] = {AUTO: [b.name for b in doing]}
        for backend in doing:
            for model in dict.fromkeys((backend.name, backend.model, *backend.serves)):
                made.setdefault(model, []).append(backend.name)
        for model in self.match.models:
            made[model] = made[AUTO]
        return made


class Routes:
    """All routes of a configuration, in their order."""

    def __init__(self, config: Config, statuses: Statuses) -> None:
        """
        Args:
            config: Proven, see `Config.parse`.
            statuses: Status of every backend.
        """
        self.all = [
            RouteAtWork(r.name, r.match, None if r.policy == RULES_POLICY else config.policies[r.policy], config, statuses)
            for r in config.routes
        ]
        self.headers = frozenset(name.encode("latin-1") for r in config.routes for name in r.match.headers)
        """Names of the headers that decide something."""
        self.models = tuple(dict.fromkeys(m for r in config.routes for m in r.match.models))
        """Names that clients may ask for."""

    def decide(self, request: Request) -> Decision | None:
        """What the first route that takes a request decides; None where none does."""
        for route in self.all:
            if route.mismatch(request) is None:
                decision = route.decide(request)
                if decision is not None:
                    return decision
        return None
