"""The logs of a stack: who reaches whom, what is made, and that Grafana, agents and dashboards speak of the same."""

import functools
import json
from collections.abc import Mapping
from typing import Any, cast

import kubernetes_validate
import pytest
import yaml
from tests.infra.kubernetes.model_server import revealed
from tests.infra.kubernetes.observability.services import MODEL, ROUTER
from tests.support.crds import is_custom

from slipway import AiApiService, GpuModelServer, ObservabilityStack
from slipway.plan import Plan, Secret, plan_program

EVERYTHING: Mapping[str, Any] = {
    "retention_days": 7,
    "daily_gib": 20,
    "storage_gib": 80,
    "storage_class": "fast-ssd",
    "image": "registry.example/loki:v1",
    "proxy_image": "registry.example/nginx:v2",
    "resources": {"limits": {"memory": "4Gi"}},
    "allow_from": [{"namespace": "web", "pod_labels": {"app": "web"}}],
    "agent": {
        "namespace": "agents",
        "user": 10001,
        "node_selector": {"pool": "ai"},
        "image": "registry.example/collector:v3",
        "resources": {"limits": {"memory": "300Mi"}},
    },
}
ELSEWHERE: Mapping[str, Any] = {
    "external": {
        "url": "http://loki-gateway.logs.svc/",
        "username": "us",
        "password": {"name": "loki", "key": "word"},
        "tenant": "team-a",
        "egress": {"port": 8080, "namespace": "logs", "pod_labels": {"app": "gateway"}},
    }
}
ELASTIC: Mapping[str, Any] = {
    "kind": "elasticsearch",
    "retention_days": 7,
    "resources": {"limits": {"memory": "8Gi"}},
    "kibana": {
        "allow_from": [{"namespace": "ingress"}],
        "root_url": "https://kibana.example.com",
        "image": "registry.example/kibana:v1",
        "resources": {"limits": {"memory": "3Gi"}},
    },
}
OPERATOR: Mapping[str, Any] = {"operator": {"url": "http://prometheus:9090"}}
TEMPO: Mapping[str, Any] = {"tempo": {"url": "http://tempo.tracing.svc:3200"}}


def planned(logs: Mapping[str, Any] | None, **more: Any) -> tuple[Plan, list[str]]:
    """The plan, and where Loki is and the name of its Secret."""
    told = ["?", "?"]

    def program() -> None:
        llama, api = GpuModelServer("llama", cast("Any", MODEL)), AiApiService("api", cast("Any", ROUTER))
        given: Any = {} if logs is None else {"logs": logs}
        args: Any = {"namespace": "monitoring", "watch": [api.watched(), llama.watched()], **given, **more}
        made = ObservabilityStack("watch", args)
        made.logs_url.apply(lambda url: told.__setitem__(0, url))
        made.logs_secret.apply(lambda name: told.__setitem__(1, name))

    plan = plan_program(program)
    return plan, told


@functools.cache
def plain() -> Plan:
    """With nothing said."""
    return planned({})[0]


@functools.cache
def elastic() -> Plan:
    """With an Elasticsearch."""
    return planned(ELASTIC, grafana=TEMPO)[0]


def pod(plan: Plan, role: str) -> dict[str, Any]:
    return cast("dict[str, Any]", plan[f"watch-{role}"].inputs["spec"]["template"]["spec"])


def sources(plan: Plan) -> dict[str, dict[str, Any]]:
    text = plan["watch-grafana-config"].inputs["data"]["provisioning_datasources_slipway.yml"]
    return {source["uid"]: source for source in yaml.safe_load(text)["datasources"]}


def ways(plan: Plan, role: str, way: str) -> list[tuple[int, Any]]:
    """Ports with those who come in or are gone to, but for DNS."""
    other = "from" if way == "ingress" else "to"
    rules = plan[f"watch-{role}-network"].inputs["spec"].get(way, [])
    return [(port["port"], peer) for r in rules for port in r["ports"] if port["port"] != 53 for peer in r[other]]


def peer(labels: Mapping[str, str], namespace: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"podSelector": {"matchLabels": dict(labels)}}
    return made | ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}} if namespace else {})


LOKI, AGENT, GRAFANA, ELASTICSEARCH, SETUP, KIBANA = (
    {"app.kubernetes.io/name": app, "app.kubernetes.io/instance": "watch"}
    for app in ("loki", "log-agent", "grafana", "elasticsearch", "elasticsearch-setup", "kibana")
)


def test_there_are_none_unless_they_are_asked_for() -> None:
    plan, told = planned(None)
    assert told == ["", ""]
    assert not [r for r in plan if "loki" in r.name or "agent" in r.name]
    assert [*sources(plan)] == ["prometheus"]
    assert not [p for p in dashboard(plan)["panels"] if p["datasource"]["type"] == "loki"]


