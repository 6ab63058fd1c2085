"""Custom resources of other operators, admitted by a real API server that has their definitions: rules in CEL too, which
the schema alone does not tell. The operators themselves do not run here, so that nothing proves what they would make of them."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from tests.cluster.cases import Manifests, define, program
from tests.cluster.cluster import Cluster, ClusterError
from tests.support.crds import SOURCES, given_definitions

from slipway import AiApiService, ObservabilityStack, ServiceMesh, vendor
from slipway.kubernetes.ai_api_service_args import AiApiServiceArgs

NAMESPACE = "custom"
EVERYTHING: dict[str, Any] = {
    "namespace": NAMESPACE,
    "image": "slipway/router:0.1.0",
    "backends": [vendor("openai", name="gpt", model="gpt-4o-mini")],
    "external_secrets": {"store": "vault", "values": {"OPENAI_API_KEY": {"key": "prod/openai", "property": "api_key"}}},
    "scaling": {"by": "keda", "prometheus_url": "http://prometheus.monitoring.svc:9090", "min": 3, "max": 30},
    "service_monitor": {"labels": {"release": "prometheus"}, "interval_seconds": 30},
    "recommend_resources": True,
}
ROUTE: dict[str, Any] = {
    "hosts": ["a.example.com", "*.b.example.com"],
    "gateway": "public",
    "gateway_namespace": "gateways",
    "listener": "https",
}
OWN: dict[str, Any] = {"hosts": ["a.example.com", "b.example.com"], "gateway_class": "any", "proxies": [{"pod_labels": {}}]}
CANARY = {"image": "slipway/router:0.2.0", "weight": 25}


@pytest.fixture(scope="module")
def crds(cluster: Cluster) -> Iterator[Cluster]:
    define(cluster, *SOURCES)
    cluster.namespace(NAMESPACE)
    yield cluster
    cluster.kubectl("delete", "namespace", NAMESPACE, timeout=120)


def manifests(**more: Any) -> Manifests:
    return program(lambda: AiApiService("api", cast("AiApiServiceArgs", {**EVERYTHING, **more})))


@pytest.mark.parametrize(
    "more",
    [
        {"http_route": ROUTE, "canary": CANARY},
        {"http_route": {**OWN, "tls_secret": "api-tls"}},
        {"http_route": {**OWN, "plain_http": True, "timeout_seconds": 100_000}},
        {"http_route": {**OWN, "certificate": {"name": "letsencrypt"}}},
        {
            "http_route": {**ROUTE, "timeout_seconds": 0, "paths": ["/", "/v1"]},
            "scaling": {"by": "keda", "requests_per_second": 0},
        },
    ],
    ids=["canary", "own gateway", "without TLS", "certified", "on CPU alone"],
)
def test_every_custom_resource_is_admitted(crds: Cluster, more: dict[str, Any]) -> None:
    made = manifests(**more)
    assert {o["kind"] for o in made.objects} & SOURCES.keys()
    crds.apply(made.text)
    for one in made.of(*SOURCES):
        there = crds.get(one["kind"].lower(), one["metadata"]["name"], "--namespace", NAMESPACE)
        assert there["spec"].keys() >= one["spec"].keys()
    # What the API server filled in is not taken for a change.
    assert crds.run("diff", "--server-side", "--field-manager=slipway", "--filename=-", stdin=made.text).returncode == 0


def test_rules_and_readings_of_the_prometheus_operator_are_admitted(crds: Cluster) -> None:
    def declare() -> None:
        args: Any = {"namespace": NAMESPACE, "image": "r:1", "backends": EVERYTHING["backends"], "scaling": {"max": 9}}
        args["env_from_secrets"] = {"OPENAI_API_KEY": {"name": "keys", "key": "openai"}}
        args["prometheus"] = {"pod_labels": {"app.kubernetes.io/name": "prometheus"}}
        operator: Any = {"operator": {"url": "http://prometheus.monitoring.svc:9090", "labels": {"release": "prometheus"}}}
        watch = [AiApiService("watched", args).watched()]
        collector: Any = {"endpoint": "http://tempo.tracing.svc:4318"}
        ObservabilityStack("watch", {"namespace": NAMESPACE, "watch": watch, "prometheus": operator, "collector": collector})

    made = program(declare)
    assert {o["kind"] for o in made.objects} & SOURCES.keys() == {"PodMonitor", "PrometheusRule"}
    assert {o["metadata"]["name"] for o in made.of("PodMonitor")} == {"watch-reads-0-watched", "watch-reads-collector"}
    crds.apply(made.text)
    assert crds.run("diff", "--server-side", "--field-manager=slipway", "--filename=-", stdin=made.text).returncode == 0


def mesh(kind: str) -> Manifests:
    """A router and a service of another's in a mesh, with all that the mesh can do."""
    limits: dict[str, Any] = {"circuit_breaker": {"max_connections": 100}} if kind != "linkerd" else {}
    jwt: dict[str, Any] = {"issuer": "https://id.example.com", "jwks_uri": "https://id.example.com/jwks", "audiences": ["llm"]}
    tracing: dict[str, Any] = {"provider": "otel"} if kind == "istio" else {"address": "otel.observability.svc:4317"}

    def declare() -> None:
        args: Any = {"namespace": NAMESPACE, "image": "r:1", "backends": EVERYTHING["backends"], "mesh": {"kind": kind}}
        args["env_from_secrets"] = {"OPENAI_API_KEY": {"name": "keys", "key": "openai"}}
        args["settings"] = {"retries": {"rounds": 0}}
        router = AiApiService(f"{kind}-api", args)
        web: Any = {"service": "web", "port": 80, "pod_labels": {"app": "web"}, "account": "web", **limits}
        if kind != "linkerd":
            web["outlier_detection"] = {}
        more: dict[str, Any] = {"retries": {"attempts": 2}, "split": {"web": 10}, "calls": ["web"]}
        more |= {"outlier_detection": {}} if kind != "consul" else {}
        more |= {"jwt": jwt} if kind != "linkerd" else {}
        services = [router.mesh_service(**more), web]
        given: Any = {"mesh": kind, "namespace": NAMESPACE, "services": services}
        if kind != "linkerd":
            given["tracing"] = {**tracing, "egress": {"port": 4317, "cidr": "10.0.0.0/8"}}
        ServiceMesh(f"{kind}-mesh", given)

    return program(declare)


@pytest.mark.parametrize("kind", ["istio", "linkerd", "consul"])
def test_every_object_of_a_mesh_is_admitted(crds: Cluster, kind: str) -> None:
    if kind != "istio" and not given_definitions():
        pytest.skip(f"no Go module has {kind}'s definitions; give a folder with them as SLIPWAY_CRDS")
    made = mesh(kind)
    crds.apply(made.text)
    assert crds.run("diff", "--server-side", "--field-manager=slipway", "--filename=-", stdin=made.text).returncode == 0


def test_a_rule_that_the_schema_does_not_tell_is_one_here(crds: Cluster) -> None:
    (route,) = manifests(http_route=ROUTE).of("HTTPRoute")
    route["spec"]["rules"][0]["timeouts"]["backendRequest"] = "9000s"
    with pytest.raises(ClusterError, match="backendRequest timeout cannot be longer than request timeout"):
        crds.create(route)
