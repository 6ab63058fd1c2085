"""What an ObservabilityStack refuses: every fault at once, each with its path, the value and the choice."""

from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pytest

from slipway.kubernetes.observability_stack_args import ObservabilityStackArgs, StackSettings

SERVICE: Mapping[str, Any] = {
    "kind": "model",
    "name": "llama",
    "namespace": "ai",
    "pods": "llama-server-[0-9]+",
    "pod_labels": {"app": "llama"},
    "port": 8000,
}
ARGS: Mapping[str, Any] = {"namespace": "monitoring", "watch": [SERVICE]}


def refused(name: str = "watch", /, **more: Any) -> dict[str, str]:
    """Faults by path; several at one path are joined."""
    faults: dict[str, str] = {}
    try:
        StackSettings.of(name, cast("ObservabilityStackArgs", {**ARGS, **more}))
    except pulumi.InputPropertiesError as error:
        for fault in error.errors or []:
            path = fault["property_path"].removeprefix("args.")
            faults[path] = "; ".join(filter(None, [faults.get(path), fault["reason"]]))
    return faults


def watching(**more: Any) -> dict[str, Any]:
    return {"watch": [{**SERVICE, **more}]}


RECEIVER: Mapping[str, Any] = {"name": "hook", "kind": "webhook", "secret": {"name": "hook", "key": "url"}}


def telling(**more: Any) -> dict[str, Any]:
    return {"alertmanager": {"receivers": [{**RECEIVER, **more}]}}


OPERATOR: Mapping[str, Any] = {"url": "http://prometheus.monitoring.svc:9090"}


def operated(**more: Any) -> dict[str, Any]:
    return {"prometheus": {"operator": {**OPERATOR, **more}}}


EXISTING: Mapping[str, Any] = {"url": "http://prometheus.metrics.svc:9090"}


def existing(**more: Any) -> dict[str, Any]:
    return {"prometheus": {"existing": {**EXISTING, **more}}}


def collecting(**more: Any) -> dict[str, Any]:
    return {"collector": {"endpoint": "http://tempo.tracing.svc:4318", **more}}


def logging(**more: Any) -> dict[str, Any]:
    return {"logs": more}


def elastic(**more: Any) -> dict[str, Any]:
    return {"logs": {"kind": "elasticsearch", **more}}


def elsewhere(**more: Any) -> dict[str, Any]:
    return {"logs": {"external": {"url": "http://loki.logs.svc:3100", **more}}}


