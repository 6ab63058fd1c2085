"""The way in through an Ingress: what is made, who is let in, what is refused. That a controller serves it is not proven here."""

from typing import Any

import pytest
from tests.infra.kubernetes.service import planned, refused, schema_faults
from tests.support.crds import crd_faults

INGRESS: dict[str, Any] = {
    "hosts": ["api.example.com", "llm.example.com"],
    "proxies": [{"namespace": "ingress-nginx", "pod_labels": {"app.kubernetes.io/name": "ingress-nginx"}}],
    "ingress_class": "nginx",
    "tls_secret": "api-tls",
    "annotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "900"},
}
ISSUER = {"name": "letsencrypt"}


def test_every_host_leads_to_the_service_with_one_certificate() -> None:
    plan = planned(ingress=INGRESS)
    assert schema_faults(plan) == []
    made = plan["api-ingress"].inputs
    assert made["metadata"]["name"] == "api-ingress"
    assert made["metadata"]["annotations"] == INGRESS["annotations"]
    service = {"service": {"name": "api", "port": {"name": "http"}}}
    paths = {"paths": [{"path": "/v1", "pathType": "Prefix", "backend": service}]}
    assert made["spec"] == {
        "ingressClassName": "nginx",
        "rules": [{"host": host, "http": paths} for host in INGRESS["hosts"]],
        "tls": [{"hosts": INGRESS["hosts"], "secretName": "api-tls"}],
    }
    assert plan.of_type("slipway:index:AiApiService")[0].outputs["public_urls"] == [
        "https://api.example.com",
        "https://llm.example.com",
    ]


def test_cert_manager_is_asked_for_the_certificate() -> None:
    plan = planned(ingress={key: value for key, value in INGRESS.items() if key != "tls_secret"} | {"certificate": ISSUER})
    assert schema_faults(plan) == []
    assert plan["api-ingress"].inputs["spec"]["tls"] == [{"hosts": INGRESS["hosts"], "secretName": "api-ingress-tls"}]
    made = plan["api-ingress-certificate"].inputs
    assert crd_faults(made) == []
    assert made["spec"]["secretName"] == "api-ingress-tls"
    assert made["spec"]["dnsNames"] == INGRESS["hosts"]
    assert made["spec"]["issuerRef"] == {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": "letsencrypt"}
    # The issuer may prove the names through the Ingress: neither waits for the other.
    assert plan["api-ingress-certificate"].urn not in plan["api-ingress"].options["dependsOn"]


def test_it_waits_for_the_pods_and_the_service() -> None:
    plan = planned(ingress=INGRESS, create_namespace=True)
    needed = {plan[f"api-{role}"].urn for role in ("router", "service", "namespace")}
    assert needed <= set(plan["api-ingress"].options["dependsOn"])


def test_the_network_policy_opens_for_the_controllers_pods_and_nobody_else() -> None:
    def allowed(**more: Any) -> list[Any]:
        (rule,) = planned(**more)["api-network"].inputs["spec"]["ingress"]
        return rule["from"]

    before, after = allowed(), allowed(ingress=INGRESS)
    assert after == [
        *before,
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}},
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "ingress-nginx"}},
        },
    ]
    # Once, where it was let in before.
    assert allowed(ingress=INGRESS, allow_from=INGRESS["proxies"]) == [after[-1], after[1]]


def test_without_tls_and_without_replicas() -> None:
    plain = {"hosts": ["a.example.com"], "proxies": [{"cidr": "10.0.0.0/8"}], "plain_http": True, "paths": ["/"]}
    plan = planned(ingress=plain, replicas=0)
    assert schema_faults(plan) == []
    made = plan["api-ingress"].inputs
    assert "tls" not in made["spec"]
    assert "ingressClassName" not in made["spec"]
    assert made["spec"]["rules"][0]["http"]["paths"][0]["path"] == "/"
    # Pulumi would wait for an endpoint that never comes.
    assert made["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}
    assert plan.of_type("slipway:index:AiApiService")[0].outputs["public_urls"] == ["http://a.example.com"]


def test_open_to_the_world_without_a_key_is_warned_of() -> None:
    assert any("asks for no key" in line for line in planned(ingress=INGRESS).warnings)
    keys = {"settings": {"keys": [{"name": "a", "env": "KEY_A"}]}, "env_from_secrets": {"KEY_A": {"name": "keys", "key": "a"}}}
    assert not any("asks for no key" in line for line in planned(ingress=INGRESS, **keys).warnings)
    assert not any("asks for no key" in line for line in planned().warnings)


WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"hosts": None}, {"hosts": "is required"}),
    ({"hosts": "api.example.com"}, {"hosts": "give a list"}),
    ({"hosts": []}, {"hosts": "is empty"}),
    ({"hosts": ["http://a"]}, {"hosts[0]": "give a name alone"}),
    ({"proxies": None}, {"proxies": "is required"}),
    ({"proxies": []}, {"proxies": "is empty, so that nobody could come in"}),
    ({"proxies": [{}]}, {"proxies[0]": "names nobody"}),
    ({"proxies": [{"cidr": "10/8/8"}]}, {"proxies[0].cidr": "give an address range"}),
    ({"ingress_class": "Nginx"}, {"ingress_class": "is 'Nginx'; give lower case letters"}),
    (
        {"tls_secret": None},
        {"tls_secret": "is required: name a Secret with a certificate for the hosts, give 'certificate'"},
    ),
    ({"tls_secret": "My Secret"}, {"tls_secret": "give lower case letters"}),
    ({"plain_http": True}, {"plain_http": "cannot go with 'tls_secret'; give one of the two"}),
    ({"certificate": ISSUER}, {"certificate": "cannot go with 'tls_secret'; give one of the two"}),
    ({"tls_secret": None, "certificate": ISSUER, "plain_http": True}, {"plain_http": "cannot go with 'certificate'"}),
    ({"tls_secret": None, "certificate": {}}, {"certificate.name": "is required"}),
    ({"tls_secret": None, "certificate": {"name": "Let's"}}, {"certificate.name": "give lower case letters"}),
    ({"tls_secret": None, "certificate": {**ISSUER, "kind": "Both"}}, {"certificate.kind": "'ClusterIssuer', 'Issuer'"}),
    ({"plain_http": "yes"}, {"plain_http": "give true or false"}),
    ({"paths": ["v1"]}, {"paths[0]": "give a prefix such as '/v1'"}),
    ({"annotations": {"/a": "1"}}, {"annotations./a": "is no key"}),
    ({"annotations": {"a": 1}}, {"annotations.a": "give text"}),
    ({"host": "a"}, {"host": "did you mean 'hosts'?"}),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG)
def test_each_wrong_argument_is_one_clear_fault(wrong: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused(ingress={**INGRESS, **wrong})
    assert faults.keys() == {f"ingress.{path}" for path in told}
    assert all(reason in faults[f"ingress.{path}"] for path, reason in told.items()), faults


@pytest.mark.parametrize("value", ["api.example.com", 3, [], [INGRESS], {"hosts": {"a": 1}, "proxies": {"b": [2]}}])
def test_no_value_however_wrong_gives_anything_but_a_refusal(value: object) -> None:
    assert refused(ingress=value)
