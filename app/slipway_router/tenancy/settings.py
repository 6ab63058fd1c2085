"""What the configuration says of who may ask, and for how much."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Literal, cast
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from slipway_router.schema import ENV_NAME, NAME, Strict, Tier, matching, unshown
from slipway_router.tenancy.secret import SHAPE

WhenGone = Literal["open", "closed", "share"]
"""What a limit does while Redis cannot be asked. `open`: let everything through. `closed`: nothing. `share`: this router's part
of it, which is the limit divided by the routers that share it, at least 1."""


class RateLimit(Strict):
    """So much in any 60 seconds."""

    limit: int = Field(ge=1, le=1_000_000_000)
    """How much."""
    when_redis_is_gone: WhenGone = "share"
    """What holds while Redis cannot be asked: 'open' no limit, 'closed' nothing passes, 'share' the limit divided by the
    routers."""


class Budget(Strict):
    """So much money in a calendar month, in UTC."""

    dollars: Decimal = Field(gt=0, le=1_000_000)
    """How much, in US dollars, by the backends' list prices."""
    when_redis_is_gone: WhenGone = "share"
    """What holds while Redis cannot be asked: 'open' no limit, 'closed' nothing passes, 'share' what was left, divided by the
    routers."""


def _spelled(name: str) -> BeforeValidator:
    """A limit may be given as its number alone."""

    def whole(given: object) -> object:
        return {name: given} if isinstance(given, int | float | str | Decimal) and not isinstance(given, bool) else given

    return BeforeValidator(whole)


