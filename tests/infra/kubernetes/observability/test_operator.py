"""The Prometheus Operator's custom resources: by their own schema, with rules that promtool takes, and the readings of ours."""

import subprocess
from pathlib import Path
from typing import Any, cast

import yaml
from tests.infra.kubernetes.observability.services import MODEL, ROUTER, SCALING, gpus, model, promtool, router
from tests.infra.kubernetes.service import schema_faults

from slipway import AiApiService, GpuModelServer, GpuPrerequisites, ObservabilityStack
from slipway.kubernetes.observability.objectives import Promise
from slipway.kubernetes.observability.operator import pod_monitor_spec, prometheus_rule_spec
from slipway.kubernetes.observability.rules import rule_groups
from slipway.plan import Plan, plan_program

URL = "http://kube-prometheus-stack-prometheus.monitoring.svc:9090"
RELEASE = {"release": "kube-prometheus-stack"}


def planned(operator: dict[str, Any], **more: Any) -> Plan:
    def program() -> None:
        llama = GpuModelServer("llama", cast("Any", {**MODEL, "scaling": SCALING}))
        api = AiApiService("api", cast("Any", ROUTER))
        gpus = GpuPrerequisites("gpus", {"existing": True})
        prometheus = {"operator": {"url": URL, **operator}, "interval_seconds": 10}
        args: Any = {
            "namespace": "monitoring",
            "watch": [api.watched(), llama.watched(), gpus.watched()],
            "prometheus": prometheus,
            **more,
        }
        stack = ObservabilityStack("watch", args)
        stack.prometheus_url.apply(lambda url: told.update(url=url))
        stack.prometheus_secret.apply(lambda secret: told.update(secret=secret))
        stack.grafana_url.apply(lambda url: told.update(grafana=url))

    told: dict[str, str] = {}
    plan = plan_program(program)
    assert told == {"url": URL, "secret": "", "grafana": ""}
    return plan


def test_every_object_passes_the_operators_schema_and_no_server_is_made() -> None:
    plan = planned({"labels": RELEASE})
    assert schema_faults(plan) == []
    own = [r for r in plan if r.custom and r.name.startswith("watch")]
    kinds = sorted(str(r.inputs["kind"]) for r in own)
    assert kinds == [*["ConfigMap"] * 3, *["PodMonitor"] * 3, "PrometheusRule"]
    for made in own:
        chosen = made.inputs["metadata"]["labels"].get("release") == RELEASE["release"]
        assert chosen == (made.inputs["apiVersion"] == "monitoring.coreos.com/v1")
        assert made.inputs["metadata"]["namespace"] == "monitoring"
    assert "release" not in planned({})["watch-rules"].inputs["metadata"]["labels"]


def test_dashboards_are_made_for_the_grafana_that_exists() -> None:
    for more in ({}, {"grafana": {"dashboards_only": True}}):
        shown = planned({}, **more)["watch-dashboard-0-api"].inputs
        assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_rules_are_those_of_a_prometheus_of_our_own(tmp_path: Path) -> None:
    rules = planned({}, runbooks="https://wiki.example.com")["watch-rules"].inputs["spec"]
    services, promise = [router(), model(scaling=SCALING), gpus()], Promise()
    assert rules == prometheus_rule_spec(services, promise, 10, "https://wiki.example.com")
    ours = rule_groups(services, promise, "https://wiki.example.com")
    assert [g["rules"] for g in rules["groups"]] == [g["rules"] for g in ours]
    assert {g["interval"] for g, own in zip(rules["groups"], ours, strict=True) if "interval" not in own} == {"10s"}
    assert all(g["interval"] == own["interval"] for g, own in zip(rules["groups"], ours, strict=True) if "interval" in own)
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump(rules))
    done = subprocess.run([promtool(), "check", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_service_is_read_in_its_namespace_by_its_labels_on_the_one_port() -> None:
    service = model()
    spec = pod_monitor_spec(service, 15)
    assert spec["namespaceSelector"] == {"matchNames": ["ai"]}
    assert spec["selector"] == {"matchLabels": dict(service.pod_labels)}
    (endpoint,) = spec["podMetricsEndpoints"]
    relabelings = endpoint.pop("relabelings")
    assert endpoint == {"path": "/metrics", "interval": "15s", "scrapeTimeout": "10s"}
    assert relabelings[0] == {
        "action": "keep",
        "sourceLabels": ["__meta_kubernetes_pod_container_port_number"],
        "regex": str(service.port),
    }
    written = {r["targetLabel"]: r.get("replacement") or r["sourceLabels"] for r in relabelings if "targetLabel" in r}
    assert written == {
        "namespace": ["__meta_kubernetes_namespace"],
        "pod": ["__meta_kubernetes_pod_name"],
        "service": "llama",
    }


def test_a_reading_ends_before_the_next() -> None:
    (endpoint,) = pod_monitor_spec(router(), 5)["podMetricsEndpoints"]
    assert (endpoint["interval"], endpoint["scrapeTimeout"]) == ("5s", "5s")
