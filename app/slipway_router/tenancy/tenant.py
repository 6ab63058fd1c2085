"""Somebody with limits, as the data path needs them."""

from dataclasses import dataclass

from slipway_router.asgi import ApiError, Header
from slipway_router.tenancy.money import to_units
from slipway_router.tenancy.settings import Grant, RateLimit, WhenGone


@dataclass(frozen=True, slots=True)
class Limit:
    """So much, and what holds while Redis cannot be asked. Of money in units, see `money`."""

    most: int
    gone: WhenGone
    told: Header = (b"", b"")
    """How a client is told of it."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whose limits, and which. Only whoever has any is one: all others cost the data path nothing."""

    name: str
    """What is counted under it."""
    models: frozenset[str] | None = None
    requests: Limit | None = None
    tokens: Limit | None = None
    budget: Limit | None = None

    cache_seconds: int | None = None
    """For how long their answers are kept. None: not at all."""
    rated: bool = False
    """Whether there are limits by the minute."""

    @property
    def counted(self) -> bool:
        """Whether anything is counted, beyond what is allowed at all."""
        return self.rated or self.budget is not None

    def check_model(self, model: str) -> None:
        """Refuse what they may not ask for.

        Raises:
            ApiError: 403, with the models there are for them.
        """
        if self.models is not None and model not in self.models:
            there = ", ".join(f"'{m}'" for m in sorted(self.models))
            raise ApiError(
                403,
                f"This key may not ask for the model '{model[:128]}'; it may ask for {there}.",
                kind="permission_error",
                param="model",
                code="model_not_allowed",
            )


def tenant_of(name: str, grant: Grant) -> Tenant | None:
    """Whoever has this grant. None where nothing is limited."""
    requests, tokens, budget = grant.requests_per_minute, grant.tokens_per_minute, grant.monthly_budget
    tenant = Tenant(
        name,
        frozenset(grant.models) if grant.models is not None else None,
        _limit("requests", requests) if requests is not None else None,
        _limit("tokens", tokens) if tokens is not None else None,
        Limit(to_units(budget.dollars), budget.when_redis_is_gone) if budget is not None else None,
        cache_seconds=grant.cache_seconds,
        rated=requests is not None or tokens is not None,
    )
    return tenant if tenant.counted or tenant.models is not None or tenant.cache_seconds is not None else None


def _limit(of: str, limit: RateLimit) -> Limit:
    return Limit(limit.limit, limit.when_redis_is_gone, (b"x-ratelimit-limit-%b" % of.encode(), b"%d" % limit.limit))
