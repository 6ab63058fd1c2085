"""ServiceMesh: its objects against the operators' own definitions, and what it refuses. What a mesh makes of them is not proven
here: none runs."""

import itertools
import json
from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pytest
from pulumi.provider.experimental.analyzer import Analyzer
from tests.infra.kubernetes.service import schema_faults

from slipway import AiApiService, AiNamespace, GpuModelServer, ServiceMesh, vendor
from slipway.kubernetes.mesh_service import MeshService
from slipway.kubernetes.service_mesh_args import MeshSettings, ServiceMeshArgs
from slipway.plan import Plan, Resource, plan_program
from slipway.plan.render import render

MESHES = ("istio", "linkerd", "consul")
JWT = {"issuer": "https://id.example.com", "jwks_uri": "https://id.example.com/jwks.json", "audiences": ["llm"]}
NO_ROUNDS = {"retries": {"rounds": 0}}
OPENAI = vendor("openai", name="gpt", model="gpt-4o-mini", api_key={"name": "api-keys", "key": "openai"})


def planned(
    mesh: str,
    *,
    api: Mapping[str, Any] | None = None,
    llama: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    others: Any = (),
    **more: Any,
) -> Plan:
    """A router and a model in a mesh, each with more fields of its service."""

    def program() -> None:
        model: Any = {
            "namespace": "ai",
            "model": "meta-llama/Llama-3.1-8B-Instruct",
            "accelerator": "l4:1",
            "context_tokens": 8192,
            "mesh": {"kind": mesh},
        }
        server = GpuModelServer("llama", model)
        args: Any = {"namespace": "ai", "image": "router:1.2.3", "backends": [server.backend(), OPENAI], "mesh": {"kind": mesh}}
        args["settings"] = settings or {}
        router = AiApiService("api", args)
        services = [router.mesh_service(**(api or {})), server.mesh_service(**(llama or {})), *others]
        given: Any = {"mesh": mesh, "namespace": "ai", "services": services, **more}
        ServiceMesh("mesh", given)

    return plan_program(program)


def refusal(mesh: str, **more: Any) -> dict[str, str]:
    try:
        planned(mesh, **more)
    except pulumi.InputPropertiesError as error:
        return told(error)
    return {}


def told(error: pulumi.InputPropertiesError) -> dict[str, str]:
    faults: dict[str, str] = {}
    for fault in error.errors or []:
        path = fault["property_path"].removeprefix("args.")
        faults[path] = "; ".join(filter(None, [faults.get(path), fault["reason"]]))
    return faults


def spec(plan: Plan, name: str) -> Any:
    return plan[name].inputs["spec"]


EVERYTHING: Mapping[str, Mapping[str, Any]] = {
    "istio": {
        "api": {"jwt": JWT, "callers": [{"namespace": "gateways"}, {"account": "batch", "namespace": "jobs"}]},
        "llama": {
            "retries": {"attempts": 2, "per_try_seconds": 30},
            "outlier_detection": {"consecutive_errors": 3},
            "circuit_breaker": {"max_connections": 100, "max_requests": 50, "max_pending_requests": 10},
            "timeout_seconds": 1200,
        },
        "tracing": {"provider": "otel", "egress": {"port": 4317, "namespace": "observability", "pod_labels": {}}},
        "settings": NO_ROUNDS,
    },
    "linkerd": {
        "api": {"callers": [{"namespace": "gateways"}, {"account": "batch", "namespace": "jobs"}]},
        "llama": {"retries": {"attempts": 2, "per_try_seconds": 30}, "outlier_detection": {}, "timeout_seconds": 1200},
        "settings": NO_ROUNDS,
    },
    "consul": {
        "api": {"jwt": JWT, "callers": [{"account": "gateway"}]},
        "llama": {
            "retries": {"attempts": 2},
            "outlier_detection": {"consecutive_errors": 3},
            "circuit_breaker": {"max_connections": 100, "max_requests": 50, "max_pending_requests": 10},
            "timeout_seconds": 1200,
        },
        "tracing": {"address": "otel.observability.svc:4317", "egress": {"port": 4317, "cidr": "10.0.0.0/8"}},
        "settings": NO_ROUNDS,
    },
}


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("mtls", ["strict", "permissive"])
@pytest.mark.parametrize("much", [False, True], ids=["defaults", "everything"])
def test_every_object_is_one_that_its_definition_allows(mesh: str, mtls: str, much: bool) -> None:
    plan = planned(mesh, mtls=mtls, **(EVERYTHING[mesh] if much else {}))
    objects = [r for r in plan if r.custom and not r.type.endswith("Patch")]
    assert len(objects) > 12
    assert schema_faults_of(objects) == []


