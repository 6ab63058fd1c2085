"""The admin API's keys: those of the configuration are told, those that routers share in Redis are made and revoked too."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from pydantic import Field

from slipway_router.asgi import ApiError
from slipway_router.router import Router
from slipway_router.tenancy.redis_link import redis_errors
from slipway_router.tenancy.settings import Grant, Key, model_faults
from slipway_router.tenancy.store import KeyStore, KeyTakenError

PATIENCE_SECONDS = 5.0
"""How long Redis has."""
_SECRETS = frozenset({"hash", "sha256"})

T = TypeVar("T")


class NewKey(Grant):
    """A key to make, and what it may do."""

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$")
    """Whose it is."""


async def listed(router: Router) -> list[dict[str, Any]]:
    """Every key, without what would let anybody use one.

    Raises:
        ApiError: 503, Redis cannot be asked.
    """
    store = router.sharing.store
    revoked = await _asked(store.revoked()) if store is not None else frozenset[str]()
    found = [{**_shown(k), "kept": "configuration", "revoked": k.name in revoked} for k in router.config.keys]
    stored = await _asked(store.list()) if store is not None else []
    return [*found, *({**_shown(s.key), "kept": "redis", "created": s.created, "revoked": False} for s in stored)]


async def created(router: Router, wanted: NewKey) -> dict[str, Any]:
    """Make a key, which every router takes within a second.

    Raises:
        ApiError: 400, a model that nobody could ask for; 409, there is such a key, or none are shared here; 503, no Redis.
    """
    store = _store(router)
    grant = wanted.model_dump(mode="json", exclude_none=True, exclude={"name"})
    faults = model_faults("", grant, router.config.models)
    if faults:
        told = "; ".join(f"'{path.lstrip('.')}' {reason}" for path, reason in faults)
        raise ApiError(400, f"{told}.", param=faults[0][0].lstrip("."), code="invalid_body")
    taken = ApiError(409, f"There is a key named '{wanted.name}'; take another name, or revoke it first.", code="key_exists")
    if wanted.name in {k.name for k in router.config.keys}:
        raise taken
    try:
        key, stored = await _asked(store.create(wanted.name, **grant))
    except KeyTakenError:
        raise taken from None
    return {"key": key, "entry": {**_shown(stored.key), "kept": "redis", "created": stored.created}}


async def revoked(router: Router, name: str) -> dict[str, Any]:
    """Take a key no longer, on every router within a second.

    Raises:
        ApiError: 404, there is none; 409, none are shared here; 503, no Redis.
    """
    store = _store(router)
    if not await _asked(store.revoke(name, [k.name for k in router.config.keys])):
        raise ApiError(404, f"There is no key '{name[:128]}'; GET /admin/keys names them.", code="key_not_found")
    return {"name": name, "revoked": True}


def _store(router: Router) -> KeyStore:
    store = router.sharing.store
    if store is None:
        raise ApiError(
            409,
            "Keys are told by the configuration here; change 'keys' there, or set 'redis.keys' to keep them in Redis.",
            code="keys_not_shared",
        )
    return store


async def _asked(work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await work
    except (OSError, TimeoutError, *redis_errors()):
        raise ApiError(503, "Redis cannot be asked; try again.", kind="server_error", code="redis_unreachable") from None


def _shown(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "tier": key.tier,
        **key.model_dump(mode="json", exclude_none=True, exclude={"name", "tier", *_SECRETS}),
    }
