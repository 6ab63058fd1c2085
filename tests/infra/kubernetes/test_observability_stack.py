"""ObservabilityStack: its objects against Kubernetes' schema, who reaches what, and that scaler and alert move together.

What its servers do with it is for tests/infra/kubernetes/observability to show, and for a cluster that it is admitted.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any, cast

import kubernetes_validate
import pytest
import yaml
from pulumi.provider.experimental.analyzer import Analyzer
from tests.infra.kubernetes.model_server import revealed
from tests.infra.kubernetes.observability.services import MODEL, ROUTER, SCALING

from slipway import AiApiService, AiNamespace, GpuModelServer, ObservabilityStack
from slipway.kubernetes.observability.passwords import bcrypt
from slipway.plan import Plan, Secret, plan_program

EVERYTHING: Mapping[str, Any] = {
    "objectives": {
        "availability_percent": 99.5,
        "first_token_seconds": 1,
        "first_token_percent": 99,
        "period_days": 7,
        "patience_seconds": 300,
        "daily_dollars": 50,
    },
    "prometheus": {
        "image": "registry.example/prometheus@sha256:" + "0" * 64,
        "interval_seconds": 10,
        "retention_days": 90,
        "storage_gib": 200,
        "storage_class": "fast-ssd",
        "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "8Gi"}},
        "allow_from": [{"namespace": "keda", "pod_labels": {"app": "keda-operator"}}],
        "api_cidr": "10.0.0.1/32",
    },
    "alertmanager": {
        "receivers": [{"name": "hook", "kind": "webhook", "secret": {"name": "hook", "key": "url"}, "severities": ["page"]}],
        "repeat_hours": 4,
        "egress": [{"cidr": "10.2.0.0/16", "port": 8443}],
        "image": "registry.example/alertmanager:v1",
        "storage_gib": 3,
        "storage_class": "fast-ssd",
        "resources": {"requests": {"memory": "128Mi"}},
    },
    "grafana": {
        "image": "registry.example/grafana:v1",
        "storage_gib": 4,
        "storage_class": "fast-ssd",
        "resources": {"requests": {"memory": "300Mi"}},
        "allow_from": [{"namespace": "ingress"}],
        "root_url": "https://grafana.example.com/",
    },
    "runbooks": "https://wiki.example.com/runbooks/",
    "deletion_policy": "protect",
    "node_selector": {"pool": "data"},
}


def planned(
    model: Mapping[str, Any] | None = None, router: Mapping[str, Any] | None = None, name: str = "watch", **more: Any
) -> Plan:
    """A stack that watches a router and a model that scales."""

    def program() -> None:
        llama = GpuModelServer("llama", cast("Any", {**MODEL, "scaling": SCALING, **(model or {})}))
        api = AiApiService("api", cast("Any", {**ROUTER, **(router or {})}))
        args: Any = {"namespace": "monitoring", "watch": [api.watched(), llama.watched()], **more}
        ObservabilityStack(name, args)

    return plan_program(program)


def spec(plan: Plan, resource: str) -> dict[str, Any]:
    return cast("dict[str, Any]", plan[resource].inputs["spec"])


def pod(plan: Plan, role: str) -> dict[str, Any]:
    return cast("dict[str, Any]", spec(plan, f"watch-{role}")["template"]["spec"])


def files(plan: Plan, role: str = "prometheus") -> dict[str, str]:
    return cast("dict[str, str]", plan[f"watch-{role}-config"].inputs["data"])


def alerts(plan: Plan) -> dict[tuple[str, str], dict[str, Any]]:
    """By service and name."""
    groups = yaml.safe_load(files(plan)["rules.yml"])["groups"]
    return {(r["labels"]["service"], r["alert"]): r for g in groups for r in g["rules"] if "alert" in r}


@pytest.mark.parametrize("more", [{}, EVERYTHING])
def test_every_object_passes_the_published_schema_strictly(more: Mapping[str, Any]) -> None:
    own = [r for r in planned(**more) if r.custom and r.name.startswith("watch")]
    assert len(own) > 8
    assert {kubernetes_validate.validate(revealed(r.inputs), "1.36", strict=True) for r in own} == {"1.36"}


def test_the_analyser_takes_the_component() -> None:
    Analyzer("slipway").analyze_component(ObservabilityStack)


def test_without_a_word_every_pod_is_restricted() -> None:
    plan = planned()
    workloads = [r for r in plan if r.type.endswith(":StatefulSet") and r.name.startswith("watch")]
    assert workloads
    for workload in workloads:
        template = workload.inputs["spec"]["template"]["spec"]
        assert template["securityContext"]["runAsNonRoot"] is True
        for container in template["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} == container["resources"].keys()


def test_prometheus_may_list_pods_where_they_are_and_nothing_else() -> None:
    plan = planned()
    for service in ("api", "llama"):
        role = plan[f"watch-reads-{service}-role"].inputs
        assert role["metadata"]["namespace"] == "ai"
        assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
        binding = plan[f"watch-reads-{service}-binding"].inputs
        (subject,) = binding["subjects"]
        assert (subject["namespace"], subject["name"]) == ("monitoring", pod(plan, "prometheus")["serviceAccountName"])
    assert not [r for r in plan if "ClusterRole" in r.type]


def test_prometheus_reaches_what_it_reads_and_is_reached_by_few() -> None:
    policy = spec(planned(prometheus=EVERYTHING["prometheus"]), "watch-prometheus-network")
    (way_in,) = policy["ingress"]
    assert way_in["ports"] == [{"protocol": "TCP", "port": 9090}]
    assert {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}},
        **_labelled("app", "keda-operator"),
    } in way_in["from"]
    out = [(to, port["port"]) for rule in policy["egress"] for to in rule["to"] for port in rule["ports"]]
    assert ({"ipBlock": {"cidr": "10.0.0.1/32"}}, 6443) in out
    assert [to for to, port in out if port == 8000 and to["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "llama"]
    assert not [to for to, _ in out if to.get("ipBlock", {}).get("cidr") == "0.0.0.0/0"]


def _labelled(key: str, value: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {key: value}}}


def test_the_password_is_generated_once_and_in_no_clear_text() -> None:
    first, second = planned(), planned()
    data = first["watch-prometheus-auth"].inputs["data"]
    assert isinstance(data, Secret)
    held = {key: base64.b64decode(value).decode() for key, value in revealed(data).items()}
    users = yaml.safe_load(held["web.yml"])["basic_auth_users"]
    assert bcrypt.checkpw(held["password"].encode(), users["slipway"].encode())
    assert len(base64.urlsafe_b64decode(held["password"] + "=")) == 32
    assert revealed(second["watch-prometheus-auth"].inputs["data"]) != revealed(data)
    assert first["watch-prometheus-auth"].options["ignoreChanges"] == ["data"]
    assert held["password"] not in first.to_json()
    assert held["password"] not in json.dumps(files(first))


def test_everything_that_can_be_asked_arrives() -> None:
    plan = planned(**EVERYTHING)
    stateful_set, prometheus = spec(plan, "watch-prometheus"), pod(plan, "prometheus")["containers"][0]
    assert prometheus["image"] == EVERYTHING["prometheus"]["image"]
    assert prometheus["resources"] == {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "8Gi"}}
    assert {"--storage.tsdb.retention.time=90d", f"--storage.tsdb.retention.size={160 * 1024}MB"} <= set(prometheus["args"])
    claim = stateful_set["volumeClaimTemplates"][0]["spec"]
    assert (claim["storageClassName"], claim["resources"]["requests"]["storage"]) == ("fast-ssd", "200Gi")
    assert stateful_set["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"
    assert plan["watch-prometheus"].options["protect"] is True
    assert pod(plan, "prometheus")["nodeSelector"] == {"pool": "data"}
    assert yaml.safe_load(files(plan)["prometheus.yml"])["global"]["scrape_interval"] == "10s"
    burn = alerts(plan)["api", "ErrorBudgetBurn"]
    assert "> 0.072" in burn["expr"]  # 14.4 times half a percent
    assert burn["annotations"]["runbook_url"] == "https://wiki.example.com/runbooks/error-budget-burn.md"
    assert alerts(plan)["api", "SpendingAboveBudget"]["expr"].endswith("> 50")
    assert alerts(plan)["api", "BreakerOpen"]["for"] == "5m"


def test_everything_of_alertmanager_and_grafana_arrives_too() -> None:
    plan = planned(**EVERYTHING)
    for role, gib in (("alertmanager", 3), ("grafana", 4)):
        claim = spec(plan, f"watch-{role}")["volumeClaimTemplates"][0]["spec"]
        assert (claim["storageClassName"], claim["resources"]["requests"]["storage"]) == ("fast-ssd", f"{gib}Gi")
        assert pod(plan, role)["containers"][0]["image"] == f"registry.example/{role}:v1"
    told = yaml.safe_load(files(plan, "alertmanager")["alertmanager.yml"])
    assert told["route"]["repeat_interval"] == "4h"
    assert told["route"]["routes"][0]["matchers"] == ['severity=~"page"']
    (volume,) = (v["secret"] for v in pod(plan, "alertmanager")["volumes"] if v.get("secret", {}).get("secretName") == "hook")
    assert volume["items"] == [{"key": "url", "path": "url"}]
    out = spec(plan, "watch-alertmanager-network")["egress"]
    assert {"to": [{"ipBlock": {"cidr": "10.2.0.0/16"}}], "ports": [{"protocol": "TCP", "port": 8443}]} in out
    variables = {e["name"]: e for e in pod(plan, "grafana")["containers"][0]["env"]}
    assert variables["GF_SERVER_ROOT_URL"]["value"] == "https://grafana.example.com/"
    assert variables["GF_SECURITY_ADMIN_PASSWORD"]["valueFrom"]["secretKeyRef"] == {
        "name": "watch-grafana-admin",
        "key": "password",
    }
    (way_in,) = spec(plan, "watch-grafana-network")["ingress"]
    assert way_in["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "ingress"}


def test_grafana_knows_prometheus_and_every_dashboard_from_the_start() -> None:
    plan = planned()
    (volume,) = (v["configMap"] for v in pod(plan, "grafana")["volumes"] if "configMap" in v)
    paths = {item["path"]: files(plan, "grafana")[item["key"]] for item in volume["items"]}
    (source,) = yaml.safe_load(paths["provisioning/datasources/slipway.yml"])["datasources"]
    assert source["url"] == "http://watch-prometheus.monitoring.svc:9090"
    assert source["secureJsonData"] == {"basicAuthPassword": "$PROMETHEUS_PASSWORD"}
    shown = {json.loads(text)["uid"] for path, text in paths.items() if path.startswith("shown/")}
    assert shown == {"slipway-ai-api", "slipway-ai-llama"}
    assert "ingress" not in spec(plan, "watch-grafana-network")


def test_dashboards_alone_are_for_a_grafana_that_exists() -> None:
    plan = planned(grafana={"dashboards_only": True})
    assert "watch-grafana" not in plan
    for i, service in enumerate(("api", "llama")):
        made = plan[f"watch-dashboard-{i}-{service}"].inputs
        assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
        (text,) = made["data"].values()
        assert json.loads(text)["uid"] == f"slipway-ai-{service}"


def test_prometheus_tells_alertmanager_which_takes_it_from_nobody_else() -> None:
    plan = planned()
    (told,) = yaml.safe_load(files(plan)["prometheus.yml"])["alerting"]["alertmanagers"]
    assert told["static_configs"] == [{"targets": ["watch-alertmanager.monitoring.svc:9093"]}]
    (mount,) = (
        m["mountPath"]
        for m in pod(plan, "prometheus")["containers"][0]["volumeMounts"]
        if told["basic_auth"]["password_file"].startswith(m["mountPath"] + "/")
    )
    assert mount == "/etc/prometheus/alertmanager"
    (way_in,) = spec(plan, "watch-alertmanager-network")["ingress"]
    (peer,) = way_in["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "prometheus"


@pytest.mark.parametrize(("policy", "kept"), [("delete", "Delete"), ("retain", "Retain")])
def test_one_argument_decides_what_becomes_of_the_volumes(policy: str, kept: str) -> None:
    plan = planned(deletion_policy=policy)
    assert spec(plan, "watch-prometheus")["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == kept
    assert not plan["watch-prometheus"].options.get("protect")


def test_a_changed_configuration_is_another_object_that_the_server_starts_with() -> None:
    names = set[str]()
    for objectives in ({}, {"patience_seconds": 60}):
        plan = planned(objectives=objectives)
        (mounted,) = (v["configMap"]["name"] for v in pod(plan, "prometheus")["volumes"] if "configMap" in v)
        assert mounted == plan["watch-prometheus-config"].inputs["metadata"]["name"]
        names.add(mounted)
    assert len(names) == 2


@pytest.mark.parametrize(
    ("argument", "value", "trigger", "alert", "beyond"),
    [
        ("waiting_requests", 7, "waiting-requests", "QueueLong", 28),
        ("kv_cache_percent", 60, "kv-cache-usage", "KvCacheFull", 2.4),
        ("running_requests", 50, "running-requests", "ReplicasBusy", 200),
    ],
)
def test_scaler_and_alert_of_a_model_move_together(argument: str, value: int, trigger: str, alert: str, beyond: float) -> None:
    plan = planned({"scaling": {**SCALING, argument: value}})
    (asked,) = (t["metadata"] for t in spec(plan, "llama-scaler")["triggers"] if t["name"] == trigger)
    rule = alerts(plan)["llama", alert]
    assert rule["expr"] == f"({asked['query']}) > {float(asked['threshold']) * 4:g}"
    assert float(rule["expr"].rpartition(" ")[2]) == beyond


def test_scaler_and_alert_of_a_model_have_the_same_maximum() -> None:
    for most in (3, 9):
        plan = planned({"scaling": {**SCALING, "max": most}})
        assert spec(plan, "llama-scaler")["maxReplicaCount"] == most
        assert alerts(plan)["llama", "AutoscalerAtMaximum"]["expr"].endswith(f">= {most}")
        assert alerts(plan)["llama", "QueueLong"]["expr"].endswith(f"> {4 * most}")


@pytest.mark.parametrize("by", ["hpa", "keda"])
def test_scaler_and_alert_of_a_router_move_together(by: str) -> None:
    for target, most in ((100, 5), (40, 8)):
        address = {"prometheus_url": "http://p"} if by == "keda" else {}
        plan = planned(router={"scaling": {"by": by, "requests_per_second": target, "max": most, **address}})
        if by == "keda":
            (asked,) = (t["metadata"] for t in spec(plan, "api-scaler")["triggers"] if t["type"] == "prometheus")
            assert asked["threshold"] == str(target)
            assert alerts(plan)["api", "RequestsMany"]["expr"] == f"({asked['query']}) > {target * most}"
        else:
            (asked,) = (m["pods"] for m in spec(plan, "api-hpa")["metrics"] if m["type"] == "Pods")
            assert asked["target"]["averageValue"] == str(target)
            assert alerts(plan)["api", "RequestsMany"]["expr"].endswith(f"> {target * most}")
        assert alerts(plan)["api", "AutoscalerAtMaximum"]["expr"].endswith(f">= {most}")


@pytest.mark.parametrize("by", ["hpa", "keda"])
def test_what_a_router_takes_of_cpu_is_judged_by_what_its_scaler_aims_at(by: str) -> None:
    for percent, cores, most, beyond in ((50, "2", 5, 5), (80, "500m", 4, 1.6)):
        resources = {"requests": {"cpu": cores}, "limits": {"cpu": "4"}}
        scaling = {"by": by, "cpu_percent": percent, "requests_per_second": 0, "max": most}
        plan = planned(router={"scaling": scaling, "resources": resources})
        if by == "keda":
            (asked,) = (t["metadata"]["value"] for t in spec(plan, "api-scaler")["triggers"] if t["type"] == "cpu")
        else:
            (asked,) = (m["resource"]["target"]["averageUtilization"] for m in spec(plan, "api-hpa")["metrics"])
        assert int(asked) == percent
        assert float(alerts(plan)["api", "CpuHigh"]["expr"].rpartition(" > ")[2]) == beyond
        (shown,) = (text for key, text in files(plan, "grafana").items() if "ai-api" in key)
        (panel,) = (p for p in json.loads(shown)["panels"] if p["title"] == "cpu, each replica")
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1]["value"] == pytest.approx(beyond / most)
        assert ("api", "RequestsMany") not in alerts(plan)


def test_a_namespace_that_another_resource_makes_is_one_all_the_same() -> None:
    def program() -> None:
        home = AiNamespace("models", {})
        llama = GpuModelServer("llama", cast("Any", {**MODEL, "namespace": home.namespace}))
        ObservabilityStack("watch", {"namespace": "monitoring", "watch": [llama.watched()]})

    plan = plan_program(program)
    assert 'namespace="models"' in files(plan)["rules.yml"]
    assert plan["watch-reads-llama-role"].inputs["metadata"]["namespace"] == "models"