def dashboard(plan: Plan) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(plan["watch-grafana-config"].inputs["data"]["shown_ai-api.json"]))


@pytest.mark.parametrize(
    ("logs", "url"),
    [
        ({}, "http://watch-loki.monitoring.svc:3100"),
        (ELSEWHERE, "http://loki-gateway.logs.svc"),
        (ELASTIC, "http://watch-elasticsearch.monitoring.svc:9200"),
    ],
)
@pytest.mark.parametrize("more", [{}, {"prometheus": OPERATOR}])
def test_every_object_passes_the_published_schema(logs: Mapping[str, Any], url: str, more: Mapping[str, Any]) -> None:
    plan, told = planned(logs, **more)
    own = [r for r in plan if r.custom and r.name.startswith("watch") and not is_custom(r.inputs)]
    assert {kubernetes_validate.validate(revealed(r.inputs), "1.36", strict=True) for r in own} == {"1.36"}
    secrets = {"loki": "watch-loki-auth", "elasticsearch": "watch-elasticsearch-auth"}
    assert told == [url, "" if "external" in logs else secrets[logs.get("kind", "loki")]]
    assert plan["watch-log-agent"].type.endswith(":DaemonSet")
    assert bool([r for r in plan if r.name == "watch-loki"]) is not bool(logs)


def test_loki_is_reached_by_grafana_and_the_agents_alone_and_reaches_nobody() -> None:
    plan = plain()
    assert ways(plan, "loki", "ingress") == [(3100, peer(GRAFANA)), (3100, peer(AGENT, "watch-log-agent"))]
    assert ways(plan, "loki", "egress") == []
    assert ways(plan, "log-agent", "ingress") == []
    assert ways(plan, "log-agent", "egress") == [(3100, peer(LOKI, "monitoring"))]
    assert (3100, peer(LOKI, "monitoring")) in ways(plan, "grafana", "egress")


def test_the_password_is_asked_for_by_who_has_the_port_and_loki_has_none() -> None:
    plan = plain()
    server, proxy = pod(plan, "loki")["containers"]
    assert "ports" not in server
    assert [port["containerPort"] for port in proxy["ports"]] == [3100]
    secret = next(v["name"] for v in pod(plan, "loki")["volumes"] if "secret" in v)
    assert secret in {m["name"] for m in proxy["volumeMounts"]} - {m["name"] for m in server["volumeMounts"]}


def test_the_agents_password_is_for_sending_only_and_the_same_as_lokis() -> None:
    plan = plain()
    held, sent = (plan[f"watch-{role}-auth"].inputs["data"] for role in ("loki", "log-agent"))
    assert isinstance(held, Secret)
    assert isinstance(sent, Secret)
    assert sent.value == {"push-password": held.value["push-password"]}
    (volume,) = (v["secret"] for v in pod(plan, "log-agent")["volumes"] if "secret" in v)
    assert volume["secretName"] == plan["watch-log-agent-auth"].inputs["metadata"]["name"]


def files(spec: Mapping[str, Any]) -> dict[str, tuple[str, bool]]:
    """Folders of the node, each with where it is in the pod and whether it is only read there."""
    (container,) = spec["containers"]
    mounts = {m["name"]: (m["mountPath"], m.get("readOnly", False)) for m in container["volumeMounts"]}
    return {v["hostPath"]["path"]: mounts[v["name"]] for v in spec["volumes"] if "hostPath" in v}


def test_the_agents_read_the_nodes_files_write_down_what_they_read_and_have_no_capability() -> None:
    spec = pod(plain(), "log-agent")
    kept = {"/var/lib/slipway/watch-log-agent": ("/var/lib/otelcol", False)}
    assert files(spec) == {"/var/log/pods": ("/var/log/pods", True), **kept}
    assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsGroup"]) == (0, 0)
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["tolerations"] == [{"operator": "Exists", "effect": "NoSchedule"}]
    labels = plain()["watch-log-agent-namespace"].inputs["metadata"]["labels"]
    assert {value for key, value in labels.items() if "security" in key} == {"privileged"}


