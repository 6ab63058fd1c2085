"""The way in through a gateway, by the Gateway API's own schema. That a gateway serves it is not proven here."""

from typing import Any

import pulumi_kubernetes as k8s
import pytest
from tests.infra.kubernetes.service import ARGS, planned, refused, schema_faults
from tests.support.crds import crd_faults

from slipway import AiApiService
from slipway.kubernetes.http_route import duration
from slipway.plan import plan_program

ROUTE: dict[str, Any] = {"hosts": ["api.example.com"], "gateway": "public", "gateway_namespace": "gateways", "listener": "https"}
OWN: dict[str, Any] = {
    "hosts": ["api.example.com", "*.llm.example.com"],
    "gateway_class": "istio",
    "tls_secret": "api-tls",
    "proxies": [{"pod_labels": {}}],
}


def test_a_gateway_of_its_own_has_a_certificate_by_cert_manager() -> None:
    plan = planned(http_route={**OWN, "tls_secret": None, "certificate": {"name": "own", "kind": "Issuer"}})
    assert schema_faults(plan) == []
    listeners = plan["api-gateway"].inputs["spec"]["listeners"]
    assert {listener["tls"]["certificateRefs"][0]["name"] for listener in listeners} == {"api-gateway-tls"}
    made = plan["api-gateway-certificate"].inputs
    assert crd_faults(made) == []
    assert made["spec"]["secretName"] == "api-gateway-tls"
    assert made["spec"]["issuerRef"]["kind"] == "Issuer"


def test_a_route_to_a_gateway_that_exists() -> None:
    plan = planned(http_route=ROUTE)
    assert schema_faults(plan) == []
    assert "api-gateway" not in plan
    route = plan["api-route"]
    assert route.type == "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute"
    assert (route.inputs["metadata"]["name"], route.inputs["metadata"]["namespace"]) == ("api-route", "ai")
    group = "gateway.networking.k8s.io"
    assert route.inputs["spec"] == {
        "parentRefs": [{"group": group, "kind": "Gateway", "name": "public", "namespace": "gateways", "sectionName": "https"}],
        "hostnames": ["api.example.com"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/v1"}}],
                "backendRefs": [{"group": "", "kind": "Service", "name": "api", "port": 80, "weight": 100}],
                "timeouts": {"request": "900s"},
            }
        ],
    }
    assert plan.of_type("slipway:index:AiApiService")[0].outputs["public_urls"] == ["https://api.example.com"]


def test_it_waits_until_the_service_is_ready() -> None:
    plan = planned(http_route=ROUTE, create_namespace=True)
    needed = {plan[f"api-{role}"].urn for role in ("router", "service", "namespace")}
    assert set(plan["api-route"].options["dependsOn"]) == needed


def allowed(route: dict[str, Any]) -> list[Any]:
    (rule,) = planned(http_route=route, allow_from=[])["api-network"].inputs["spec"]["ingress"]
    return rule["from"][1:]  # the first is Prometheus


def test_the_network_policy_opens_for_the_gateways_namespace_exactly() -> None:
    gateways = {"matchLabels": {"kubernetes.io/metadata.name": "gateways"}}
    assert allowed(ROUTE) == [{"namespaceSelector": gateways, "podSelector": {}}]
    assert allowed({"hosts": ["a.example.com"], "gateway": "mine"}) == [{"podSelector": {}}]
    pods = {"namespace": "envoy", "pod_labels": {"app": "proxy"}}
    assert allowed({**ROUTE, "proxies": [pods]}) == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "envoy"}},
            "podSelector": {"matchLabels": {"app": "proxy"}},
        }
    ]
    assert allowed({**ROUTE, "proxies": [{"cidr": "35.191.0.0/16"}]}) == [{"ipBlock": {"cidr": "35.191.0.0/16"}}]


def test_a_gateway_of_its_own_ends_tls_for_every_host() -> None:
    plan = planned(http_route=OWN)
    assert schema_faults(plan) == []
    gateway = plan["api-gateway"]
    # Not ready before its controller has opened its ports.
    assert gateway.inputs["metadata"]["annotations"] == {"pulumi.com/waitFor": "condition=Programmed"}
    assert gateway.inputs["spec"]["gatewayClassName"] == "istio"
    assert [
        (one["name"], one["hostname"], one["port"], one["protocol"], one["tls"]["certificateRefs"][0]["name"])
        for one in gateway.inputs["spec"]["listeners"]
    ] == [("https-0", "api.example.com", 443, "HTTPS", "api-tls"), ("https-1", "*.llm.example.com", 443, "HTTPS", "api-tls")]
    assert plan["api-route"].inputs["spec"]["parentRefs"][0]["name"] == "api-gateway"
    assert gateway.urn in plan["api-route"].options["dependsOn"]