def schema_faults_of(resources: list[Resource]) -> list[str]:
    return schema_faults(Plan("p", "s", tuple(resources)))


def test_istio_is_told_of_strict_tls_callers_and_no_retries() -> None:
    plan = planned("istio")
    assert spec(plan, "mesh-llama-mtls")["mtls"] == {"mode": "STRICT"}
    pods = plan["llama-server"].inputs["spec"]["template"]["metadata"]["labels"]
    assert spec(plan, "mesh-llama-mtls")["selector"]["matchLabels"].items() <= pods.items()
    # The router calls it, and nobody else may; the router may be called by who is in the namespace.
    (rule,) = spec(plan, "mesh-llama-callers")["rules"]
    assert rule == {"from": [{"source": {"principals": ["cluster.local/ns/ai/sa/api-account"]}}]}
    assert plan["api-router"].inputs["spec"]["template"]["spec"]["serviceAccountName"] == "api-account"
    (rule,) = spec(plan, "mesh-api-callers")["rules"]
    assert rule == {"from": [{"source": {"namespaces": ["ai"]}}]}
    (http,) = spec(plan, "mesh-llama-routes")["http"]
    assert http["retries"] == {"attempts": 0}
    assert http["timeout"] == "900s"
    assert spec(plan, "mesh-llama-routes")["hosts"] == ["llama.ai.svc.cluster.local"]


def test_istio_does_all_that_was_asked() -> None:
    plan = planned("istio", **EVERYTHING["istio"])
    (rule,) = spec(plan, "mesh-api-jwt")["jwtRules"]
    assert rule["audiences"] == ["llm"]
    assert rule["forwardOriginalToken"] is False
    sources = [s["source"] for s in spec(plan, "mesh-api-callers")["rules"][0]["from"]]
    assert sources == [
        {"namespaces": ["gateways"], "requestPrincipals": ["https://id.example.com/*"]},
        {"principals": ["cluster.local/ns/jobs/sa/batch"], "requestPrincipals": ["https://id.example.com/*"]},
    ]
    (http,) = spec(plan, "mesh-llama-routes")["http"]
    assert http["retries"]["attempts"] == 2
    assert http["retries"]["perTryTimeout"] == "30s"
    traffic = spec(plan, "mesh-llama-traffic")["trafficPolicy"]
    assert traffic["outlierDetection"] == {
        "consecutive5xxErrors": 3,
        "interval": "10s",
        "baseEjectionTime": "30s",
        "maxEjectionPercent": 50,
    }
    assert traffic["connectionPool"] == {
        "tcp": {"maxConnections": 100},
        "http": {"http1MaxPendingRequests": 10, "http2MaxRequests": 50},
    }
    (tracing,) = spec(plan, "mesh-llama-tracing")["tracing"]
    assert tracing == {"providers": [{"name": "otel"}], "randomSamplingPercentage": 1}


def test_a_token_is_asked_for_even_where_tls_is_not() -> None:
    plan = planned("istio", api={"jwt": JWT}, mtls="permissive")
    assert spec(plan, "mesh-api-mtls")["mtls"] == {"mode": "PERMISSIVE"}
    assert spec(plan, "mesh-api-callers")["rules"] == [
        {"from": [{"source": {"requestPrincipals": ["https://id.example.com/*"]}}]}
    ]
    assert "mesh-llama-callers" not in plan
    assert "trafficPolicy" not in spec(plan, "mesh-llama-traffic")