def test_everything_that_can_be_asked_arrives() -> None:
    plan, _ = planned(EVERYTHING, deletion_policy="protect", node_selector={"pool": "data"})
    server, proxy = pod(plan, "loki")["containers"]
    assert (server["image"], proxy["image"]) == (EVERYTHING["image"], EVERYTHING["proxy_image"])
    assert server["resources"]["limits"]["memory"] == "4Gi"
    (claim,) = plan["watch-loki"].inputs["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "80Gi"
    assert claim["spec"]["storageClassName"] == "fast-ssd"
    assert plan["watch-loki"].options["protect"] is True
    assert (3100, peer({"app": "web"}, "web")) in ways(plan, "loki", "ingress")
    assert (3100, peer(AGENT, "agents")) in ways(plan, "loki", "ingress")
    agent = pod(plan, "log-agent")
    assert (agent["nodeSelector"], pod(plan, "loki")["nodeSelector"]) == ({"pool": "ai"}, {"pool": "data"})
    assert (agent["containers"][0]["image"], agent["securityContext"]["runAsUser"]) == ("registry.example/collector:v3", 10001)
    assert agent["securityContext"]["runAsNonRoot"] is True
    assert files(agent) == {"/var/log/pods": ("/var/log/pods", True)}
    assert plan["watch-log-agent"].inputs["metadata"]["namespace"] == "agents"


def test_a_cluster_that_has_agents_gets_no_others() -> None:
    plan, _ = planned({"agent": {"existing": True}})
    assert not [r for r in plan if "agent" in r.name]


def test_a_loki_that_exists_is_sent_to_and_asked() -> None:
    plan, _ = planned(ELSEWHERE)
    told = yaml.safe_load(plan["watch-log-agent-config"].inputs["data"]["agent.yml"])
    assert told["exporters"]["otlp_http"]["endpoint"] == "http://loki-gateway.logs.svc/otlp"
    assert told["extensions"]["basicauth"]["client_auth"]["username"] == "us"
    source = sources(plan)["loki"]
    assert (source["url"], source["basicAuthUser"]) == ("http://loki-gateway.logs.svc", "us")
    assert source["jsonData"]["httpHeaderName1"] == "X-Scope-OrgID"
    assert source["secureJsonData"]["httpHeaderValue1"] == "team-a"
    held = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in pod(plan, "grafana")["containers"][0]["env"] if "valueFrom" in e}
    assert held["LOKI_PASSWORD"] == {"name": "loki", "key": "word"}
    gateway = (8080, peer({"app": "gateway"}, "logs"))
    assert gateway in ways(plan, "log-agent", "egress")
    assert gateway in ways(plan, "grafana", "egress")


def test_grafana_asks_by_the_labels_that_agents_give_and_lines_lead_to_their_trace() -> None:
    plan, _ = planned({}, grafana=TEMPO)
    shown = [p for p in dashboard(plan)["panels"] if p["datasource"] == {"type": "loki", "uid": "loki"}]
    assert {p["type"] for p in shown} == {"timeseries", "logs"}
    (lines,) = (p for p in shown if p["type"] == "logs")
    assert lines["targets"][0]["expr"] == '{k8s_namespace_name="ai", service_name="api"}'
    loki, tempo = sources(plan)["loki"], sources(plan)["tempo"]
    links = {(field["matcherRegex"], field["datasourceUid"]) for field in loki["jsonData"]["derivedFields"]}
    assert links == {("request_id", "loki"), ("trace_id", "loki"), ("trace_id", "tempo")}
    assert tempo["jsonData"]["tracesToLogsV2"]["datasourceUid"] == loki["uid"]
    (way,) = (to for port, to in ways(plan, "grafana", "egress") if port == 3200)
    assert way["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "tracing"}


def test_elasticsearch_is_reached_by_its_own_alone_and_reaches_nobody() -> None:
    plan = elastic()
    reaching = [GRAFANA, (AGENT, "watch-log-agent"), SETUP, KIBANA]
    who = [(9200, peer(*one) if isinstance(one, tuple) else peer(one)) for one in reaching]
    assert ways(plan, "elasticsearch", "ingress") == who
    assert ways(plan, "elasticsearch", "egress") == []
    for role in ("log-agent", "elasticsearch-setup", "kibana"):
        assert ways(plan, role, "egress") == [(9200, peer(ELASTICSEARCH, "monitoring"))]
    (way,) = ways(plan, "kibana", "ingress")
    assert way == (5601, {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}, "podSelector": {}})


def test_elasticsearch_writes_to_its_volume_and_scratch_alone_with_half_its_memory_as_heap() -> None:
    plan = elastic()
    spec = pod(plan, "elasticsearch")
    (server,), (first,) = spec["containers"], spec["initContainers"]
    env = {one["name"]: one["value"] for one in server["env"]}
    assert env["ES_JAVA_OPTS"] == "-Xms4096m -Xmx4096m"
    for container in (server, first):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["image"] == "elastic/elasticsearch:9.5.3"
    mounts = {mount["name"]: mount["mountPath"] for mount in server["volumeMounts"]}
    prepared = next(mount["name"] for mount in first["volumeMounts"] if mount["mountPath"] == "/prepared")
    assert mounts[prepared] == "/usr/share/elasticsearch/config"
    assert mounts["data"] == "/usr/share/elasticsearch/data"
    (files,) = (v["secret"]["items"] for v in spec["volumes"] if "secret" in v)
    assert [file["key"] for file in files] == ["users", "users_roles", "service_tokens"]


