"""Keys from a store: an ExternalSecret by its operator's own schema, and the pods that wait for it. That the operator fills it is
not proven here."""

from typing import Any

import pytest
from tests.infra.kubernetes.service import ARGS, planned, refused, schema_faults

from slipway import vendor

KEYLESS = vendor("openai", name="openai", model="gpt-4o-mini")
SECRETS: dict[str, Any] = {
    "store": "vault",
    "values": {
        "TEAM_A_KEY": {"key": "prod/clients", "property": "team-a", "version": "3"},
        "OPENAI_API_KEY": {"key": "prod/openai"},
    },
}
WITH: dict[str, Any] = {
    "backends": [KEYLESS],
    "settings": {"keys": [{"name": "team-a", "env": "TEAM_A_KEY"}]},
    "external_secrets": SECRETS,
}


def test_the_operator_makes_one_secret_with_a_key_for_each_variable() -> None:
    plan = planned(**WITH)
    assert schema_faults(plan) == []
    made = plan["api-keys"].inputs
    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == ("api-keys", "ai")
    assert made["spec"] == {
        "refreshInterval": "3600s",
        "secretStoreRef": {"name": "vault", "kind": "SecretStore"},
        "target": {"name": "api-keys", "creationPolicy": "Owner"},
        "data": [
            {"secretKey": "OPENAI_API_KEY", "remoteRef": {"key": "prod/openai"}},
            {"secretKey": "TEAM_A_KEY", "remoteRef": {"key": "prod/clients", "property": "team-a", "version": "3"}},
        ],
    }


def test_the_pods_take_every_variable_from_it_and_wait_until_it_is_filled() -> None:
    plan = planned(**WITH)
    (container,) = plan["api-router"].inputs["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [
        {"name": v, "valueFrom": {"secretKeyRef": {"name": "api-keys", "key": v}}} for v in ("OPENAI_API_KEY", "TEAM_A_KEY")
    ]
    assert plan["api-keys"].urn in plan["api-router"].options["dependsOn"]
    assert plan["api-keys"].inputs["metadata"]["annotations"] == {"pulumi.com/waitFor": "condition=Ready"}


def test_a_store_of_the_whole_cluster_and_other_secrets_beside() -> None:
    secrets = {**SECRETS, "store_kind": "ClusterSecretStore", "refresh_seconds": 60, "values": {"OPENAI_API_KEY": {"key": "o"}}}
    plan = planned(**{**WITH, "external_secrets": secrets}, env_from_secrets={"TEAM_A_KEY": {"name": "clients", "key": "a"}})
    assert schema_faults(plan) == []
    spec = plan["api-keys"].inputs["spec"]
    assert (spec["secretStoreRef"]["kind"], spec["refreshInterval"]) == ("ClusterSecretStore", "60s")
    (container,) = plan["api-router"].inputs["spec"]["template"]["spec"]["containers"]
    assert [e["valueFrom"]["secretKeyRef"]["name"] for e in container["env"]] == ["api-keys", "clients"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"external_secrets": "vault"}, {"external_secrets": "give a mapping", "backends[0].api_key": "is required"}),
        ({"external_secrets": {"values": SECRETS["values"]}}, {"external_secrets.store": "is required"}),
        ({"external_secrets": {**SECRETS, "store": "My Vault"}}, {"external_secrets.store": "give lower case letters"}),
        ({"external_secrets": {**SECRETS, "store_kind": "Vault"}}, {"external_secrets.store_kind": "one of 'SecretStore', 'Clu"}),
        ({"external_secrets": {**SECRETS, "refresh_seconds": 59}}, {"external_secrets.refresh_seconds": "give 60 to 604800"}),
        ({"external_secrets": {**SECRETS, "refresh_seconds": "1h"}}, {"external_secrets.refresh_seconds": "a whole number"}),
        (
            {"external_secrets": {"store": "vault"}},
            {"external_secrets.values": "is required", "backends[0].api_key": "is required"},
        ),
        (
            {"external_secrets": {"store": "vault", "values": {}}},
            {"external_secrets.values": "is empty; give variables such as", "backends[0].api_key": "is required"},
        ),
        (
            {"external_secrets": {"store": "vault", "values": {"OPENAI_API_KEY": {"name": "o"}}}},
            {
                "external_secrets.values.OPENAI_API_KEY.name": "is not an argument",
                "external_secrets.values.OPENAI_API_KEY.key": "is required",
            },
        ),
        (
            {"external_secrets": {"store": "vault", "values": {"OPENAI_API_KEY": {"key": ""}}}},
            {"external_secrets.values.OPENAI_API_KEY.key": "is empty; give the name that the store knows"},
        ),
        (
            {"external_secrets": {**SECRETS, "values": {**SECRETS["values"], "1ST": {"key": "x"}}}},
            {"external_secrets.values.1ST": "is no name of an environment variable"},
        ),
        ({"backends": ARGS["backends"]}, {"external_secrets.values.OPENAI_API_KEY": "filled by backends[0].api_key already"}),
        (
            {"env_from_secrets": {"OPENAI_API_KEY": {"name": "a", "key": "b"}}},
            {"external_secrets.values.OPENAI_API_KEY": "is filled by env_from_secrets.OPENAI_API_KEY already; leave one"},
        ),
        ({"backends": [{**KEYLESS, "api_key_env": "OTHER_KEY"}]}, {"backends[0].api_key": "or fill env_from_secrets.OTHER_KEY"}),
    ],
)
def test_each_wrong_argument_is_one_clear_fault(wrong: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused(**{"backends": [KEYLESS], "external_secrets": SECRETS, **wrong})
    assert faults.keys() == told.keys()
    assert all(reason in faults[path] for path, reason in told.items()), faults


@pytest.mark.parametrize("value", [3, [], {"values": []}, {"values": {"A": 1}, "store": {}}, {"store": "s", "values": {3: None}}])
def test_no_value_however_wrong_gives_anything_but_a_refusal(value: object) -> None:
    assert refused(external_secrets=value)
    assert refused(external_secrets=value, backends=[{**KEYLESS, "api_key_env": ["x"], "api_key": {"name": "a", "key": "b"}}])
