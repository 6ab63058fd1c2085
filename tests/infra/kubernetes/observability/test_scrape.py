"""Jobs of what tells of itself, and of what tells of others, for our Prometheus and for the operator's.

That Prometheus does so with them, test_prometheus.py shows.
"""

from tests.infra.kubernetes.observability.services import gpus, model

from slipway.kubernetes.observability.operator import pod_monitor_spec
from slipway.kubernetes.observability.scrape import scrape_configs


def test_series_about_other_pods_keep_their_labels() -> None:
    own, theirs = scrape_configs([model(), gpus()])
    assert ("honor_labels" in own, theirs["honor_labels"]) == (False, True)
    labelled = [{rule["target_label"] for rule in job["relabel_configs"] if "target_label" in rule} for job in (own, theirs)]
    assert labelled == [{"namespace", "pod", "service"}, {"node", "service"}]


def test_the_operators_labels_do_not_take_their_place() -> None:
    (own,), (theirs,) = (pod_monitor_spec(service, 15)["podMetricsEndpoints"] for service in (model(), gpus()))
    assert ("honorLabels" in own, theirs["honorLabels"]) == (False, True)
    # It sets these before our relabelings are applied.
    assert {"action": "labeldrop", "regex": "namespace|pod|container"} in theirs["relabelings"]


def test_the_exporter_is_where_its_component_runs() -> None:
    (there,) = scrape_configs([gpus(repository="oci://charts.example.com/nvidia", namespace="nvidia")])
    (found,) = there["kubernetes_sd_configs"]
    assert found["namespaces"]["names"] == ["nvidia"]
    assert found["selectors"] == [{"role": "pod", "label": "app=nvidia-dcgm-exporter"}]
    assert {"action": "keep", "source_labels": ["__meta_kubernetes_pod_container_port_number"], "regex": "9400"} in there[
        "relabel_configs"
    ]