WORKLOAD: Mapping[str, Any] = {"name": "db", "namespace": "ai", "stateful_set": "db-postgres"}
LOAD = {"name": "queue", "query": "sum(x)", "target": 4}
WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"namespace": "A_B"}, {"namespace": "is 'A_B'; give lower case"}),
    ({"watch": []}, {"watch": "is empty; give at least one service"}),
    (watching(name="Llama"), {"watch[0].name": "is 'Llama'; give lower case"}),
    (watching(namespace="a b"), {"watch[0].namespace": "is 'a b'; give lower case"}),
    (watching(kind="engine"), {"watch[0].kind": "give one of 'router', 'model', 'gpus', 'cluster'"}),
    (watching(pods="("), {"watch[0].pods": "give a regular expression"}),
    (watching(pod_labels={}), {"watch[0].pod_labels": "is empty, so it would read every pod"}),
    (watching(pod_labels={"a": "b c"}), {"watch[0].pod_labels.a": "is 'b c'; give letters"}),
    (watching(port=0), {"watch[0].port": "is 0; give 1 to 65535"}),
    (watching(path="metrics"), {"watch[0].path": "is 'metrics'; give a path such as '/metrics'"}),
    (watching(least_replicas=-1), {"watch[0].least_replicas": "is -1; give 0 or more"}),
    (watching(least_replicas=3, most_replicas=2), {"watch[0].most_replicas": "is 2, below least_replicas = 3"}),
    (watching(start_seconds=0), {"watch[0].start_seconds": "is 0; give 1 second or more"}),
    (watching(loads=[{**LOAD, "name": "Q"}]), {"watch[0].loads[0].name": "is 'Q'; give lower case"}),
    (watching(loads=[{**LOAD, "query": " "}]), {"watch[0].loads[0].query": "is empty; give PromQL"}),
    (watching(loads=[{**LOAD, "target": 0}]), {"watch[0].loads[0].target": "is 0; give more than 0"}),
    (watching(readers=[{}]), {"watch[0].readers[0]": "names nobody"}),
    (watching(readers=[{"namespace": "observability"}]), {"watch[0]": "lets no Prometheus of namespace 'monitoring' in"}),
    ({"watch": [SERVICE, SERVICE]}, {"watch[1].name": "is 'llama', as is that of watch[0]"}),
    ({"workloads": [WORKLOAD]}, {"workloads": "give 'watch' one more of the kind 'cluster'"}),
    ({**operated(), "workloads": [{**WORKLOAD, "name": "A"}]}, {"workloads[0].name": "is 'A'; give lower case"}),
    ({**operated(), "workloads": [{**WORKLOAD, "namespace": "A"}]}, {"workloads[0].namespace": "is 'A'; give lower case"}),
    *(
        ({**operated(), "workloads": [{**WORKLOAD, key: "A b"}]}, {f"workloads[0].{key}": "is 'A b'; give lower case"})
        for key in ("stateful_set", "backup", "autoscaler", "job")
    ),
    ({**operated(), "workloads": [{**WORKLOAD, "claims": ["A"]}]}, {"workloads[0].claims[0]": "is 'A'; give lower case"}),
    ({"objectives": {"availability_percent": 90}}, {"objectives.availability_percent": "is 90; give 93.1 to 99.999"}),
    ({"objectives": {"first_token_percent": 100}}, {"objectives.first_token_percent": "is 100; give 93.1 to 99.999"}),
    ({"objectives": {"first_token_seconds": 3}}, {"objectives.first_token_seconds": "is 3, between two bounds"}),
    ({"objectives": {"period_days": 365}}, {"objectives.period_days": "is 365; give 0.1 to 90 days"}),
    ({"objectives": {"period_days": 1}}, {"objectives.period_days": "'prometheus.interval_seconds' of at most 2.5"}),
    ({"objectives": {"patience_seconds": 0}}, {"objectives.patience_seconds": "is 0; give 1 to 86400 seconds"}),
    ({"objectives": {"daily_dollars": 0}}, {"objectives.daily_dollars": "is 0; give more than 0"}),
    ({"objectives": {"gpu_celsius": 20}}, {"objectives.gpu_celsius": "is 20; give 30 to 110 degrees Celsius"}),
    ({"objectives": {"availability": 99}}, {"objectives.availability": "did you mean 'availability_percent'?"}),
    ({"prometheus": {"image": "prom/prometheus"}}, {"prometheus.image": "which means ':latest'"}),
    ({"prometheus": {"interval_seconds": 61}}, {"prometheus.interval_seconds": "is 61; give 0.25 to 60 seconds"}),
    ({"prometheus": {"retention_days": 0}}, {"prometheus.retention_days": "is 0; give 1 day or more"}),
    ({"prometheus": {"retention_days": 7}}, {"prometheus.retention_days": "is 7, less than objectives.period_days = 30"}),
    ({"prometheus": {"storage_gib": 0}}, {"prometheus.storage_gib": "is 0; give 1 GiB or more"}),
    ({"prometheus": {"storage_class": "A"}}, {"prometheus.storage_class": "is 'A'; give lower case"}),
    ({"prometheus": {"resources": {"limits": {"memory": "1Gi"}}}}, {"prometheus.resources.limits.memory": "below the request"}),
    ({"prometheus": {"allow_from": [{}]}}, {"prometheus.allow_from[0]": "names nobody"}),
    ({"prometheus": {"api_cidr": "10.0.0.0/99"}}, {"prometheus.api_cidr": "give an address range such as '10.0.0.1/32'"}),
    ({"prometheus": {"operator": {}}}, {"prometheus.operator.url": "is required"}),
    ({"prometheus": {"operator": True}}, {"prometheus.operator": "give a mapping with the keys 'url', 'labels', 'namespace'"}),
    (operated(url="prometheus:9090"), {"prometheus.operator.url": "is 'prometheus:9090'; give an address such as"}),
    (operated(labels={"release": "a b"}), {"prometheus.operator.labels.release": "is 'a b'; give letters"}),
    (operated(namespace="A"), {"prometheus.operator.namespace": "is 'A'; give lower case"}),
    (operated(selector={}), {"prometheus.operator.selector": "is not an argument"}),
    ({"prometheus": {"operator": OPERATOR, "storage_gib": 9}}, {"prometheus.storage_gib": "does nothing with 'operator'"}),
    ({**operated(), "alertmanager": {}}, {"alertmanager": "does nothing with 'prometheus.operator'"}),
    ({**operated(), "deletion_policy": "retain"}, {"deletion_policy": "does nothing with 'prometheus.operator'"}),
    ({**operated(), "node_selector": {}}, {"node_selector": "does nothing with 'prometheus.operator'"}),
    ({**operated(), "grafana": {"storage_gib": 3}}, {"grafana": "leave it out, and the dashboards are made"}),
    ({**operated(), "grafana": {"dashboards_only": False}}, {"grafana": "leave it out, and the dashboards are made"}),
    ({"prometheus": {"existing": {}}}, {"prometheus.existing.url": "is required"}),
    ({"prometheus": {"existing": EXISTING, "storage_gib": 9}}, {"prometheus.storage_gib": "does nothing with 'existing'"}),
    (existing(url="prometheus:9090"), {"prometheus.existing.url": "is 'prometheus:9090'; give an address such as"}),
    (existing(namespace="A"), {"prometheus.existing.namespace": "is 'A'; give lower case"}),
    (existing(pod_labels={}), {"prometheus.existing.pod_labels": "is empty, so it would mean every pod"}),
    (existing(pod_labels={"a": "b c"}), {"prometheus.existing.pod_labels.a": "is 'b c'; give letters"}),
    (existing(port=0), {"prometheus.existing.port": "is 0; give 1 to 65535"}),
    (existing(service_account="A"), {"prometheus.existing.service_account": "is 'A'; give lower case"}),
    (existing(username="me"), {"prometheus.existing.username": "goes with 'password'; give both"}),
    (existing(password={"name": "p", "key": "k"}), {"prometheus.existing.password": "goes with 'username'; give both"}),
    (existing(username="me", password={"name": "A", "key": "k"}), {"prometheus.existing.password.name": "is 'A'; give lower"}),
    ({**existing(), "alertmanager": {}}, {"alertmanager": "does nothing with 'prometheus.existing'"}),
    (
        {**existing(namespace="metrics"), **watching(readers=[{"namespace": "monitoring"}])},
        {"watch[0]": "or say where that one is by 'prometheus.existing.namespace'"},
    ),
    ({"alertmanager": {"url": "alertmanager:9093"}}, {"alertmanager.url": "is 'alertmanager:9093'; give an address such as"}),
    ({"alertmanager": {"url": "http://a:9093", "repeat_hours": 2}}, {"alertmanager.repeat_hours": "does nothing with 'url'"}),
    (
        {**operated(namespace="metrics"), **watching(readers=[{"namespace": "monitoring"}])},
        {"watch[0]": "of namespace 'metrics' in, so nothing could be read"},
    ),
    ({"grafana": {"dashboards_only": "yes"}}, {"grafana.dashboards_only": "is the text 'yes'; give true or false"}),
    (watching(scales=1), {"watch[0].scales": "give true or false"}),
    (logging(agent={"existing": "no"}), {"logs.agent.existing": "give true or false"}),
    ({"grafana": {"image": "grafana/grafana:latest"}}, {"grafana.image": "'latest' moves"}),
    ({"grafana": {"storage_gib": 0}}, {"grafana.storage_gib": "is 0; give 1 GiB or more"}),
    ({"grafana": {"storage_class": "A"}}, {"grafana.storage_class": "is 'A'; give lower case"}),
    ({"grafana": {"resources": {"limits": {"cpu": "x"}}}}, {"grafana.resources.limits.cpu": "is 'x'; give a quantity"}),
    ({"grafana": {"allow_from": [{}]}}, {"grafana.allow_from[0]": "names nobody"}),
    ({"grafana": {"root_url": "grafana"}}, {"grafana.root_url": "is 'grafana'; give an address such as"}),
    ({"grafana": {"dashboards_only": True, "storage_gib": 5}}, {"grafana.storage_gib": "does nothing with 'dashboards_only'"}),
    (telling(name="A"), {"alertmanager.receivers[0].name": "is 'A'; give lower case"}),
    (telling(kind="email"), {"alertmanager.receivers[0].kind": "give one of 'slack', 'pagerduty', 'webhook'"}),
    (telling(secret={"name": "A b", "key": "k"}), {"alertmanager.receivers[0].secret.name": "is 'A b'; give lower case"}),
    (telling(kind="slack"), {"alertmanager.receivers[0].channel": "is required by 'slack'; give a channel"}),
    (telling(channel="#a"), {"alertmanager.receivers[0].channel": "goes with 'slack', and this is 'webhook'"}),
    (telling(severities=["warning"]), {"alertmanager.receivers[0].severities[0]": "is 'warning'; give 'page' or 'ticket'"}),
    (telling(severities=[]), {"alertmanager.receivers[0].severities": "is empty, so nobody would be told"}),
    ({"alertmanager": {"receivers": [RECEIVER, RECEIVER]}}, {"alertmanager.receivers[1].name": "is that of another"}),
    ({"alertmanager": {"repeat_hours": 0}}, {"alertmanager.repeat_hours": "is 0; give 1 to 168 hours"}),
    ({"alertmanager": {"egress": [{"port": 443}]}}, {"alertmanager.egress[0]": "has no address"}),
    ({"alertmanager": {"image": "prom/alertmanager"}}, {"alertmanager.image": "which means ':latest'"}),
    ({"alertmanager": {"storage_gib": 0}}, {"alertmanager.storage_gib": "is 0; give 1 GiB or more"}),
    ({"alertmanager": {"storage_class": "A"}}, {"alertmanager.storage_class": "is 'A'; give lower case"}),
    ({"alertmanager": {"resources": {"limits": {"cpu": "x"}}}}, {"alertmanager.resources.limits.cpu": "give a quantity"}),
    ({"collector": {}}, {"collector.endpoint": "is required"}),
    ({"collector": True}, {"collector": "give a mapping with the keys"}),
    (collecting(endpoint="tempo:4317"), {"collector.endpoint": "is 'tempo:4317'; give an address such as"}),
    (collecting(signals=[]), {"collector.signals": "is empty, so nothing would go to the endpoint"}),
    (collecting(signals=["profiles"]), {"collector.signals[0]": "give one of 'traces', 'metrics', 'logs'"}),
    (collecting(egress={"port": 443}), {"collector.egress": "has no address"}),
    (collecting(token={"name": "A b", "key": "k"}), {"collector.token.name": "is 'A b'; give a Secret's name"}),
    (collecting(allow_from=[{}]), {"collector.allow_from[0]": "names nobody"}),
    (collecting(image="otel/opentelemetry-collector-contrib"), {"collector.image": "which means ':latest'"}),
    (collecting(resources={"limits": {"cpu": "x"}}), {"collector.resources.limits.cpu": "give a quantity"}),
    (collecting(enpoint="x"), {"collector.enpoint": "did you mean 'endpoint'?"}),
    ({"logs": True}, {"logs": "give a mapping with the keys"}),
    (logging(retention_days=0), {"logs.retention_days": "is 0; give 1 day or more"}),
    (logging(daily_gib=0), {"logs.daily_gib": "is 0; give more than 0"}),
    (logging(storage_gib=0), {"logs.storage_gib": "is 0; give 1 GiB or more"}),
    (
        logging(retention_days=30, daily_gib=10),
        {"logs.storage_gib": "but 30 + 1 days of 10 GiB, compressed to 40%, are 124 GiB; give 155 or more"},
    ),
    (logging(storage_class="A"), {"logs.storage_class": "is 'A'; give lower case"}),
    (logging(image="grafana/loki"), {"logs.image": "which means ':latest'"}),
    (logging(proxy_image="nginx:latest"), {"logs.proxy_image": "'latest' moves"}),
    (logging(resources={"limits": {"memory": "1Mi"}}), {"logs.resources.limits.memory": "below the request"}),
    (logging(allow_from=[{}]), {"logs.allow_from[0]": "names nobody"}),
    (logging(retention="7d"), {"logs.retention": "did you mean 'retention_days'?"}),
    (logging(kind="splunk"), {"logs.kind": "give one of 'loki', 'elasticsearch'"}),
    (logging(kibana={}), {"logs.kibana": "goes with Elasticsearch; leave it out, or give 'kind': 'elasticsearch'"}),
    (elastic(proxy_image="nginx:1"), {"logs.proxy_image": "goes with Loki; leave it out, or give 'kind': 'loki'"}),
    (
        elastic(retention_days=120, daily_gib=1, storage_gib=120),
        {"logs.storage_gib": "but 120 + 2 days of 1 GiB, indexed to 100%, are 122 GiB; give 153 or more"},
    ),
    (elastic(resources={"limits": {"memory": "1Gi"}}), {"logs.resources.limits.memory": "below the request"}),
    (
        elastic(resources={"limits": {"memory": "512Mi"}, "requests": {"memory": "512Mi"}}),
        {"logs.resources.limits.memory": "half of which is Elasticsearch's heap; give '1Gi' or more"},
    ),
    (elastic(kibana={"allow_from": [{}]}), {"logs.kibana.allow_from[0]": "names nobody"}),
    (elastic(kibana={"root_url": "https://k/"}), {"logs.kibana.root_url": "without '/' at its end"}),
    (elastic(kibana={"image": "elastic/kibana"}), {"logs.kibana.image": "which means ':latest'"}),
    (elastic(kibana={"resources": {"limits": {"cpu": "x"}}}), {"logs.kibana.resources.limits.cpu": "give a quantity"}),
    (elastic(kibana={"enabled": "no"}), {"logs.kibana.enabled": "give true or false"}),
    (elastic(kibana={"enabled": False, "root_url": "https://k"}), {"logs.kibana.root_url": "does nothing with 'enabled' false"}),
    (elastic(external={"url": "http://es", "tenant": "a"}), {"logs.external.tenant": "goes with Loki"}),
    (
        elastic(external={"url": "http://es"}, kibana={}),
        {"logs.kibana": "does nothing with 'external', where no Elasticsearch runs here"},
    ),
    (logging(agent={"namespace": "A"}), {"logs.agent.namespace": "is 'A'; give lower case"}),
    (logging(agent={"namespace": "ai"}), {"logs.agent.namespace": "is 'ai', which has other pods too"}),
    (logging(agent={"namespace": "monitoring"}), {"logs.agent.namespace": "is 'monitoring', which has other pods too"}),
    (logging(agent={"user": -1}), {"logs.agent.user": "is -1; give 0 to 2147483647"}),
    (logging(agent={"node_selector": {"pool": "a b"}}), {"logs.agent.node_selector.pool": "is 'a b'; give letters"}),
    (logging(agent={"image": "otel/collector"}), {"logs.agent.image": "which means ':latest'"}),
    (logging(agent={"resources": {"limits": {"cpu": "x"}}}), {"logs.agent.resources.limits.cpu": "give a quantity"}),
    (logging(agent={"existing": True, "user": 0}), {"logs.agent.user": "does nothing with 'existing'"}),
    (logging(external={}), {"logs.external.url": "is required"}),
    (elsewhere(url="loki:3100"), {"logs.external.url": "is 'loki:3100'; give an address such as"}),
    (elsewhere(url="http://user:word@loki"), {"logs.external.url": "give an address such as"}),
    (elsewhere(username="u"), {"logs.external.username": "goes with 'password'"}),
    (
        elsewhere(username="a:b", password={"name": "loki", "key": "k"}),
        {"logs.external.username": "is 'a:b'; give a name without spaces and ':'"},
    ),
    (elsewhere(password={"name": "A b", "key": "k"}), {"logs.external.password.name": "is 'A b'; give a Secret's name"}),
    (elsewhere(tenant="a/b"), {"logs.external.tenant": "is 'a/b'; give letters"}),
    (elsewhere(egress={"port": 3100}), {"logs.external.egress": "has no address"}),
    (
        {"logs": {"external": {"url": "http://loki"}, "storage_gib": 5}},
        {"logs.storage_gib": "does nothing with 'external', where no Loki runs here"},
    ),
    ({"grafana": {"tempo": {"url": "tempo"}}}, {"grafana.tempo.url": "is 'tempo'; give an address such as"}),
    ({"grafana": {"tempo": {"url": "http://tempo", "egress": {"port": 1}}}}, {"grafana.tempo.egress": "has no address"}),
    (
        {**operated(), **elsewhere(), "deletion_policy": "retain"},
        {"deletion_policy": "does nothing with 'prometheus.operator'"},
    ),
    ({"runbooks": "a b"}, {"runbooks": "is 'a b'; give the address of a folder"}),
    ({"deletion_policy": "keep"}, {"deletion_policy": "give one of 'delete', 'retain', 'protect'"}),
    ({"node_selector": {"pool": "a b"}}, {"node_selector.pool": "is 'a b'; give letters"}),
    ({"grafanas": {}}, {"grafanas": "is not an argument"}),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG, ids=[next(iter(told)) for _, told in WRONG])
