"""How Prometheus finds the pods of watched services, and reads them."""

from collections.abc import Sequence
from typing import Any

from slipway.kubernetes.observability.objectives import duration
from slipway.kubernetes.observability.watched import Watched


def scrape_configs(services: Sequence[Watched]) -> list[dict[str, Any]]:
    """One job for each service. Every series has its `namespace` and `pod`, by which scalers ask too, and `service`; those about
    other pods have theirs, and `node`."""
    return [_job(service) for service in services]


def timeout(interval: float) -> str:
    """A reading must end before the next begins."""
    return duration(min(10.0, interval))


def relabelings(service: Watched) -> list[dict[str, Any]]:
    """Which of the found targets are read, and what their series are labelled with."""
    found = "__meta_kubernetes_pod"
    if service.tells_of_others:
        # Whose pod and namespace a reading is about, it says itself; without one it is about none, and not about the reader's.
        own = [
            {"action": "labeldrop", "regex": "namespace|pod|container"},
            {"target_label": "node", "source_labels": [f"{found}_node_name"]},
        ]
    else:
        own = [
            {"target_label": "namespace", "source_labels": ["__meta_kubernetes_namespace"]},
            {"target_label": "pod", "source_labels": [f"{found}_name"]},
        ]
    return [
        # There is a target for each port that a container tells; those of a sidecar are none of ours.
        {"action": "keep", "source_labels": [f"{found}_container_port_number"], "regex": str(service.port)},
        {"action": "drop", "source_labels": [f"{found}_phase"], "regex": "Succeeded|Failed"},
        *own,
        {"target_label": "service", "replacement": service.name},
    ]


def _job(service: Watched) -> dict[str, Any]:
    selector = ",".join(f"{key}={value}" for key, value in service.pod_labels.items())
    return {
        "job_name": f"{service.namespace}/{service.name}",
        "metrics_path": service.path,
        **({"honor_labels": True} if service.tells_of_others else {}),
        "kubernetes_sd_configs": [
            {
                "role": "pod",
                "namespaces": {"names": [service.namespace]},
                "selectors": [{"role": "pod", "label": selector}],
            }
        ],
        "relabel_configs": relabelings(service),
    }
