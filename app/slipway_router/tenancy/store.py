"""The keys that routers share in Redis: what `slipway-router key` and the admin API create, list and revoke.

Only hashes are kept. Every change raises a version that each router looks at several times a second, see `sharing`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from slipway_router.schema import faults_of
from slipway_router.tenancy import secret
from slipway_router.tenancy.settings import Key, RedisSettings


class StoredKey(NamedTuple):
    """A key as Redis has it."""

    key: Key
    created: str
    """When, as an ISO 8601 time in UTC."""


class KeyTakenError(Exception):
    """There is a key of this name already."""


class KeyStore:
    """The keys in one Redis, under one prefix."""

    def __init__(self, client: Any, settings: RedisSettings) -> None:
        """
        Args:
            client: See `redis_link.connected`.
            settings: Of the configuration.
        """
        self._client = client
        prefix = f"{{{settings.prefix}}}:"
        self._keys, self._revoked, self._version = f"{prefix}keys", f"{prefix}revoked", f"{prefix}keys:version"

    async def list(self) -> list[StoredKey]:
        """Every key, by name. One that this version of the router does not understand is left out.

        Raises:
            redis.RedisError, OSError: Redis cannot be asked.
        """
        found: dict[bytes, bytes] = await self._client.hgetall(self._keys)
        keys = [k for k in map(_read, found.values()) if k is not None]
        return sorted(keys, key=lambda k: k.key.name)

    async def revoked(self) -> frozenset[str]:
        """Names of configured keys that are no longer taken.

        Raises:
            redis.RedisError, OSError: Redis cannot be asked.
        """
        names: set[bytes] = await self._client.smembers(self._revoked)
        return frozenset(n.decode() for n in names)

    async def create(self, name: str, **grant: Any) -> tuple[str, StoredKey]:
        """Make a key, which every router takes within a second.

        Args:
            name: Whose it is.
            grant: The other fields of `Key`, such as `tier` and `requests_per_minute`.

        Returns:
            The key itself, which is kept nowhere, and what is.

        Raises:
            KeyTakenError: there is one of this name.
            ValueError: with what is wrong about name or grant.
            redis.RedisError, OSError: Redis cannot be asked.
        """
        key, entry = made(name, **grant)
        stored = StoredKey(entry, datetime.now(UTC).isoformat(timespec="seconds"))
        told = orjson.dumps({"key": entry.model_dump(mode="json", exclude_none=True), "created": stored.created})
        if not await self._client.hsetnx(self._keys, name, told):
            raise KeyTakenError(name)
        pipeline = self._client.pipeline(transaction=True)
        pipeline.srem(self._revoked, name)
        pipeline.incr(self._version)
        await pipeline.execute()
        return key, stored

    async def revoke(self, name: str, configured: Sequence[str] = ()) -> bool:
        """Take a key no longer, on every router within a second. Says whether there was one.

        Args:
            name: Whose it is.
            configured: Names of keys in the configuration: one of these is refused from now on, and stays where it is.

        Raises:
            redis.RedisError, OSError: Redis cannot be asked.
        """
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hdel(self._keys, name)
        if name in configured:
            pipeline.sadd(self._revoked, name)
        pipeline.incr(self._version)
        gone, *_ = await pipeline.execute()
        return bool(gone) or name in configured


def made(name: str, **grant: Any) -> tuple[str, Key]:
    """A new key, and its entry for a configuration.

    Raises:
        ValueError: with what is wrong about name or grant.
    """
    key = secret.new_key()
    try:
        return key, Key.model_validate({**grant, "name": name, "hash": secret.hashed(key)})
    except ValidationError as error:
        raise ValueError("; ".join(f"{path} {reason}" for path, reason in faults_of(error))) from None


def _read(told: bytes) -> StoredKey | None:
    try:
        found: dict[str, Any] = orjson.loads(told)
        return StoredKey(Key.model_validate(found["key"]), str(found["created"]))
    except (ValueError, KeyError, TypeError):
        return None
