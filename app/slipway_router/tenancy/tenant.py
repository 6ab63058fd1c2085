"""Somebody with limits, as the data path needs them."""

from dataclasses import dataclass

import orjson

from slipway_router.asgi import ApiError
from slipway_router.tenancy.money import to_units
from slipway_router.tenancy.settings import Grant, RateLimit, WhenGone


@dataclass(frozen=True, slots=True)
class Limit:
    """So much, and what holds while Redis cannot be asked. Of money in units, see `money`."""

    most: int
    gone: WhenGone


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
    counted: bool = False
    """Whether anything is counted, beyond what is allowed at all."""
    telling: bytes = b""
    """How a client is told of the limits by the minute, see `lines`."""
    asking: bytes = b""
    """How `admit.lua` is asked for one more request: tokens, units, month and the request's number go into it."""

    def lines(self, requests: int, tokens: int, reset_ms: int) -> bytes:
        """OpenAI's `x-ratelimit-*`, of the limits that there are, as header lines.

        Args:
            requests: How many more there may be, likewise tokens; less than none is none.
            tokens: See there.
            reset_ms: Until none counts any more.
        """
        if requests < 0:
            requests = 0
        if tokens < 0:
            tokens = 0
        if self.tokens is None:
            return self.telling % (requests, reset_ms) if self.requests is not None else b""
        if self.requests is None:
            return self.telling % (tokens, reset_ms)
        return self.telling % (requests, reset_ms, tokens, reset_ms)

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
    requests, tokens = _limit(grant.requests_per_minute), _limit(grant.tokens_per_minute)
    money = grant.monthly_budget
    budget = Limit(to_units(money.dollars), money.when_redis_is_gone) if money is not None else None
    rated = requests is not None or tokens is not None
    counted = rated or budget is not None
    models = frozenset(grant.models) if grant.models is not None else None
    if not counted and models is None and grant.cache_seconds is None:
        return None
    most = [limit.most if limit is not None else 0 for limit in (requests, tokens, budget)]
    return Tenant(
        name,
        models,
        requests,
        tokens,
        budget,
        cache_seconds=grant.cache_seconds,
        rated=rated,
        counted=counted,
        telling=_telling(b"requests", requests) + _telling(b"tokens", tokens),
        asking=orjson.dumps([name, *most]).replace(b"%", b"%%")[:-1] + b',%d,%d,"%b",%d]',
    )


def _limit(limit: RateLimit | None) -> Limit | None:
    return Limit(limit.limit, limit.when_redis_is_gone) if limit is not None else None


def _telling(of: bytes, limit: Limit | None) -> bytes:
    if limit is None:
        return b""
    told = b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %%d\r\nx-ratelimit-reset-%b: %%dms\r\n"
    return told % (of, limit.most, of, of)