def test_kibana_comes_with_its_token_by_itself_and_its_arguments_arrive() -> None:
    plan = elastic()
    (container,) = pod(plan, "kibana")["containers"]
    env = {one["name"]: one for one in container["env"]}
    held = {name: one["valueFrom"]["secretKeyRef"] for name, one in env.items() if "valueFrom" in one}
    assert {ref["name"] for ref in held.values()} == {"watch-elasticsearch-auth"}
    made = plan["watch-elasticsearch-auth"].inputs["data"]
    assert isinstance(made, Secret)
    assert {ref["key"] for ref in held.values()} <= made.value.keys()
    text = plan["watch-kibana-config"].inputs["data"]["kibana.yml"]
    assert {name for name in held if f"${{{name}}}" in text} == held.keys()
    assert container["image"] == "registry.example/kibana:v1"
    assert env["NODE_OPTIONS"]["value"] == "--max-old-space-size=1843"
    assert plan["watch-kibana"].type.endswith(":Deployment")
    without, _ = planned({"kind": "elasticsearch", "kibana": {"enabled": False}})
    assert not [r for r in without if "kibana" in r.name]


def test_filebeat_reads_as_the_collector_does_and_has_the_same_password_as_elasticsearch() -> None:
    plan = elastic()
    spec = pod(plan, "log-agent")
    kept = {"/var/lib/slipway/watch-log-agent": ("/usr/share/filebeat/data", False)}
    assert files(spec) == {"/var/log/pods": ("/var/log/pods", True), **kept}
    (container,) = spec["containers"]
    assert container["image"] == "elastic/filebeat:9.5.3"
    (word,) = container["env"]
    assert word["valueFrom"]["secretKeyRef"] == {"name": "watch-log-agent-auth", "key": "push-password"}
    held, sent = (plan[f"watch-{role}-auth"].inputs["data"] for role in ("elasticsearch", "log-agent"))
    assert sent.value == {"push-password": held.value["push-password"]}


def test_a_change_of_the_retention_is_told_by_another_job() -> None:
    def job(days: int) -> tuple[str, dict[str, Any]]:
        inputs = planned({**ELASTIC, "retention_days": days})[0]["watch-elasticsearch-setup"].inputs
        return inputs["metadata"]["name"], inputs["spec"]["template"]["spec"]["containers"][0]

    (first, container), (second, _) = job(7), job(8)
    assert first != second == job(8)[0]
    (word,) = (one for one in container["env"] if "valueFrom" in one)
    assert word["valueFrom"]["secretKeyRef"] == {"name": "watch-elasticsearch-auth", "key": "elastic-password"}


def test_an_elasticsearch_that_exists_is_sent_to_and_asked() -> None:
    external = {"url": "https://es.example.com", "username": "us", "password": {"name": "es", "key": "word"}}
    plan, told = planned({"kind": "elasticsearch", "external": external})
    assert told == ["https://es.example.com", ""]
    assert not [r for r in plan if "elasticsearch" in r.name or "kibana" in r.name]
    out = yaml.safe_load(plan["watch-log-agent-config"].inputs["data"]["filebeat.yml"])["output.elasticsearch"]
    assert (out["hosts"], out["username"]) == (["https://es.example.com:443"], "us")
    held = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in pod(plan, "grafana")["containers"][0]["env"] if "valueFrom" in e}
    assert held["ELASTICSEARCH_PASSWORD"] == {"name": "es", "key": "word"}


def test_grafana_asks_elasticsearch_by_the_fields_that_agents_give() -> None:
    plan = elastic()
    shown = [p for p in dashboard(plan)["panels"] if p["datasource"] == {"type": "elasticsearch", "uid": "elasticsearch"}]
    levels, lines = shown
    asked = 'k8s.namespace.name:"ai" AND service.name:"api"'
    assert [panel["targets"][0]["query"] for panel in shown] == [asked, asked]
    assert (levels["type"], [one["field"] for one in levels["targets"][0]["bucketAggs"]]) == (
        "timeseries",
        ["log.level", "@timestamp"],
    )
    assert (lines["type"], lines["targets"][0]["metrics"][0]["type"]) == ("logs", "logs")
    source, tempo = sources(plan)["elasticsearch"], sources(plan)["tempo"]
    told = source["jsonData"]
    assert (told["index"], told["timeField"], told["logMessageField"], told["logLevelField"]) == (
        "logs-slipway-default",
        "@timestamp",
        "message",
        "log.level",
    )
    links = {(link["field"], link["datasourceUid"]) for link in told["dataLinks"]}
    assert links == {("request_id", "elasticsearch"), ("trace_id", "elasticsearch"), ("trace_id", "tempo")}
    assert tempo["jsonData"]["tracesToLogsV2"]["datasourceUid"] == "elasticsearch"
