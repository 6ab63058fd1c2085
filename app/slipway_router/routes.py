"""Routes at work: which of them takes a request, and the order of backends that its policy makes."""

from collections.abc import Sequence

from slipway_router.abilities import able
from slipway_router.backend import Backend
from slipway_router.config import Config
from slipway_router.matching import Matching, Request
from slipway_router.policies import RULES_POLICY, Match, NamedPolicy
from slipway_router.policy import Candidates, Decision, Statuses, arranged
from slipway_router.schema import AUTO, Task
from slipway_router.strategies import STRATEGIES


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
        self.mismatch = Matching(match).mismatch
        """Says why a request is none for this route, see `Matching`."""
        self._statuses = statuses
        self._rules = config.resolved_policy()
        self._by_model = {
            (task, model): names
            for task in ("chat", "completions", "embeddings")
            for model, names in self._candidates(config.answering, task).items()
        }

    def backends(self, request: Request) -> Sequence[str]:
        """Where this route could send a request: the policy's backends that do the task, serve the model asked and can do what
        it needs.

        A model that the route itself names may be served under any name. None are left where a client named a backend that the
        policy does not: then the route is passed over.
        """
        names = self._by_model.get((request.task, request.model), ())
        return able(names, request.needs, self._statuses) if request.needs else names

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
        self.by_user = any(r.policy is not None and r.policy.kind == "weighted" for r in self.all)
        """Whether it matters whose request it is."""
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
