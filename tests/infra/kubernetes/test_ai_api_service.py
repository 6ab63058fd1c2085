"""AiApiService: the graph that it registers, every manifest against Kubernetes' published schema, and the configuration
by the router's own parser. That it comes up, drains and scales is proven on a cluster, not here."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import kubernetes_validate
import pulumi
import pulumi_kubernetes as k8s
import pytest
from pulumi.provider.experimental.analyzer import Analyzer

from slipway import AiApiService, vendor
from slipway.backend import Backend
from slipway.kubernetes.ai_api_service_args import AiApiServiceArgs
from slipway.plan import UNKNOWN, Plan, plan_program
from slipway_router.config import Config

OPENAI = vendor("openai", name="openai", model="gpt-4o-mini", api_key={"name": "api-keys", "key": "openai"})
LLAMA: Backend = {
    "name": "llama",
    "url": "http://llama.ai-prod.svc:8000/v1",
    "model": "llama",
    "self_hosted": True,
    "timeouts": {"total": 1200.5},
    "egress": {"port": 8000, "pod_labels": {"app.kubernetes.io/instance": "llama"}},
}
ARGS: AiApiServiceArgs = {"image": "registry.example/ai-api:v1.2.3", "namespace": "ai-prod", "backends": [OPENAI, LLAMA]}
EVERYTHING: AiApiServiceArgs = {
    **ARGS,
    "create_namespace": True,
    "settings": {"max_body_mib": 8, "policy": {"best": "openai"}, "keys": [{"name": "team-a", "env": "TEAM_A_KEY"}]},
    "scaling": {"min": 3, "max": 30, "cpu_percent": 60, "requests_per_second": 50},
    "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "8Gi"}},
    "env_from_secrets": {"TEAM_A_KEY": {"name": "client-keys", "key": "team-a"}},
    "allow_from": [{"namespace": "web", "pod_labels": {"app": "shop"}}, {"cidr": "10.0.0.0/8"}],
    "prometheus": {"namespace": "observability", "pod_labels": {"app": "prom"}},
    "service_type": "LoadBalancer",  # pyright: ignore[reportAssignmentType] -- as YAML and other languages give an enum
    "annotations": {"example.com/team": "a", "prometheus.io/scrape": "false"},
    "service_annotations": {"example.com/internal": "true"},
    "pre_stop_seconds": 20,
    "rollout_seconds": 3600,
    "priority_class": "production",
    "node_selector": {"kubernetes.io/arch": "amd64"},
    "image_pull_secrets": ["registry"],
}


def planned(args: AiApiServiceArgs | None = None, name: str = "ai-api", **more: Any) -> Plan:
    given = cast("AiApiServiceArgs", {**(args or ARGS), **more})
    return plan_program(lambda: AiApiService(name, given))


def pod_spec(plan: Plan, name: str = "ai-api") -> dict[str, Any]:
    return plan[f"{name}-router"].inputs["spec"]["template"]["spec"]


def container(plan: Plan) -> dict[str, Any]:
    (only,) = pod_spec(plan)["containers"]
    return only


def config_of(plan: Plan, name: str = "ai-api") -> dict[str, Any]:
    return json.loads(plan[f"{name}-config"].inputs["data"]["router.json"])


def manifests(plan: Plan) -> list[Mapping[str, Any]]:
    return [r.inputs for r in plan if r.custom]


@pytest.mark.parametrize(
    ("args", "count"),
    [(ARGS, 7), (EVERYTHING, 8), ({**ARGS, "replicas": 0}, 6), ({**ARGS, "replicas": 3, "pre_stop_seconds": 0}, 6)],
)
def test_every_manifest_passes_the_published_schema_strictly(args: AiApiServiceArgs, count: int) -> None:
    checked = [kubernetes_validate.validate(dict(m), "1.36", strict=True) for m in manifests(planned(args))]
    assert checked == ["1.36"] * count


def test_what_it_is_made_of() -> None:
    plan = planned(create_namespace=True)
    kinds = {r.name: r.inputs["kind"] for r in plan if r.custom}
    assert kinds == {
        "ai-api-namespace": "Namespace",
        "ai-api-account": "ServiceAccount",
        "ai-api-config": "ConfigMap",
        "ai-api-network": "NetworkPolicy",
        "ai-api-router": "Deployment",
        "ai-api-service": "Service",
        "ai-api-hpa": "HorizontalPodAutoscaler",
        "ai-api-pdb": "PodDisruptionBudget",
    }
    (component,) = [r for r in plan if not r.custom]
    assert component.type == "slipway:index:AiApiService"
    assert all(r.parent == component.urn for r in plan if r.custom)


def test_names_in_the_cluster_are_the_logical_ones_but_for_the_service_and_the_configuration() -> None:
    plan = planned()
    named = {r.name: r.inputs["metadata"]["name"] for r in plan if r.custom}
    config = named.pop("ai-api-config")
    assert named.pop("ai-api-service") == "ai-api"
    assert all(logical == actual for logical, actual in named.items())
    content = plan["ai-api-config"].inputs["data"]["router.json"]
    assert config == "ai-api-config-" + hashlib.sha256(content.encode()).hexdigest()[:10]


def test_the_pods_wait_for_what_they_need_and_the_service_waits_for_no_pod() -> None:
    plan = planned(create_namespace=True)
    namespace = plan["ai-api-namespace"].urn
    needed = {plan[f"ai-api-{role}"].urn for role in ("account", "config", "network", "namespace")}
    assert set(plan["ai-api-router"].options["dependsOn"]) == needed
    # A Service that the Deployment waited for would itself wait for the Deployment's pods.
    assert plan["ai-api-service"].options["dependsOn"] == [namespace]
    for role in ("account", "config", "network", "pdb"):
        assert namespace in plan[f"ai-api-{role}"].options["dependsOn"]


def test_a_namespace_of_its_own_enforces_the_restricted_level() -> None:
    metadata = planned(create_namespace=True)["ai-api-namespace"].inputs["metadata"]
    assert metadata["name"] == "ai-prod"
    assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert "ai-api-namespace" not in planned()


def test_the_router_itself_accepts_its_configuration(tmp_path: Path) -> None:
    plan = planned(EVERYTHING)
    file = tmp_path / "router.json"
    file.write_text(plan["ai-api-config"].inputs["data"]["router.json"])
    config = Config.load(file)
    assert (config.listen.host, config.listen.port) == ("0.0.0.0", 8000)
    assert [b.name for b in config.backends] == ["openai", "llama"]
    assert (config.max_body_mib, config.policy.best, config.keys[0].env) == (8, "openai", "TEAM_A_KEY")
    assert container(plan)["args"] == ["--config", "/etc/slipway/router.json"]
    assert container(plan)["volumeMounts"][0] == {"name": "config", "mountPath": "/etc/slipway", "readOnly": True}


@pytest.mark.parametrize(("pre_stop", "handler"), [(20, {"preStop": {"sleep": {"seconds": 20}}}), (0, {})])
def test_the_grace_period_the_wait_and_the_routers_drain_come_from_one_number(pre_stop: int, handler: Mapping[str, Any]) -> None:
    plan = planned(pre_stop_seconds=pre_stop)
    longest = 1201  # of 900 (the default) and 1200.5
    assert config_of(plan)["drain_seconds"] == longest
    assert pod_spec(plan)["terminationGracePeriodSeconds"] == pre_stop + longest + 15
    assert container(plan).get("lifecycle", {}) == handler


def test_a_rollout_has_the_time_that_was_given_in_kubernetes_and_in_pulumi() -> None:
    slow: Backend = {**LLAMA, "name": "slow", "ready_seconds": 1980.5}
    own_models = planned(backends=[slow, {**slow, "name": "slower", "ready_seconds": 3000}])
    for plan, seconds in ((planned(), 600), (own_models, 2581), (planned(rollout_seconds=3600), 3600)):
        assert plan["ai-api-router"].inputs["spec"]["progressDeadlineSeconds"] == seconds
        for role in ("router", "service"):
            timeouts = plan[f"ai-api-{role}"].options["customTimeouts"]
            assert (timeouts["create"], timeouts["update"]) == (f"{seconds + 60}s", f"{seconds + 60}s")
        # The pods may take all of their grace period to go.
        assert plan["ai-api-router"].options["customTimeouts"]["delete"] == f"{10 + 1201 + 15 + 300}s"


def test_with_an_autoscaler_nobody_else_sends_a_number_of_replicas() -> None:
    plan = planned()
    assert "replicas" not in plan["ai-api-router"].inputs["spec"]
    assert plan["ai-api-hpa"].inputs["spec"] == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "ai-api-router"},
        "minReplicas": 2,
        "maxReplicas": 20,
        "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}},
            {
                "type": "Pods",
                "pods": {
                    "metric": {"name": "http_requests_per_second"},
                    "target": {"type": "AverageValue", "averageValue": "100"},
                },
            },
        ],
        "behavior": {
            "scaleDown": {
                "stabilizationWindowSeconds": 300,
                "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}],
            },
            "scaleUp": {
                "stabilizationWindowSeconds": 0,
                "policies": [
                    {"type": "Percent", "value": 100, "periodSeconds": 15},
                    {"type": "Pods", "value": 4, "periodSeconds": 15},
                ],
                "selectPolicy": "Max",
            },
        },
    }


@pytest.mark.parametrize("replicas", [0, 1, 5])
def test_with_a_fixed_number_there_is_no_autoscaler(replicas: int) -> None:
    plan = planned(replicas=replicas)
    assert plan["ai-api-router"].inputs["spec"]["replicas"] == replicas
    assert "ai-api-hpa" not in plan
    assert plan["ai-api-pdb"].inputs["spec"]["maxUnavailable"] == 1
    # Pulumi would wait for an endpoint that never comes.
    awaited = "pulumi.com/skipAwait" not in plan["ai-api-service"].inputs["metadata"]["annotations"]
    assert awaited == (replicas > 0)


def test_a_rollout_takes_away_no_ready_replica() -> None:
    spec = planned()["ai-api-router"].inputs["spec"]
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}}


def test_ready_asks_for_the_backends_and_alive_does_not() -> None:
    only = container(planned())
    paths = {kind: only[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
    assert {kind: probe["path"] for kind, probe in paths.items()} == {
        "startup": "/health",
        "readiness": "/ready",
        "liveness": "/health",
    }
    assert not any("initialDelaySeconds" in only[f"{kind}Probe"] for kind in paths)


def test_the_defaults_that_are_promised() -> None:
    plan = planned()
    assert container(plan)["resources"] == {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}
    assert plan["ai-api-router"].inputs["spec"]["template"]["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8000",
        "prometheus.io/path": "/metrics",
    }
    assert plan["ai-api-service"].inputs["spec"] == {
        "type": "ClusterIP",
        "selector": {"app.kubernetes.io/name": "slipway-router", "app.kubernetes.io/instance": "ai-api"},
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
    }


def test_what_was_asked_for_is_there() -> None:
    plan = planned(EVERYTHING)
    pod = pod_spec(plan)
    assert container(plan)["resources"] == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "8Gi"}}
    assert (pod["priorityClassName"], pod["nodeSelector"]) == ("production", {"kubernetes.io/arch": "amd64"})
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    template = plan["ai-api-router"].inputs["spec"]["template"]["metadata"]
    assert (template["annotations"]["example.com/team"], template["annotations"]["prometheus.io/scrape"]) == ("a", "false")
    assert template["labels"]["app.kubernetes.io/version"] == "v1.2.3"
    service = plan["ai-api-service"].inputs
    assert (service["spec"]["type"], service["metadata"]["annotations"]) == ("LoadBalancer", {"example.com/internal": "true"})
    hpa = plan["ai-api-hpa"].inputs["spec"]
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (3, 30)
    (rule,) = plan["ai-api-network"].inputs["spec"]["ingress"]
    assert rule["from"] == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "web"}},
            "podSelector": {"matchLabels": {"app": "shop"}},
        },
        {"ipBlock": {"cidr": "10.0.0.0/8"}},
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "observability"}},
            "podSelector": {"matchLabels": {"app": "prom"}},
        },
    ]


def test_pods_meet_the_restricted_level() -> None:
    pod, only = pod_spec(planned()), container(planned())
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert planned()["ai-api-account"].inputs["automountServiceAccountToken"] is False


def test_keys_are_references_and_no_value_is_in_the_plan() -> None:
    def program() -> None:
        keys = k8s.core.v1.Secret(
            "keys", metadata={"name": "api-keys"}, string_data={"openai": pulumi.Config().require_secret("openai")}
        )
        reference = {"name": keys.metadata["name"], "key": "openai"}
        backend = vendor("openai", name="openai", model="gpt-4o-mini", api_key=reference)
        AiApiService("ai-api", {**ARGS, "backends": [backend]})

    plan = plan_program(program, config={"slipway:openai": "sk-hush"}, secret_keys=["slipway:openai"])
    assert container(plan)["env"] == [
        {"name": "OPENAI_API_KEY", "valueFrom": {"secretKeyRef": {"name": "api-keys", "key": "openai"}}}
    ]
    assert "sk-hush" not in repr([(r.inputs, r.outputs) for r in plan])


def test_a_router_reaches_dns_and_its_backends_and_nothing_else() -> None:
    spec = planned(backends=[LLAMA])["ai-api-network"].inputs["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["egress"] == [
        {
            "to": [
                {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
                }
            ],
            "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
        },
        {
            "to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "llama"}}}],
            "ports": [{"protocol": "TCP", "port": 8000}],
        },
    ]
    with_vendor = planned()["ai-api-network"].inputs["spec"]["egress"]
    assert [rule["to"][0].get("ipBlock") for rule in with_vendor[1:3]] == [{"cidr": "0.0.0.0/0"}, {"cidr": "::/0"}]


def test_selectors_of_service_policy_and_budget_are_the_pods_labels() -> None:
    plan = planned()
    pods = plan["ai-api-router"].inputs["spec"]["template"]["metadata"]["labels"]
    for selected in (
        plan["ai-api-router"].inputs["spec"]["selector"]["matchLabels"],
        plan["ai-api-service"].inputs["spec"]["selector"],
        plan["ai-api-network"].inputs["spec"]["podSelector"]["matchLabels"],
        plan["ai-api-pdb"].inputs["spec"]["selector"]["matchLabels"],
    ):
        assert selected
        assert selected.items() <= pods.items()


def test_a_changed_setting_makes_another_configuration_and_rolls_the_pods() -> None:
    one, two = planned(), planned(settings={"max_body_mib": 64})
    names = [p["ai-api-config"].inputs["metadata"]["name"] for p in (one, two)]
    mounted = [pod_spec(p)["volumes"][0]["configMap"]["name"] for p in (one, two)]
    assert names[0] != names[1]
    assert mounted == names
    # The old one must outlive the change, for the old replicas and for `kubectl rollout undo`.
    assert one["ai-api-config"].options["retainOnDelete"] is True
    assert one["ai-api-config"].inputs["immutable"] is True
    assert one["ai-api-config"].urn == two["ai-api-config"].urn


def test_the_order_in_which_settings_are_written_changes_nothing() -> None:
    one = planned(settings={"max_body_mib": 8, "policy": {"best": "openai", "cheap": "llama"}})
    two = planned(settings={"policy": {"cheap": "llama", "best": "openai"}, "max_body_mib": 8})
    assert manifests(one) == manifests(two)


def test_the_same_program_makes_the_same_plan() -> None:
    one, two = planned(EVERYTHING), planned(EVERYTHING)
    assert one.resources == two.resources


def test_two_services_in_one_namespace_do_not_meet() -> None:
    def program() -> None:
        AiApiService("one", ARGS)
        AiApiService("two", ARGS)

    plan = plan_program(program)
    objects = [(m["kind"], m["metadata"]["name"]) for m in manifests(plan)]
    assert len(set(objects)) == len(objects) == 14
    first, second = (plan[f"{name}-service"].inputs["spec"]["selector"] for name in ("one", "two"))
    pods = plan["two-router"].inputs["spec"]["template"]["metadata"]["labels"]
    assert second.items() <= pods.items()
    assert not first.items() <= pods.items()


def test_addresses_are_outputs() -> None:
    (component,) = planned().of_type("slipway:index:AiApiService")
    assert component.outputs == {
        "url": "http://ai-api.ai-prod.svc",
        "public_urls": [],
        "service_name": "ai-api",
        "config_name": planned()["ai-api-config"].inputs["metadata"]["name"],
    }


def test_a_namespace_and_an_address_from_other_resources_are_taken() -> None:
    def program() -> None:
        namespace = k8s.core.v1.Namespace("space", metadata={"name": "made-here"})
        name = namespace.metadata["name"]
        backend: Backend = {**LLAMA, "url": pulumi.Output.concat("http://llama.", name, ".svc:8000/v1")}
        AiApiService("ai-api", {**ARGS, "namespace": name, "backends": [backend]})

    plan = plan_program(program)
    assert plan["ai-api-router"].inputs["metadata"]["namespace"] == "made-here"
    assert config_of(plan)["backends"][0]["url"] == "http://llama.made-here.svc:8000/v1"
    assert plan["space"].urn in plan["ai-api-router"].options["dependsOn"]


def test_an_address_not_known_yet_leaves_the_configuration_open_and_all_else_decided() -> None:
    def program() -> None:
        # What a provider makes up, no plan can know.
        uid = k8s.core.v1.Namespace("space", metadata={"name": "made-here"}).id
        backend: Backend = {**LLAMA, "url": pulumi.Output.concat("http://", uid, ":8000/v1")}
        AiApiService("ai-api", {**ARGS, "backends": [backend]})

    plan = plan_program(program)
    assert plan["ai-api-config"].inputs["metadata"]["name"] is UNKNOWN
    assert pod_spec(plan)["volumes"][0]["configMap"]["name"] is UNKNOWN
    assert plan["ai-api-service"].inputs["metadata"]["name"] == "ai-api"


def test_other_languages_can_use_it() -> None:
    component = Analyzer("slipway").analyze([AiApiService])["component_definitions"]["AiApiService"]
    assert set(component.inputs_mapping.values()) == AiApiServiceArgs.__annotations__.keys()
    assert all(definition.description for definition in component.inputs.values())
    assert set(component.outputs_mapping.values()) == planned().of_type("slipway:index:AiApiService")[0].outputs.keys()