class Grant(Strict):
    """What a key, or whoever has a token, may do."""

    tier: Tier = "free"
    """The user tier of their requests."""
    models: tuple[str, ...] | None = None
    """Names of models that they may ask for, as in a request; 'auto' only where it is listed. Absent: every one."""
    requests_per_minute: Annotated[RateLimit | None, _spelled("limit")] = None
    """Most requests in any 60 seconds, as a number or with `when_redis_is_gone`. Absent: no limit."""
    tokens_per_minute: Annotated[RateLimit | None, _spelled("limit")] = None
    """Most tokens of prompts and answers together in any 60 seconds, likewise. A request counts by its estimate until its answer
    tells. Absent: no limit."""
    monthly_budget: Annotated[Budget | None, _spelled("dollars")] = None
    """Most money in a calendar month, in US dollars, likewise. Absent: no limit."""

    cache_seconds: int | None = Field(default=None, ge=1, le=2_592_000)
    """For how long the same request gets the same answer again, without a backend and without taking anything of the limits.
    Whole answers only, no streams. Absent: nothing is kept."""

    @field_validator("models")
    @classmethod
    def _models(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and not value:
            raise ValueError("lists no model, so nothing could be asked for; list some, or leave it out to allow every one")
        return value


class CacheSettings(Strict):
    """How much is kept of answers, for keys with `cache_seconds`."""

    max_mib: int = Field(default=64, ge=1, le=65_536)
    """Most memory for all of them, in MiB; the least recently used goes first."""
    max_entry_kib: int = Field(default=256, ge=1, le=65_536)
    """Largest answer that is kept, in KiB."""


class Key(Grant):
    """A key that clients send as `Authorization: Bearer ...`. Told by where it is, or by its hash; never the key itself."""

    name: str
    """Whose it is, for metrics and limits. Unique."""
    hash: str | None = None
    """Salted hash of the key, as `slipway-router key create` prints it. Give one of this, `sha256` and `env`."""
    env: str | None = None
    """Environment variable that holds the key."""
    sha256: str | None = None
    """Hex SHA-256 of a key of one's own, which must be random (32 bytes or more)."""

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return matching(NAME, value, "lower case letters, digits, '-' and '.', at most 63")

    @field_validator("hash")
    @classmethod
    def _hash(cls, value: str | None) -> str | None:
        return value if value is None else unshown(SHAPE, value, "what 'slipway-router key create' prints, never the key itself")

    @field_validator("env")
    @classmethod
    def _env(cls, value: str | None) -> str | None:
        return value if value is None else unshown(ENV_NAME, value, "the name of an environment variable, never the key itself")

    @field_validator("sha256")
    @classmethod
    def _digest(cls, value: str | None) -> str | None:
        return value if value is None else unshown(re.compile("[0-9a-f]{64}"), value, "64 hexadecimal digits in lower case")


class RedisSettings(Strict):
    """The Redis that routers share. One node, or one primary behind a stable address: its keys are not spread over a cluster."""

    url: str
    """Address: `redis://HOST:PORT/DATABASE`, or `rediss://` for TLS with a verified certificate. Holds no password."""
    username: str | None = None
    """User of Redis' access lists. Absent: Redis' default user."""
    password_env: str | None = None
    """Environment variable that holds the password. Absent: none is sent."""
    ca_file: str | None = None
    """With `rediss://`: file with the certificates to trust. Absent: the system's."""
    prefix: str = "slipway"
    """What the names of its keys begin with. Routers with the same prefix share."""
    timeout_ms: int = Field(default=20, ge=1, le=1000)
    """Longest that a request waits for Redis, in milliseconds. Past it Redis counts as gone, and is not asked again by requests
    until it answers a call beside them."""
    replicas: int | None = Field(default=None, ge=1, le=10_000)
    """Routers that share the limits, for `when_redis_is_gone: share`. Absent: as many as had told of themselves when Redis was
    last there."""
    keys: bool = False
    """Whether keys are kept there too: `slipway-router key create` then acts on every router within a second, and every request
    needs a key."""
    health: bool = True
    """Whether routers tell each other there which backends have failed or asked to be left alone."""

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        try:
            read = urlsplit(value)
            port = read.port
        except ValueError:
            read, port = urlsplit(""), 0
        if read.password is not None or read.username is not None:
            raise ValueError("holds a user or a password; give 'username' and 'password_env', the variable that holds it")
        fits = read.scheme in ("redis", "rediss") and read.hostname and port != 0 and not read.query and not read.fragment
        if not fits or not re.fullmatch(r"(/[0-9]{0,4})?", read.path):
            raise ValueError("is no address of a Redis; give redis://HOST:PORT/DATABASE, or rediss:// for TLS")
        return value

    @field_validator("ca_file")
    @classmethod
    def _ca(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not str(info.data.get("url", "rediss:")).startswith("rediss:"):
            raise ValueError("goes with 'rediss://', and 'url' is without TLS; take it out, or change 'url'")
        return value

    @field_validator("prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        return matching(re.compile(r"[A-Za-z0-9._:-]{1,64}"), value, "letters, digits and '._:-', at most 64")

    @field_validator("password_env")
    @classmethod
    def _env(cls, value: str | None) -> str | None:
        return (
            value if value is None else unshown(ENV_NAME, value, "the name of an environment variable, never the password itself")
        )


def key_faults(path: str, key: Mapping[str, object], models: frozenset[str]) -> list[tuple[str, str]]:
    """What one field of a key alone cannot tell.

    Args:
        path: Of the key.
        key: As given.
        models: Every name that can be asked for.
    """
    faults: list[tuple[str, str]] = []
    if sum(key.get(field) is not None for field in ("hash", "env", "sha256")) != 1:
        faults.append((path, "give one of 'hash', 'env' and 'sha256'"))
    return faults + model_faults(path, key, models)


def model_faults(path: str, grant: Mapping[str, object], models: frozenset[str]) -> list[tuple[str, str]]:
    """Models that a grant allows and that nobody could ask for."""
    listed = grant.get("models")
    faults: list[tuple[str, str]] = []
    for i, model in enumerate(cast("Sequence[object]", listed) if isinstance(listed, list | tuple) else ()):
        if isinstance(model, str) and model not in models:
            there = ", ".join(f"'{m}'" for m in sorted(models))
            faults.append((f"{path}.models[{i}]", f"names '{model}', which cannot be asked for here; there are {there}"))
    return faults
