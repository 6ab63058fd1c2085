"""A Prometheus, and an Alertmanager, that somebody else runs: what they are given, and who gets in.

Debian's Prometheus is older than `scrape_config_files`, so that the jobs are judged as part of a main file.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import kubernetes_validate
import pulumi
import yaml
from tests.infra.kubernetes.model_server import revealed
from tests.infra.kubernetes.observability.real_prometheus import found
from tests.infra.kubernetes.observability.services import MODEL, ROUTER, model, promtool, router

from slipway import AiApiService, GpuModelServer, ObservabilityStack
from slipway.kubernetes.observability.existing import files
from slipway.kubernetes.observability.objectives import Promise
from slipway.plan import Plan, plan_program

EXISTING = {
    "url": "http://prometheus.metrics.svc/prom",
    "namespace": "metrics",
    "pod_labels": {"app": "prometheus"},
    "port": 9091,
    "service_account": "prometheus-server",
}
READER: Any = {"namespace": "metrics"}


def planned(prometheus: Mapping[str, Any] | None = None, **more: Any) -> tuple[Plan, dict[str, str]]:
    """The plan, and the stack's outputs."""
    told: dict[str, str] = {}

    def program() -> None:
        llama = GpuModelServer("llama", cast("Any", {**MODEL, "prometheus": READER}))
        api = AiApiService("api", cast("Any", {**ROUTER, "prometheus": READER}))
        args: Any = {"namespace": "metrics", "watch": [api.watched(), llama.watched()], "prometheus": prometheus or {}, **more}
        stack = ObservabilityStack("watch", args)
        for key in ("prometheus_url", "prometheus_secret", "prometheus_files", "grafana_url"):
            cast("pulumi.Output[str]", getattr(stack, key)).apply(lambda value, key=key: told.update({key: value}))

    return plan_program(program), told


def test_it_is_given_its_readings_and_rules_and_nothing_else_is_made() -> None:
    plan, told = planned({"existing": EXISTING, "interval_seconds": 30})
    own = [r for r in plan if r.custom and r.name.startswith("watch")]
    assert {kubernetes_validate.validate(revealed(r.inputs), "1.36", strict=True) for r in own} == {"1.36"}
    assert told == {
        "prometheus_url": EXISTING["url"],
        "prometheus_secret": "",
        "prometheus_files": "watch-prometheus-files",
        "grafana_url": "http://watch-grafana.metrics.svc:3000",
    }
    assert [r.name for r in plan if r.type.endswith(":StatefulSet") and r.name.startswith("watch")] == ["watch-grafana"]
    made = plan["watch-prometheus-files"].inputs
    assert made["metadata"]["name"] == "watch-prometheus-files"
    assert made["data"] == files([router(), model()], Promise(), 30, "docs/runbooks")


def test_promtool_takes_both_files(tmp_path: Path) -> None:
    told = files([router(), model()], Promise(), 30, "docs/runbooks")
    (tmp_path / "rules.yml").write_text(told["rules.yml"])
    main: dict[str, Any] = {"rule_files": ["rules.yml"], **yaml.safe_load(told["scrape.yml"])}
    assert {job["scrape_interval"] for job in main["scrape_configs"]} == {"30s"}
    pods = {job["job_name"]: [("pod", "127.0.0.1:9")] for job in main["scrape_configs"]}
    (tmp_path / "prometheus.yml").write_text(found(yaml.safe_dump(main), pods))
    command = [promtool(), "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout


def test_its_account_may_find_the_pods_where_one_is_named() -> None:
    plan, _ = planned({"existing": EXISTING})
    (subject,) = plan["watch-reads-llama-binding"].inputs["subjects"]
    assert (subject["namespace"], subject["name"]) == ("metrics", "prometheus-server")
    without = {key: value for key, value in EXISTING.items() if key != "service_account"}
    assert "watch-reads-llama-binding" not in planned({"existing": without})[0]


def test_grafana_asks_it_and_gets_there() -> None:
    more = {"username": "me", "password": {"name": "theirs", "key": "word"}}
    for asked in ({}, more):
        plan, _ = planned({"existing": {**EXISTING, **asked}})
        (text,) = (t for key, t in plan["watch-grafana-config"].inputs["data"].items() if "datasources" in key)
        (source,) = yaml.safe_load(text)["datasources"]
        assert (source["url"], source.get("basicAuthUser")) == (EXISTING["url"], asked.get("username"))
        (container,) = plan["watch-grafana"].inputs["spec"]["template"]["spec"]["containers"]
        held = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in container["env"] if "valueFrom" in e}
        assert held.get("PROMETHEUS_PASSWORD") == asked.get("password")
        ways = plan["watch-grafana-network"].inputs["spec"]["egress"]
        (way,) = (way for way in ways if way["ports"] == [{"protocol": "TCP", "port": 9091}])
        assert way["to"][0]["podSelector"] == {"matchLabels": {"app": "prometheus"}}


def test_what_is_watched_lets_it_in_and_so_does_the_collector() -> None:
    plan, _ = planned({"existing": EXISTING}, collector={"endpoint": "http://tempo.tracing.svc:4318"})
    jobs = {
        job["job_name"] for job in yaml.safe_load(plan["watch-prometheus-files"].inputs["data"]["scrape.yml"])["scrape_configs"]
    }
    assert jobs == {"ai/api", "ai/llama", "metrics/watch-collector"}
    ways = plan["watch-collector-network"].inputs["spec"]["ingress"]
    (peer,) = next(way["from"] for way in ways if way["ports"][0]["port"] == 8889)
    assert peer["podSelector"] == {"matchLabels": {"app": "prometheus"}}


def test_an_alertmanager_that_exists_is_told_by_our_prometheus() -> None:
    url = "https://alertmanager.metrics.svc:9443/am"
    way = {"namespace": "alerting", "pod_labels": {"app": "alertmanager"}, "port": 9093}
    for egress in ({}, {"egress": [way]}):
        plan, _ = planned(alertmanager={"url": url, **egress})
        assert "watch-alertmanager" not in plan
        main = yaml.safe_load(plan["watch-prometheus-config"].inputs["data"]["prometheus.yml"])
        (told,) = main["alerting"]["alertmanagers"]
        targets = [{"targets": ["alertmanager.metrics.svc:9443"]}]
        assert told == {"scheme": "https", "static_configs": targets, "path_prefix": "/am"}
        out = plan["watch-prometheus-network"].inputs["spec"]["egress"]
        assert (9093 if egress else 9443) in {port["port"] for rule in out for port in rule["ports"]}