def test_a_gateway_of_its_own_without_tls() -> None:
    plan = planned(http_route={**OWN, "tls_secret": None, "plain_http": True})
    assert schema_faults(plan) == []
    assert [(one["protocol"], one["port"]) for one in plan["api-gateway"].inputs["spec"]["listeners"]] == [("HTTP", 80)] * 2
    assert plan.of_type("slipway:index:AiApiService")[0].outputs["public_urls"][0] == "http://api.example.com"


@pytest.mark.parametrize(("asked", "request_timeout"), [(None, "1800s"), (3600, "3600s"), (0, None)])
def test_the_gateway_lets_the_longest_stream_end(asked: int | None, request_timeout: str | None) -> None:
    slow = [{**ARGS["backends"][0], "timeouts": {"total": 1800}}]
    rule = planned(http_route={**ROUTE, "timeout_seconds": asked}, backends=slow)["api-route"].inputs["spec"]["rules"][0]
    assert rule.get("timeouts", {}).get("request") == request_timeout


@pytest.mark.parametrize(("seconds", "text"), [(1, "1s"), (99999, "99999s"), (100_000, "1666m40s")])
def test_seconds_as_the_gateway_api_writes_them(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def test_a_gateway_from_another_resource_is_taken() -> None:
    def program() -> None:
        gateway = k8s.apiextensions.CustomResource("g", "gateway.networking.k8s.io/v1", "Gateway", metadata={"name": "made-here"})
        name = gateway.metadata["name"]  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType, reportAttributeAccessIssue] -- untyped in the SDK
        AiApiService("api", {**ARGS, "http_route": {"hosts": ["a.example.com"], "gateway": name}})  # pyright: ignore[reportArgumentType] -- from a Mapping

    plan = plan_program(program)
    assert plan["api-route"].inputs["spec"]["parentRefs"][0]["name"] == "made-here"


@pytest.mark.parametrize(
    ("route", "told"),
    [
        ({**ROUTE, "hosts": ["10.0.0.1"]}, {"hosts[0]": "an address; give a name"}),
        ({**ROUTE, "hosts": None}, {"hosts": "is required"}),
        ({**ROUTE, "gateway": "Public"}, {"gateway": "give lower case letters"}),
        ({**ROUTE, "gateway_namespace": "a.b"}, {"gateway_namespace": "give lower case letters"}),
        ({**ROUTE, "listener": "HTTPS"}, {"listener": "give lower case letters"}),
        ({**ROUTE, "tls_secret": "tls"}, {"tls_secret": "of no use with 'gateway', whose listener has the certificate"}),
        ({"hosts": ["a.io"]}, {"gateway": "is required: name a Gateway that exists, or give 'gateway_class'"}),
        ({**ROUTE, "gateway_class": "istio"}, {"gateway_class": "cannot go with 'gateway'"}),
        ({**ROUTE, "plain_http": 1}, {"plain_http": "give true or false"}),
        ({**ROUTE, "proxies": []}, {"proxies": "nobody could come in"}),
        ({**ROUTE, "paths": []}, {"paths": "give at least one prefix"}),
        ({**ROUTE, "timeout_seconds": 60}, {"timeout_seconds": "a backend may answer for 900: the gateway would cut the stream"}),
        ({**ROUTE, "timeout_seconds": -1}, {"timeout_seconds": "is -1; give seconds"}),
        ({**ROUTE, "weights": [1]}, {"weights": "is not an argument"}),
        ({**OWN, "proxies": None}, {"proxies": "is required with 'gateway_class'"}),
        ({**OWN, "tls_secret": None}, {"tls_secret": "is required: name a Secret"}),
        ({**ROUTE, "certificate": {"name": "a"}}, {"certificate": "of no use with 'gateway', whose listener has"}),
        ({**OWN, "certificate": {"name": "a"}}, {"certificate": "cannot go with 'tls_secret'"}),
        ({**OWN, "plain_http": True}, {"plain_http": "cannot go with 'tls_secret'"}),
        ({**OWN, "gateway_class": "I"}, {"gateway_class": "give lower case letters"}),
        (
            {**OWN, "gateway_namespace": "x", "listener": "y"},
            {"gateway_namespace": "give 'gateway'", "listener": "give 'gateway'"},
        ),
    ],
)
def test_each_wrong_argument_is_one_clear_fault(route: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused(http_route=route)
    assert faults.keys() == {f"http_route.{path}" for path in told}
    assert all(reason in faults[f"http_route.{path}"] for path, reason in told.items()), faults


@pytest.mark.parametrize("value", ["a", 3, [], {"hosts": 3, "gateway": {}, "proxies": "x"}, {"timeout_seconds": float("nan")}])
def test_no_value_however_wrong_gives_anything_but_a_refusal(value: object) -> None:
    assert refused(http_route=value)
