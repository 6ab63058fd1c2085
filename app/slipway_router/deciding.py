"""Where a request goes, by one configuration: what the first route that takes it says, else the four rules."""

from collections.abc import Mapping

from slipway_router.abilities import NOTHING, able, needs_of, unable
from slipway_router.asgi import ApiError
from slipway_router.config import Config
from slipway_router.matching import Request
from slipway_router.policy import Candidates, Decision, ProviderStatus, RoutingContext
from slipway_router.request import Asked, user_of
from slipway_router.routes import Routes
from slipway_router.schema import AUTO, Ability, Task
from slipway_router.weights import Weights


class Deciding:
    """Decides, and says what can be asked for."""

    def __init__(self, config: Config, statuses: Mapping[str, ProviderStatus], weights: Weights) -> None:
        """
        Args:
            config: By which.
            statuses: Of every backend.
            weights: What an operator has said of them.
        """
        self._config = config
        self._weights = weights
        self.routes = Routes(config, statuses)
        self._candidates = _candidates(config, statuses)
        self.statuses = {b.name: statuses[b.name] for b in config.answering}
        """Of those that answer clients."""
        self._lacked: frozenset[Ability] = NOTHING.union(*(s.lacks for s in statuses.values()))

    def decide(self, asked: Asked, context: RoutingContext, headers: Mapping[bytes, bytes]) -> Decision:
        """Where a request goes: what the first route that takes it says, else the four rules.

        Raises:
            ApiError: 404 where nobody has the model, 400 where nobody who has it can do what the request needs, 503 where all
                who could are drained by their operator.
        """
        decision = self._decide(asked, context, headers)
        return self._weights.apply(decision) if self._weights.shares else decision

    def _decide(self, asked: Asked, context: RoutingContext, headers: Mapping[bytes, bytes]) -> Decision:
        needs = self.needs(asked) if self._lacked else NOTHING
        if self.routes.all:
            user = user_of(asked, headers) if self.routes.by_user else None
            decision = self.routes.decide(Request(asked.task, asked.model, headers, user, context, needs))
            if decision is not None:
                return decision
        candidates = self.candidates(asked.task, asked.model)
        return (self._able(candidates, asked.model, needs) if needs else candidates).route(context)

    def needs(self, asked: Asked) -> frozenset[Ability]:
        """What a request needs a backend to be able to do; nothing where no backend says that it lacks anything."""
        return needs_of(asked.fields, self._lacked) if self._lacked else NOTHING

    def _able(self, candidates: Candidates, model: str, needs: frozenset[Ability]) -> Candidates:
        names = able(candidates.names, needs, candidates.statuses)
        if not names:
            raise unable(model, candidates.names, needs, self.statuses)
        return candidates.only(names) if len(names) < len(candidates.names) else candidates

    def candidates(self, task: Task, model: str) -> Candidates:
        """The backends that can serve this model for this task.

        Raises:
            ApiError: 404 that lists the models there are.
        """
        found = self._candidates[task].get(model)
        if found is None:
            choices = ", ".join(f"'{m}'" for m in self._candidates[task])
            told = f"there are {choices}" if choices else f"no backend here does {task}"
            raise ApiError(
                404, f"The model '{model[:128]}' does not exist here for {task}; {told}.", param="model", code="model_not_found"
            )
        return found

    def models(self) -> dict[str, str]:
        """Every name that clients may ask for, with who owns it: the backend behind it, 'slipway' for 'auto'."""
        owners: dict[str, str] = {AUTO: "slipway"}
        for backend in self._config.answering:
            for name in (backend.name, backend.model, *backend.serves):
                owners.setdefault(name, backend.name)
        for name in self.routes.models:
            owners.setdefault(name, "slipway")
        return owners


def _candidates(config: Config, statuses: Mapping[str, ProviderStatus]) -> dict[Task, dict[str, Candidates]]:
    """For each task, the backends behind each name that can be asked for."""
    policy = config.resolved_policy()
    made: dict[Task, dict[str, Candidates]] = {"chat": {}, "completions": {}, "embeddings": {}}
    for task, by_model in made.items():
        serving: dict[str, list[str]] = {}
        for backend in config.answering:
            if task in backend.tasks:
                for model in dict.fromkeys((AUTO, backend.name, backend.model, *backend.serves)):
                    serving.setdefault(model, []).append(backend.name)
        for model, names in serving.items():
            by_model[model] = Candidates(names, statuses, policy, named=model != AUTO)
    return made
