"""The Redis that a service's routers share: in the configuration, the pods' environment and the network policy alike."""

import json
from typing import Any

import pulumi
import pytest
from tests.infra.kubernetes.service import ARGS, planned, refused, schema_faults

from slipway import AiApiService, RedisCache
from slipway.plan import Plan, plan_program
from slipway_router.config import Config

BROKER: dict[str, Any] = {"host": "redis.ai.svc", "password": {"name": "redis-password", "key": "password"}, "tls": True}
KEYS = [{"name": "shop", "sha256": "0" * 64, "requests_per_minute": 100}]


def told(plan: Plan) -> Any:
    return json.loads(plan["api-config"].inputs["data"]["router.json"])


def ways_out(plan: Plan) -> list[Any]:
    return [rule["ports"][0]["port"] for rule in plan["api-network"].inputs["spec"]["egress"]]


def variables(plan: Plan) -> dict[str, Any]:
    container = plan["api-router"].inputs["spec"]["template"]["spec"]["containers"][0]
    return {e["name"]: e.get("valueFrom", {}).get("secretKeyRef") for e in container["env"]}


def test_its_address_is_configured_its_password_filled_and_its_port_let_out() -> None:
    plan = planned(redis=BROKER, settings={"keys": KEYS, "redis": {"keys": True, "timeout_ms": 30}})
    config = told(plan)
    assert config["redis"] == {
        "url": "rediss://redis.ai.svc:6379/0",
        "password_env": "REDIS_PASSWORD",
        "keys": True,
        "timeout_ms": 30,
    }
    assert variables(plan)["REDIS_PASSWORD"] == {"name": "redis-password", "key": "password"}
    assert 6379 in ways_out(plan)
    assert schema_faults(plan) == []
    Config.parse(config)


def test_a_redis_cache_is_handed_over_whole() -> None:
    def program() -> None:
        cache = RedisCache("cache", {"namespace": "ai", "eviction_policy": "noeviction", "storage_gib": 1})  # pyright: ignore[reportArgumentType] -- enums are taken by their value
        AiApiService("api", {**ARGS, "redis": cache.broker(), "settings": {"keys": KEYS}})  # pyright: ignore[reportArgumentType] -- as above

    plan = plan_program(program)
    assert told(plan)["redis"] == {"url": "redis://cache.ai.svc:6379/0", "password_env": "REDIS_PASSWORD"}
    assert variables(plan)["REDIS_PASSWORD"] == {"name": "cache-password", "key": "password"}
    [rule] = [r for r in plan["api-network"].inputs["spec"]["egress"] if r["ports"][0]["port"] == 6379]
    assert rule["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "cache"


def test_an_issuer_of_tokens_is_let_out_to_and_counts_as_a_check() -> None:
    jwt = {"issuer": "https://login.example.com:8443/realms/ai", "audience": "router"}
    plan = planned(settings={"jwt": jwt})
    assert told(plan)["jwt"] == jwt
    assert 8443 in ways_out(plan)


@pytest.mark.parametrize(
    ("args", "path", "said"),
    [
        ({"settings": {"redis": {"url": "redis://h"}}}, "settings.redis", "needs the argument 'redis'"),
        ({"redis": BROKER, "settings": {"redis": {"url": "redis://h"}}}, "settings.redis.url", "is set here"),
        ({"redis": BROKER, "settings": {"redis": {"password_env": "P"}}}, "settings.redis.password_env", "is set here"),
        ({"redis": {**BROKER, "host": "redis://h"}}, "redis.host", "without scheme"),
        ({"redis": {**BROKER, "port": 0}}, "redis.port", "give 1 to 65535"),
        ({"redis": BROKER, "settings": {"redis": {"timeout_ms": 0}}}, "settings.redis.timeout_ms", "greater than or equal to 1"),
        (
            {"settings": {"keys": [{**KEYS[0], "requests_per_minute": 0}]}},
            "settings.keys[0].requests_per_minute.limit",
            "equal to 1",
        ),
        ({"settings": {"jwt": {"issuer": "http://far", "audience": "a"}}}, "settings.jwt.issuer", "give https://"),
    ],
)
def test_what_is_wrong_is_refused_at_plan_time_by_the_routers_own_schema(args: dict[str, Any], path: str, said: str) -> None:
    assert said in refused(**args)[path]


def test_a_service_from_outside_that_asks_for_tokens_is_not_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []

    def warn(said: str, *_: object) -> None:
        warned.append(said)

    monkeypatch.setattr(pulumi.log, "warn", warn)
    ingress = {"hosts": ["api.example.com"], "proxies": [{"namespace": "ingress-nginx"}], "tls_secret": "tls"}
    jwt = {"issuer": "https://login.example.com", "audience": "router"}
    planned(ingress=ingress, settings={"jwt": jwt})
    assert warned == []