def test_linkerd_is_told_by_policies_and_annotations() -> None:
    plan = planned("linkerd", **EVERYTHING["linkerd"])
    assert spec(plan, "mesh-llama-server")["accessPolicy"] == "deny"
    assert spec(plan, "mesh-llama-callers") == {
        "identityRefs": [{"kind": "ServiceAccount", "name": "api-account", "namespace": "ai"}]
    }
    assert {"kind": "Namespace", "name": "gateways"} in spec(plan, "mesh-api-callers")["identityRefs"]
    # Probes and Prometheus have no certificate: their paths are open, all others are for callers.
    assert spec(plan, "mesh-llama-probes-policy")["targetRef"]["name"] == "mesh-llama-probes"
    (rule,) = spec(plan, "mesh-llama-probes")["rules"]
    paths = {m["path"]["value"] for m in rule["matches"]}
    container = plan["llama-server"].inputs["spec"]["template"]["spec"]["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if "httpGet" in container[probe]:
            assert container[probe]["httpGet"]["path"] in paths
    annotations = plan["mesh-llama-routes"].inputs["metadata"]["annotations"]
    assert annotations == {
        "timeout.linkerd.io/request": "1200s",
        "retry.linkerd.io/http": "gateway-error",
        "retry.linkerd.io/limit": "2",
        "retry.linkerd.io/timeout": "30s",
    }
    patch = plan["mesh-llama-outliers"].inputs["metadata"]
    assert patch["name"] == "llama"
    assert patch["annotations"]["balancer.linkerd.io/failure-accrual-consecutive-max-failures"] == "5"


def test_a_patch_of_a_service_is_part_of_its_manifest() -> None:
    files = render(planned("linkerd", llama={"outlier_detection": {}})).files
    manifest = files["50-service-llama.yaml"]
    assert "balancer.linkerd.io/failure-accrual: consecutive" in manifest
    assert "port: 8000" in manifest
    assert sum("kind: Service\n" in text and "\n  name: llama\n" in text for text in files.values()) == 1


def test_consul_is_told_by_entries_named_after_the_service() -> None:
    plan = planned("consul", **EVERYTHING["consul"])
    assert plan["mesh-llama-defaults"].inputs["metadata"]["name"] == "llama"
    assert spec(plan, "mesh-llama-defaults")["localRequestTimeoutMs"] == 1_200_000
    (upstream,) = spec(plan, "mesh-api-defaults")["upstreamConfig"]["overrides"]
    assert upstream["name"] == "llama"
    assert upstream["limits"] == {"maxConnections": 100, "maxConcurrentRequests": 50, "maxPendingRequests": 10}
    assert upstream["passiveHealthCheck"]["maxFailures"] == 3
    assert spec(plan, "mesh-llama-callers")["sources"] == [
        {"name": "api", "action": "allow"},
        {"name": "*", "action": "deny"},
    ]
    assert spec(plan, "mesh-api-callers")["jwt"] == {"providers": [{"name": "mesh-api"}]}
    (route,) = spec(plan, "mesh-llama-routes")["routes"]
    assert route["destination"]["requestTimeout"] == route["destination"]["idleTimeout"] == "1200s"
    assert route["destination"]["numRetries"] == 2
    config = spec(plan, "mesh-tracing")["config"]
    assert json.loads(config["envoy_listener_tracing_json"])["random_sampling"] == {"value": 1}
    assert "protocol" not in config  # it would make every service of the cluster HTTP


def test_consuls_accounts_are_called_as_their_services_and_their_tokens_are_mounted() -> None:
    plan = planned("consul")
    for workload, service in (("api-router", "api"), ("llama-server", "llama")):
        pod = plan[workload].inputs["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == service
        assert pod["automountServiceAccountToken"] is True
    assert planned("istio")["api-router"].inputs["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


DRAIN = {
    "istio": "proxy.istio.io/config",
    "linkerd": "config.linkerd.io/shutdown-grace-period",
    "consul": "consul.hashicorp.com/sidecar-proxy-lifecycle-shutdown-grace-period-seconds",
}


@pytest.mark.parametrize("mesh", MESHES)
def test_the_sidecar_drains_as_long_as_the_pod(mesh: str) -> None:
    plan = planned(mesh)
    for workload in ("api-router", "llama-server"):
        template = plan[workload].inputs["spec"]["template"]
        annotations, grace = template["metadata"]["annotations"], template["spec"]["terminationGracePeriodSeconds"]
        drain = annotations.get(DRAIN[mesh])
        drain = json.loads(drain)["terminationDrainDuration"] if mesh == "istio" else drain
        assert 900 < int(str(drain).removesuffix("s")) < grace


def test_pods_ask_for_their_sidecars_themselves() -> None:
    def labels(mesh: str) -> Any:
        return planned(mesh)["api-router"].inputs["spec"]["template"]["metadata"]

    assert labels("istio")["labels"]["sidecar.istio.io/inject"] == "true"
    assert labels("linkerd")["annotations"]["linkerd.io/inject"] == "enabled"
    # Under its old name too: before 2.20 Linkerd knows no other, and its proxy would come after the loaders.
    native = {key for key in labels("linkerd")["annotations"] if key.endswith("/proxy-enable-native-sidecar")}
    assert native == {"config.linkerd.io/proxy-enable-native-sidecar", "config.alpha.linkerd.io/proxy-enable-native-sidecar"}
    assert labels("consul")["annotations"]["consul.hashicorp.com/connect-inject"] == "true"
    # With a headless Service beside it, Consul must be told which is meant.
    assert labels("consul")["annotations"]["consul.hashicorp.com/kubernetes-service"] == "api"


PORTS = {"istio": (15012, None, 15020), "linkerd": (8086, 4143, 4191), "consul": (8502, 20000, 20200)}


@pytest.mark.parametrize("mesh", MESHES)
def test_policies_let_sidecars_reach_the_mesh_and_each_other(mesh: str) -> None:
    control, inbound, metrics = PORTS[mesh]
    plan = planned(mesh)
    ways = {(e["ports"][0]["port"], json.dumps(e["to"], sort_keys=True)) for e in spec(plan, "mesh-api-network")["egress"]}
    home = {"istio": "istio-system", "linkerd": "linkerd", "consul": "consul"}[mesh]
    assert any(port == control and home in to for port, to in ways)
    assert any(port == 8000 and '"llama"' in to for port, to in ways)
    assert any(port == inbound and '"llama"' in to for port, to in ways) is (inbound is not None)
    entries = {i["ports"][0]["port"]: i["from"] for i in spec(plan, "mesh-llama-network")["ingress"]}
    assert entries.keys() == {metrics, inbound} - {None}
    assert entries[metrics][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == "monitoring"


def test_requests_are_split_only_once_all_versions_are_ready() -> None:
    def program(mesh: str) -> Plan:
        def declare() -> None:
            args: Any = {"namespace": "ai", "image": "router:1", "backends": [OPENAI], "mesh": {"kind": mesh}}
            api = AiApiService("api", args)
            later: Any = {**args, "image": "router:2"}
            new = AiApiService("api-next", later)
            services = [api.mesh_service(split={"api-next": 10}), new.mesh_service()]
            ServiceMesh("mesh", cast("ServiceMeshArgs", {"mesh": mesh, "namespace": "ai", "services": services}))

        return plan_program(declare)

    for mesh, role in (("istio", "routes"), ("linkerd", "routes"), ("consul", "split")):
        plan = program(mesh)
        made = plan[f"mesh-api-{role}"]
        assert {plan["api-router"].urn, plan["api-next-router"].urn} <= set(made.options["dependsOn"]), mesh
        told: Any = made.inputs["spec"]
        shares = (
            told["splits"]
            if mesh == "consul"
            else (told["http"][0]["route"] if mesh == "istio" else told["rules"][0]["backendRefs"])
        )
        weights = [share["weight"] for share in shares]
        assert weights == [90, 10]
        assert schema_faults_of([r for r in plan if r.custom]) == []


def test_a_canary_is_a_service_of_its_own() -> None:
    def program() -> None:
        args: Any = {
            "namespace": "ai",
            "image": "router:1",
            "backends": [OPENAI],
            "mesh": {"kind": "istio", "revision": "1-28"},
            "http_route": {"hosts": ["llm.example.com"], "gateway": "public", "gateway_namespace": "gateways"},
            "canary": {"image": "router:2", "weight": 10},
        }
        api = AiApiService("api", args)
        ServiceMesh(
            "mesh",
            cast(
                "ServiceMeshArgs",
                {"mesh": "istio", "namespace": "ai", "services": [api.mesh_service(), api.mesh_service(canary=True)]},
            ),
        )

    plan = plan_program(program)
    selected = spec(plan, "mesh-api-canary-mtls")["selector"]["matchLabels"]
    metadata = plan["api-canary-router"].inputs["spec"]["template"]["metadata"]
    assert selected.items() <= metadata["labels"].items()
    assert metadata["labels"]["istio.io/rev"] == "1-28"
    # The gateway's pods come with their own certificates, from their own namespace.
    sources = [s["source"] for s in spec(plan, "mesh-api-callers")["rules"][0]["from"]]
    assert sources == [{"namespaces": ["ai"]}, {"namespaces": ["gateways"]}]


def test_a_namespace_that_is_made_in_the_same_program_is_known() -> None:
    def program() -> None:
        space = AiNamespace("ai", {})
        service: MeshService = {"service": "web", "port": 80, "pod_labels": {"app": "web"}, "account": "web"}
        args: Any = {"mesh": "istio", "namespace": space.namespace, "services": [service], "trust_domain": "acme"}
        ServiceMesh("mesh", args)

    plan = plan_program(program)
    assert spec(plan, "mesh-web-routes")["hosts"] == ["web.ai.svc.cluster.local"]
    assert plan["ai-default-deny"].urn in plan["mesh-web-mtls"].options["dependsOn"]


def test_two_meshes_in_one_namespace_do_not_meet() -> None:
    def program() -> None:
        for name in ("one", "two"):
            service: MeshService = {"service": name, "port": 80, "pod_labels": {"app": name}, "account": name}
            for mesh in MESHES:
                args: Any = {"mesh": mesh, "namespace": "ai", "services": [service]}
                ServiceMesh(f"{mesh}-{name}", args)

    keys = [(r.inputs["kind"], r.inputs["apiVersion"], r.inputs["metadata"]["name"]) for r in plan_program(program) if r.custom]
    assert len(set(keys)) == len(keys)


def test_it_tells_what_it_made() -> None:
    (component,) = planned("consul").of_type("slipway:index:ServiceMesh")
    assert "ServiceRouter/llama" in component.outputs["objects"]


def test_who_is_in_no_mesh_is_no_service_of_one() -> None:
    def routers() -> None:
        AiApiService("api", {"namespace": "ai", "image": "r:1", "backends": [OPENAI]}).mesh_service()

    def servers() -> None:
        args: Any = {
            "namespace": "ai",
            "model": "meta-llama/Llama-3.1-8B-Instruct",
            "accelerator": "l4:1",
            "context_tokens": 8192,
        }
        GpuModelServer("llama", args).mesh_service()

    def canary() -> None:
        args: Any = {"namespace": "ai", "image": "r:1", "backends": [OPENAI], "mesh": {"kind": "istio"}}
        AiApiService("api", args).mesh_service(canary=True)

    for program, reason in ((routers, "is in no mesh; give it 'mesh'"), (servers, "is in no mesh"), (canary, "has no canary")):
        with pytest.raises(pulumi.RunError, match=reason):
            plan_program(program)


WEB: dict[str, Any] = {"service": "web", "port": 80, "pod_labels": {"app": "web"}, "account": "web"}
ARGS: dict[str, Any] = {"mesh": "istio", "namespace": "ai", "services": [WEB]}


def refused(args: Mapping[str, Any], name: str = "mesh") -> dict[str, str]:
    try:
        MeshSettings.of(name, cast("ServiceMeshArgs", args))
    except pulumi.InputPropertiesError as error:
        return told(error)
    return {}


def web(mesh: str = "istio", /, **more: Any) -> dict[str, Any]:
    return {"mesh": mesh, "services": [{**WEB, **more}]}


ROUTER: dict[str, Any] = {"service": "api", "port": 80, "pod_labels": {"app": "api"}, "account": "api", "calls": ["web"]}
WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"mesh": "kuma"}, {"mesh": "give one of 'istio', 'linkerd', 'consul'"}),
    ({"namespace": "AI"}, {"namespace": "is 'AI'; give lower case letters"}),
    ({"services": []}, {"services": "is empty; give at least one"}),
    ({"mtls": "off"}, {"mtls": "give one of 'strict', 'permissive'"}),
    ({"control_plane_namespace": "Istio"}, {"control_plane_namespace": "give lower case letters"}),
    ({"trust_domain": "Acme"}, {"trust_domain": "is 'Acme'; give a name in lower case"}),
    ({"mesh": "linkerd", "trust_domain": "acme"}, {"trust_domain": "is Istio's alone, and mesh is 'linkerd'"}),
    ({"prometheus": {}}, {"prometheus": "names nobody"}),
    ({"servces": []}, {"servces": "did you mean 'services'?"}),
    ({"services": [WEB, WEB]}, {"services[1].service": "is 'web' again, first in services[0]"}),
    (web(service="Web"), {"services[0].service": "is 'Web'; give lower case letters"}),
    (web(account="My account"), {"services[0].account": "is 'My account'"}),
    (web(pod_labels={}), {"services[0].pod_labels": "is empty, which would mean every pod"}),
    (web(pod_labels={"app": "a/b"}), {"services[0].pod_labels.app": "is 'a/b'; give letters"}),
    (web(port=0), {"services[0].port": "is 0; give 1 to 65535"}),
    (web(pod_port=70000), {"services[0].pod_port": "is 70000; give 1 to 65535"}),
    (web(mesh="consul"), {"services[0].mesh": "is 'consul', and mesh is 'istio'; give the component `mesh` of the same kind"}),
    (web(component="api"), {"services[0].component": "is 'api'; give the Pulumi resource itself"}),
    (web(calls=["web"]), {"services[0].calls[0]": "is the service itself"}),
    (web(callers=[]), {"services[0].callers": "is empty: nobody could call it"}),
    (web(callers=[{}]), {"services[0].callers[0]": "names nobody; give 'account', 'namespace' or both"}),
    (web(callers=[{"account": "A!"}]), {"services[0].callers[0].account": "is 'A!'"}),
    (web(callers=[{"namespace": "A"}]), {"services[0].callers[0].namespace": "is 'A'"}),
    (
        web("consul", callers=[{"account": "a", "namespace": "b"}]),
        {"services[0].callers[0].namespace": "is not for mesh 'consul'"},
    ),
    (web("consul", account="web-account"), {"services[0].account": "need it to be called as the service, 'web'"}),
    (web(open_paths=["metrics"]), {"services[0].open_paths[0]": "is 'metrics'; give a prefix such as"}),
    (web(router_retries=-1), {"services[0].router_retries": "is -1; give 0 or more"}),
    (web(checks_keys="yes"), {"services[0].checks_keys": "give true or false"}),
    (web(stream_seconds=0), {"services[0].stream_seconds": "is 0; give seconds above 0"}),
    (web(timeout_seconds=60), {"services[0].timeout_seconds": "is 60, and an answer may take 900 seconds: the mesh would cut"}),
    (web(retries={"attempts": 0}), {"services[0].retries.attempts": "is 0; give 1 to 10, or leave 'retries' out"}),
    (
        web(retries={"attempts": 2}, router_retries=1),
        {"services[0].retries.attempts": "one request could be sent to 'web' (1 + 2) x (1 + 1) = 6 times; leave 'retries' out"},
    ),
    (
        {"services": [{**WEB, "retries": {"attempts": 3}}, {**ROUTER, "router_retries": 2}]},
        {"services[0].retries.attempts": "the router 'api' tries again itself, 2 more times: one request could be sent"},
    ),
    (web(retries={"attempts": 1, "per_try_seconds": 0}), {"services[0].retries.per_try_seconds": "is 0; give more than 0"}),
    (web(retries={"attempts": 1, "per_try_seconds": 901}), {"services[0].retries.per_try_seconds": "at most the 900 of all"}),
    (
        web("consul", retries={"attempts": 1, "per_try_seconds": 9}),
        {"services[0].retries.per_try_seconds": "take Istio or Linkerd"},
    ),
    (web(split={"web": 10}), {"services[0].split.web": "is the service itself"}),
    (web(split={"next": 10}), {"services[0].split.next": "is not among 'services'; add it there"}),
    (
        {"services": [{**WEB, "split": {"api": 101}}, ROUTER]},
        {"services[0].split.api": "is 101; give 0 to 100 percent", "services[0].split": "is 101 = 101 percent"},
    ),
    (
        web(outlier_detection={"consecutive_errors": 0}),
        {"services[0].outlier_detection.consecutive_errors": "is 0; give 1 to 100"},
    ),
    (web(outlier_detection={"ejection_seconds": 0}), {"services[0].outlier_detection.ejection_seconds": "give 1 to 3600"}),
    (web(outlier_detection={"interval_seconds": 500}), {"services[0].outlier_detection.interval_seconds": "give 1 to 300"}),
    (
        web(outlier_detection={"max_ejection_percent": 200}),
        {"services[0].outlier_detection.max_ejection_percent": "is 200; give 1 to 100"},
    ),
    (
        web("linkerd", outlier_detection={"interval_seconds": 5}),
        {"services[0].outlier_detection.interval_seconds": "leave it out, or take Istio or Consul"},
    ),
    (
        web("linkerd", outlier_detection={"max_ejection_percent": 5}),
        {"services[0].outlier_detection.max_ejection_percent": "is not for mesh 'linkerd'"},
    ),
    (web("consul", outlier_detection={}), {"services[0].outlier_detection": "is a setting of the callers in Consul"}),
    (web(circuit_breaker={}), {"services[0].circuit_breaker": "bounds nothing; give one of 'max_connections'"}),
    (web(circuit_breaker={"max_connections": 0}), {"services[0].circuit_breaker.max_connections": "is 0; give 1 to"}),
    (web(circuit_breaker={"max_requests": 0}), {"services[0].circuit_breaker.max_requests": "is 0; give 1 to"}),
    (web(circuit_breaker={"max_pending_requests": 0}), {"services[0].circuit_breaker.max_pending_requests": "is 0"}),
    (
        web("linkerd", circuit_breaker={"max_requests": 1}),
        {"services[0].circuit_breaker": "have no bound on connections or requests; take Istio or Consul"},
    ),
    (
        web("consul", circuit_breaker={"max_requests": 1}),
        {"services[0].circuit_breaker": "take Istio, which has it on the service"},
    ),
    (web("linkerd", jwt=JWT), {"services[0].jwt": "is not for mesh 'linkerd': Linkerd's proxies check no tokens; take Istio or"}),
    (web(jwt={**JWT, "issuer": ""}), {"services[0].jwt.issuer": "is ''; give the token's `iss`"}),
    (web(jwt={**JWT, "jwks_uri": "http://a/b"}), {"services[0].jwt.jwks_uri": "give an address that begins with https://"}),
    (web(jwt={**JWT, "audiences": []}), {"services[0].jwt.audiences": "must name at least one"}),
    (web(jwt={**JWT, "header": "a b"}), {"services[0].jwt.header": "is 'a b'; give a header's name"}),
    (web(jwt=JWT, checks_keys=True), {"services[0].jwt.header": "there the router reads a key of its own"}),
    ({"tracing": {"egress": {"port": 4317, "cidr": "::/0"}}}, {"tracing.provider": "is required with mesh 'istio'"}),
    (
        {"tracing": {"provider": "", "address": "a:1", "egress": {"port": 1, "cidr": "::/0"}, "sampling_percent": 101}},
        {
            "tracing.address": "is not for mesh 'istio'; give 'provider'",
            "tracing.provider": "is empty",
            "tracing.sampling_percent": "is 101; give 0 to 100",
        },
    ),
    (
        {"tracing": {"provider": "otel", "egress": {"port": 0}}},
        {"tracing.egress": "has no address", "tracing.egress.port": "is 0"},
    ),
    (
        {"mesh": "consul", "tracing": {"address": "nowhere", "egress": {"port": 1, "cidr": "::/0"}}},
        {"tracing.address": "is 'nowhere'; give HOST:PORT"},
    ),
    (
        {"mesh": "linkerd", "tracing": {"egress": {"port": 1, "cidr": "::/0"}}},
        {"tracing": "is told at its installation (`proxy.tracing`) for all sidecars; leave it out, or take Istio or Consul"},
    ),
]


@pytest.mark.parametrize(("wrong", "reasons"), WRONG)
def test_each_wrong_argument_is_a_clear_fault(wrong: dict[str, Any], reasons: dict[str, str]) -> None:
    faults = refused({**ARGS, **wrong})
    assert faults.keys() == reasons.keys()
    assert all(reason in faults[path] for path, reason in reasons.items()), faults


@pytest.mark.parametrize(("one", "two"), list(itertools.pairwise(WRONG)))
def test_faults_are_told_together(one: tuple[dict[str, Any], Any], two: tuple[dict[str, Any], Any]) -> None:
    if one[0].keys() & two[0].keys():
        return
    together = refused({**ARGS, **one[0], **two[0]}).keys()
    assert one[1].keys() | two[1].keys() <= together


def test_its_name_must_be_one() -> None:
    assert "give lower case letters" in refused(ARGS, name="Mesh")["name"]


def test_the_mesh_may_retry_where_the_router_does_not() -> None:
    faults = refusal("istio", llama={"retries": {"attempts": 2}})
    assert "the router 'api' tries again itself, 1 more time" in faults["services[1].retries.attempts"]
    assert refusal("istio", llama={"retries": {"attempts": 2}}, settings=NO_ROUNDS) == {}
    faults = refusal("istio", api={"retries": {"attempts": 2}})
    assert "the router itself tries again" in faults["services[0].retries.attempts"]


def test_a_router_that_asks_for_keys_takes_its_tokens_elsewhere() -> None:
    keys = {"keys": [{"name": "team", "sha256": "0" * 64}]}
    assert "give another header" in refusal("istio", api={"jwt": JWT}, settings=keys)["services[0].jwt.header"]
    plan = planned("istio", api={"jwt": {**JWT, "header": "X-Id-Token"}}, settings=keys)
    assert spec(plan, "mesh-api-jwt")["jwtRules"][0]["fromHeaders"] == [{"name": "X-Id-Token", "prefix": "Bearer "}]


@pytest.mark.parametrize(
    ("args", "path", "reason"),
    [
        ({"mesh": {"kind": "kuma"}}, "mesh.kind", "give one of 'istio'"),
        ({"mesh": {"kind": "linkerd", "revision": "a"}}, "mesh.revision", "is Istio's alone"),
        ({"mesh": {"kind": "istio", "revision": "a b"}}, "mesh.revision", "is 'a b'; give letters"),
        ({"mesh": {"kind": "istio"}, "service_monitor": {}}, "service_monitor", "takes only mutual TLS on the port it reads"),
        (
            {
                "mesh": {"kind": "consul"},
                "http_route": {"hosts": ["a.b"], "gateway": "g"},
                "canary": {"image": "r:2", "weight": 1},
            },
            "canary",
            "make the other version an AiApiService of its own",
        ),
    ],
)
def test_a_router_refuses_what_its_mesh_cannot_have(args: dict[str, Any], path: str, reason: str) -> None:
    given: Any = {"namespace": "ai", "image": "r:1", "backends": [OPENAI], **args}
    with pytest.raises(pulumi.InputPropertiesError) as raised:
        plan_program(lambda: AiApiService("api", given))
    assert reason in told(raised.value)[path]


def test_a_server_of_several_nodes_is_in_no_mesh() -> None:
    given: Any = {
        "namespace": "ai",
        "model": "meta-llama/Llama-3.1-405B-Instruct",
        "accelerator": "h100:8",
        "nodes": 2,
        "mesh": {"kind": "istio"},
    }
    with pytest.raises(pulumi.InputPropertiesError) as raised:
        plan_program(lambda: GpuModelServer("llama", given))
    assert "would go through the sidecars; leave one out" in told(raised.value)["mesh"]


def test_other_languages_can_use_it() -> None:
    analyzed = Analyzer("slipway").analyze([ServiceMesh])
    component = analyzed["component_definitions"]["ServiceMesh"]
    assert component.inputs["services"].items
    assert {"mesh", "namespace", "services", "mtls", "tracing"} <= component.inputs.keys()
    assert all(field.description for field in analyzed["type_definitions"]["MeshService"].properties.values())
