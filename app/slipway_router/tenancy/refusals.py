"""What a client is told whose limit is reached: in OpenAI's shape, whose SDKs wait and try again by it."""

from math import ceil
from typing import TYPE_CHECKING

from slipway_router.asgi import ApiError, Header
from slipway_router.tenancy.money import to_dollars
from slipway_router.tenancy.tenant import Tenant

if TYPE_CHECKING:
    from slipway_router.tenancy.charge import Charge


def over(tenant: Tenant, code: int, charge: "Charge", wait: float, headers: list[Header]) -> ApiError:
    """429.

    Args:
        tenant: Whose limit it is.
        code: 1 the requests', 2 the tokens', 3 the budget.
        charge: What was asked for.
        wait: Seconds after which there is room.
        headers: Those that tell the limits.
    """
    if code == 3:
        assert tenant.budget is not None
        dollars = f"{to_dollars(tenant.budget.most).normalize():f}"
        return ApiError(
            429,
            f"The budget of ${dollars} for this month is used up, or has no room for this request; ask for less, or wait for"
            " the next month.",
            kind="insufficient_quota",
            code="insufficient_quota",
            headers=headers,
        )
    limit = tenant.requests if code == 1 else tenant.tokens
    assert limit is not None
    kind, unit = ("requests", "requests per min (RPM)") if code == 1 else ("tokens", "tokens per min (TPM)")
    asked = "" if code == 1 else f", requested {charge.tokens}"
    return ApiError(
        429,
        f"Rate limit reached on {unit}: limit {limit.most}{asked}; try again in {max(wait, 0.001):.3f} s.",
        kind=kind,
        code="rate_limit_exceeded",
        headers=[*headers, (b"retry-after", b"%d" % max(1, ceil(wait))), (b"retry-after-ms", b"%d" % max(1, ceil(wait * 1000)))],
    )


def too_large(tokens: int, limit: int) -> ApiError:
    """429, for a request that no minute has room for."""
    return ApiError(
        429,
        f"The request is too large: about {tokens} tokens with its answer, of {limit} that there are a minute (TPM); ask for"
        " fewer by 'max_completion_tokens', or send less.",
        kind="tokens",
        code="rate_limit_exceeded",
    )


def closed() -> ApiError:
    """503, for a limit that is closed while Redis is gone."""
    return ApiError(
        503,
        "The limits of this key cannot be checked at the moment; try again.",
        kind="server_error",
        code="limits_unavailable",
        headers=((b"retry-after", b"1"),),
    )
