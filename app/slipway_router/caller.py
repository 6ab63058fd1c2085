"""Who sent a request."""

from typing import NamedTuple

from slipway_router.tenancy.tenant import Tenant


class Caller(NamedTuple):
    """Who sent a request."""

    name: str
    """The key's name; 'anonymous' where no keys are configured."""
    tier: str | None
    """The key's tier. None where no keys are configured: then the client says it."""
    tenant: Tenant | None = None
    """Their limits. None where they have none."""
    expires: float | None = None
    """Until when that holds, in seconds since 1970. None: until the keys change."""


ANONYMOUS = Caller("anonymous", None)
