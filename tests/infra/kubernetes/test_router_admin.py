"""The admin API of a router in a cluster: closed but for who is asked for, and never at the Service that clients use."""

import json
from typing import Any

import pytest
from tests.infra.kubernetes.service import planned, refused, schema_faults

from slipway.plan import Plan
from slipway_router.config import Config

KEY = {"name": "admin", "key": "key"}
OPS: Any = {"namespace": "ops", "pod_labels": {"app": "console"}}


def container(plan: Plan) -> dict[str, Any]:
    return plan["api-router"].inputs["spec"]["template"]["spec"]["containers"][0]


def ports(plan: Plan) -> list[int]:
    """Where the policy lets anybody in."""
    return [rule["ports"][0]["port"] for rule in plan["api-network"].inputs["spec"]["ingress"]]


def config(plan: Plan) -> Config:
    return Config.parse(json.loads(plan["api-config"].inputs["data"]["router.json"]))


def test_without_peers_it_listens_on_loopback_and_nothing_leads_there() -> None:
    plan = planned(admin={"key": KEY})
    admin = config(plan).admin
    assert admin is not None
    assert (admin.host, admin.port, admin.key_env) == ("127.0.0.1", 8001, "SLIPWAY_ADMIN_KEY")
    assert ports(plan) == [8000]
    assert [p["containerPort"] for p in container(plan)["ports"]] == [8000]
    assert "api-admin" not in [r.name for r in plan]
    found = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in container(plan)["env"]}
    assert found["SLIPWAY_ADMIN_KEY"] == {"name": "admin", "key": "key"}


def test_peers_are_let_in_at_its_own_port_alone_and_find_every_replica() -> None:
    plan = planned(admin={"key": KEY, "allow_from": [OPS]})
    rules = {rule["ports"][0]["port"]: rule["from"] for rule in plan["api-network"].inputs["spec"]["ingress"]}
    (peer,) = rules[8001]
    assert peer["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "ops"}}
    assert peer not in rules[8000]
    admin = config(plan).admin
    assert admin is not None
    assert admin.host == "0.0.0.0"
    service = plan["api-admin"].inputs["spec"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    assert [p["port"] for p in service["ports"]] == [8001]
    assert [p["port"] for p in plan["api-service"].inputs["spec"]["ports"]] == [80]
    assert {p["name"]: p["containerPort"] for p in container(plan)["ports"]} == {"http": 8000, "admin": 8001}
    assert schema_faults(plan) == []


def test_without_it_nothing_changes() -> None:
    plan = planned()
    assert config(plan).admin is None
    assert ports(plan) == [8000]


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"admin": {}}, "admin.key", "is required"),
    ({"admin": {"key": {"name": "Bad_", "key": "k"}}}, "admin.key.name", "is 'Bad_'; give a Secret's name"),
    ({"admin": {"key": {"name": "a", "key": "k k"}}}, "admin.key.key", "give a key of the Secret"),
    ({"admin": {"key": KEY, "allow_from": [{}]}}, "admin.allow_from[0]", "names nobody"),
    ({"admin": {"key": KEY, "port": 9}}, "admin.port", "is not an argument; there are 'key', 'allow_from'"),
    ({"settings": {"admin": {"key_env": "A"}}}, "settings.admin", "give 'admin' beside 'settings'"),
    (
        {"admin": {"key": KEY}, "env_from_secrets": {"SLIPWAY_ADMIN_KEY": KEY}},
        "env_from_secrets.SLIPWAY_ADMIN_KEY",
        "is filled by 'admin' or 'telemetry'; leave it out",
    ),
]


@pytest.mark.parametrize(("more", "path", "says"), WRONG)
def test_what_is_wrong_is_refused_at_plan_time(more: dict[str, Any], path: str, says: str) -> None:
    assert says in refused(**more)[path]
