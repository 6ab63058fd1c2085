"""The Redis that hands out tasks: its address for workers, libraries' own parsers asked, and the one that a RedisCache gives."""

from typing import Any, cast

import pulumi
import pytest
import redis
from kombu.utils.url import parse_url  # pyright: ignore[reportUnknownVariableType] -- has no types
from tests.infra.kubernetes.workers import PASSWORD, container, environment, planned, refused

from slipway import RedisCache, WorkerPool
from slipway.plan import Plan, plan_program

SECRET = {"name": "r", "key": "password"}


@pytest.mark.parametrize(
    ("broker", "url"),
    [
        ({"host": "redis.ai.svc"}, "redis://redis.ai.svc:6379/0"),
        ({"host": "r", "port": 7000, "database": 4, "password": SECRET}, f"redis://:{PASSWORD}@r:7000/4"),
        ({"host": "r", "username": "u", "password": SECRET}, f"redis://u:{PASSWORD}@r:6379/0"),
        ({"host": "r", "tls": True}, "rediss://r:6379/0?ssl_cert_reqs=required"),
    ],
)
def test_the_address_is_one_that_clients_read_as_it_is_meant(broker: dict[str, Any], url: str) -> None:
    made = environment(container(planned(broker=broker)), {"password": PASSWORD})
    assert made["REDIS_URL"] == made["CELERY_BROKER_URL"] == url
    read = redis.ConnectionPool.from_url(url).connection_kwargs  # pyright: ignore[reportUnknownMemberType]
    wanted = (broker["host"], broker.get("port", 6379), broker.get("database", 0), broker.get("username"))
    assert (read["host"], read["port"], read["db"], read.get("username") or None) == wanted
    assert read.get("password") == (PASSWORD if "password" in broker else None)
    by_celery = cast("dict[str, Any]", parse_url(url))
    assert (by_celery["hostname"], by_celery["port"], by_celery["virtual_host"]) == (wanted[0], wanted[1], str(wanted[2]))


def test_the_password_is_in_no_manifest() -> None:
    assert "REDIS_PASSWORD" in {e["name"] for e in container(planned())["env"]}
    assert "REDIS_PASSWORD" not in {e["name"] for e in container(planned(broker={"host": "r"}))["env"]}


WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({}, {"host": "is required"}),
    ({"host": "redis://r"}, {"host": "is 'redis://r'; give a host's name"}),
    ({"host": "r", "port": 0}, {"port": "is 0; give 1 to 65535"}),
    ({"host": "r", "database": -1}, {"database": "is -1; give 0 to 65535"}),
    ({"host": "r", "username": "a:b", "password": SECRET}, {"username": "is 'a:b'; give letters"}),
    ({"host": "r", "username": "a"}, {"username": "goes with 'password'"}),
    ({"host": "r", "password": {"name": "A!", "key": "k"}}, {"password.name": "is 'A!'; give a Secret's name"}),
    ({"host": "r", "tls": "yes"}, {"tls": "is the text 'yes'; give true or false"}),
    ({"host": "r", "egress": {"port": 1}}, {"egress": "has no address"}),
    ({"host": "r", "closed": True}, {"closed": "goes with an 'egress' to 'pod_labels'"}),
    ({"host": "r", "closed": True, "egress": {"port": 1, "cidr": "10.0.0.0/8"}}, {"closed": "goes with an 'egress'"}),
    ({"host": "r", "url": "x"}, {"url": "is not an argument"}),
]


@pytest.mark.parametrize(("broker", "told"), WRONG)
def test_each_wrong_argument_is_one_clear_fault(broker: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused(broker=broker)
    assert faults.keys() == {f"broker.{path}" for path in told}, faults
    assert all(reason in faults[f"broker.{path}"] for path, reason in told.items()), faults


def with_cache(**more: Any) -> Plan:
    def declare() -> None:
        cache = RedisCache("queue", cast("Any", {"namespace": "ai", "eviction_policy": "noeviction", **more}))
        args: Any = {"namespace": "ai", "image": "app:1", "broker": cache.broker(), "celery": {"app": "tasks"}}
        WorkerPool("worker", args)

    return plan_program(declare)


def test_a_cache_gives_the_address_that_it_has_itself() -> None:
    plan = with_cache()
    url = environment(container(plan), {"password": PASSWORD})["REDIS_URL"]
    assert url == f"redis://:{PASSWORD}@queue.ai.svc:6379/0"
    secret = plan["worker-broker"].inputs["spec"]["secretTargetRef"][0]
    assert secret["name"] == plan["queue-password"].inputs["metadata"]["name"]
    assert secret["key"] == "password"
    (_, way) = plan["worker-network"].inputs["spec"]["egress"]
    assert way["to"][0]["podSelector"]["matchLabels"] == plan["queue-redis"].inputs["spec"]["selector"]["matchLabels"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"eviction_policy": "allkeys-lru"}, "eviction_policy 'allkeys-lru' drops tasks when memory is full; give 'noeviction'"),
        ({"eviction_policy": None}, "eviction_policy 'allkeys-lru' drops tasks"),
        ({"storage_gib": 0}, "with storage_gib 0 it loses them when it restarts; give 1 or more"),
        ({"external_url": "redis://r", "eviction_policy": None}, "of 'external_url' nothing is known; give the WorkerPool"),
    ],
)
def test_a_cache_that_would_lose_tasks_gives_none(more: dict[str, Any], told: str) -> None:
    with pytest.raises(pulumi.RunError, match="RedisCache 'queue' cannot hand out tasks: ") as error:
        with_cache(**more)
    assert told in str(error.value)
