"""What is wrong about keys, limits and Redis is told with its path, and never with a secret."""

from typing import Any

import pytest

from slipway_router.config import Config, ConfigError
from slipway_router.tenancy import secret

BACKEND = {"name": "one", "url": "http://127.0.0.1:1/v1", "model": "mock", "serves": ["more"]}
HASH = secret.hashed(secret.new_key())


@pytest.mark.parametrize(
    ("grant", "path", "said"),
    [
        ({"hash": "slw_0123456789ab_" + "s3cret" * 7}, "keys[0].hash", "what 'slipway-router key create' prints"),
        ({"hash": None}, "keys[0]", "give one of 'hash', 'env' and 'sha256'"),
        ({"sha256": "0" * 64}, "keys[0]", "give one of 'hash', 'env' and 'sha256'"),
        ({"hash": None, "sha256": "s3cret"}, "keys[0].sha256", "64 hexadecimal digits"),
        ({"hash": None, "env": "s3cret-key"}, "keys[0].env", "the name of an environment variable, never the key itself"),
        ({"tier": "gold"}, "keys[0].tier", "give 'free', 'paid' or 'enterprise'"),
        ({"models": []}, "keys[0].models", "leave it out to allow every one"),
        ({"models": ["mock", "gpt"]}, "keys[0].models[1]", "there are 'auto', 'mock', 'more', 'one'"),
        ({"requests_per_minute": 0}, "keys[0].requests_per_minute.limit", "greater than or equal to 1"),
        ({"requests_per_minute": True}, "keys[0].requests_per_minute", "valid dictionary"),
        ({"requests_per_minute": 1.5}, "keys[0].requests_per_minute.limit", "valid integer"),
        (
            {"tokens_per_minute": {"limit": 5, "when_redis_is_gone": "panic"}},
            "keys[0].tokens_per_minute.when_redis_is_gone",
            "give 'open', 'closed' or 'share'",
        ),
        ({"tokens_per_minute": {}}, "keys[0].tokens_per_minute.limit", "is required"),
        ({"monthly_budget": 0}, "keys[0].monthly_budget.dollars", "greater than 0"),
        ({"monthly_budget": "many"}, "keys[0].monthly_budget.dollars", "valid decimal"),
        ({"monthly_budget": 2_000_000}, "keys[0].monthly_budget.dollars", "less than or equal to 1000000"),
    ],
)
def test_a_keys_faults(grant: dict[str, Any], path: str, said: str) -> None:
    given = {k: v for k, v in {"name": "shop", "hash": HASH, **grant}.items() if v is not None}
    with pytest.raises(ConfigError) as refused:
        Config.parse({"backends": [BACKEND], "keys": [given]})
    assert [p for p, _ in refused.value.faults] == [path]
    assert said in refused.value.faults[0][1]
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "path", "said"),
    [
        ({"url": "http://h:1"}, "redis.url", "give redis://HOST:PORT/DATABASE"),
        ({"url": "redis://h:0"}, "redis.url", "give redis://"),
        ({"url": "redis://h:99999"}, "redis.url", "give redis://"),
        ({"url": "redis://h/x"}, "redis.url", "give redis://"),
        ({"url": "redis://user:s3cret@h"}, "redis.url", "holds a user or a password; give 'username' and 'password_env'"),
        ({}, "redis.url", "is required"),
        ({"url": "redis://h", "password_env": "s3cret!"}, "redis.password_env", "never the password itself"),
        ({"url": "redis://h", "prefix": "a b"}, "redis.prefix", "letters, digits"),
        ({"url": "redis://h", "timeout_ms": 0}, "redis.timeout_ms", "greater than or equal to 1"),
        ({"url": "redis://h", "replicas": 0}, "redis.replicas", "greater than or equal to 1"),
        ({"url": "redis://h", "keyz": True}, "redis.keyz", "is not a setting here"),
        ({"url": "redis://h", "ca_file": "/ca.pem"}, "redis.ca_file", "goes with 'rediss://'"),
    ],
)
def test_redis_faults(settings: dict[str, Any], path: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Config.parse({"backends": [BACKEND], "redis": settings})
    assert [p for p, _ in refused.value.faults] == [path]
    assert said in refused.value.faults[0][1]
    assert "s3cret" not in str(refused.value)