def test_each_wrong_argument_is_one_clear_fault(wrong: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused(**wrong)
    assert faults.keys() == told.keys(), faults
    assert all(reason in faults[path] for path, reason in told.items()), faults


def test_every_fault_is_told_at_once() -> None:
    faults = refused(**watching(port=0), objectives={"daily_dollars": -1}, prometheus={"storage_gib": 0}, runbooks="a b")
    assert faults.keys() == {"watch[0].port", "objectives.daily_dollars", "prometheus.storage_gib", "runbooks"}


def test_a_name_too_long_for_its_pods_is_refused() -> None:
    assert "give at most 38" in refused("w" * 39)["name"]
    assert refused("w" * 38) == {}


@pytest.mark.parametrize(
    "readers",
    [
        [{"namespace": "monitoring"}],
        [{"namespace": "monitoring", "pod_labels": {"app.kubernetes.io/name": "prometheus"}}],
        [{"pod_labels": {"app": "x"}}, {"cidr": "10.0.0.0/8"}],
        [{"namespace": pulumi.Output.from_input("x")}],
    ],
)
def test_who_lets_this_prometheus_in_can_be_watched(readers: list[Any]) -> None:
    assert refused(**watching(readers=readers)) == {}


@pytest.mark.parametrize(
    "readers", [[{"namespace": "metrics"}], [{"namespace": "metrics", "pod_labels": {"app.kubernetes.io/name": "prometheus"}}]]
)
def test_who_lets_the_operators_prometheus_in_can_be_watched(readers: list[Any]) -> None:
    """Wherever the stack is."""
    assert refused(**operated(namespace="metrics"), **watching(readers=readers), grafana={"dashboards_only": True}) == {}
    others = [{"namespace": "metrics", "pod_labels": {"app.kubernetes.io/instance": "watch"}}]
    assert "prometheus.operator.namespace" in refused(**operated(namespace="metrics"), **watching(readers=others))["watch[0]"]


def test_a_loki_of_its_own_has_a_volume_and_a_place_even_where_prometheus_exists() -> None:
    assert refused(**operated(), logs={}, deletion_policy="delete", node_selector={"pool": "data"}) == {}


def test_the_volume_that_an_error_asks_for_is_enough() -> None:
    assert refused(**logging(retention_days=30, daily_gib=10, storage_gib=155)) == {}
    assert refused(**elastic(retention_days=120, daily_gib=1, storage_gib=153)) == {}


def test_the_series_are_kept_for_as_long_as_a_budget_is_reckoned() -> None:
    def days(period: float) -> int:
        given = cast("ObservabilityStackArgs", {**ARGS, "objectives": {"period_days": period}})
        return StackSettings.of("watch", given).prometheus.retention_days

    assert [days(7), days(30), days(90)] == [15, 31, 91]
