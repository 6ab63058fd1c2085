"""The Redis that a service's routers share, as far as cluster and configuration must agree on it."""

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import pulumi

from slipway.args import Faults
from slipway.backend import Egress, SecretKeyRef
from slipway.kubernetes.network import anywhere
from slipway.kubernetes.redis_broker import PASSWORD_ENV, PORT, RedisBroker, check_broker, ways_out

_OURS = {
    "url": "is set here, from the argument 'redis'; leave it out",
    "username": "is set here, from the argument 'redis'; leave it out",
    "password_env": "is set here, from the Secret that 'redis.password' names; leave it out",
}


def check_redis(redis: Mapping[str, Any] | None, settings: Mapping[str, Any], faults: Faults) -> None:
    """Refuse a Redis that routers could not reach, and settings that say it twice."""
    asked: object = settings.get("redis")
    if redis is not None:
        check_broker("redis", redis, faults)
        for key in _OURS.keys() & (cast("Mapping[str, object]", asked).keys() if isinstance(asked, Mapping) else ()):
            faults.add(f"settings.redis.{key}", _OURS[key])
    elif asked is not None:
        faults.add(
            "settings.redis",
            "needs the argument 'redis', which says where it is, fills its password and lets the pods out to it; give that too,"
            " such as a RedisCache's 'broker()'",
        )


def redis_settings(redis: RedisBroker | None, settings: Mapping[str, Any], host: str | None = None) -> dict[str, Any]:
    """All of the router's settings, with those of its Redis.

    Args:
        redis: The argument.
        settings: As asked for.
        host: What stands for its name, which may not be known yet.
    """
    if redis is None:
        return {**settings}
    asked: object = settings.get("redis")
    more = {k: v for k, v in cast("Mapping[str, object]", asked).items() if k not in _OURS} if isinstance(asked, Mapping) else {}
    scheme = "rediss" if redis.get("tls") else "redis"
    end = f":{redis.get('port', PORT)}/{redis.get('database', 0)}"
    url = pulumi.Output.concat(f"{scheme}://", redis["host"], end) if host is None else f"{scheme}://{host}{end}"
    told: dict[str, Any] = {**more, "url": url}
    if "username" in redis:
        told["username"] = redis["username"]
    if "password" in redis:
        told["password_env"] = PASSWORD_ENV
    return {**settings, "redis": told}


def redis_secrets(redis: Mapping[str, Any] | None) -> dict[str, SecretKeyRef]:
    """The variable with its password, and what fills it."""
    password: object = redis.get("password") if redis is not None else None
    return {PASSWORD_ENV: cast("SecretKeyRef", password)} if isinstance(password, Mapping) else {}


def tenancy_egress(redis: RedisBroker | None, settings: Mapping[str, Any]) -> list[Egress]:
    """Where routers must be able to connect to know who asks, and for how much: their Redis, and the issuer of tokens."""
    found: list[Egress] = [*ways_out(redis)] if redis is not None else []
    jwt: object = settings.get("jwt")
    told: Mapping[str, object] = cast("Mapping[str, object]", jwt) if isinstance(jwt, Mapping) else {}
    issuer = told.get("jwks_url") or told.get("issuer")
    if isinstance(issuer, str):
        found += anywhere(urlsplit(issuer).port or 443)
    return found


def asks_for_keys(settings: Mapping[str, Any]) -> bool:
    """Whether nobody may ask without a key or a token."""
    redis: object = settings.get("redis")
    shared = isinstance(redis, Mapping) and bool(cast("Mapping[str, object]", redis).get("keys"))
    return bool(settings.get("keys")) or shared or settings.get("jwt") is not None
