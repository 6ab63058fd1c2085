"""Scaling by KEDA: the same targets and the same pace as the HorizontalPodAutoscaler, with Prometheus asked directly."""

from typing import Any

import pulumi

from slipway.kubernetes.autoscaling import Replicas, behavior
from slipway.kubernetes.camel import camel
from slipway.kubernetes.network import Peer

API_VERSION = "keda.sh/v1alpha1"
OWNERSHIP = "validations.keda.sh/hpa-ownership"
"""Annotation that keeps KEDA's webhook from refusing a ScaledObject beside an autoscaler of our own (KEDA, "Admission webhooks").
So a change from 'hpa' to 'keda' is one `up`: for seconds there are both, and Kubernetes acts on neither."""
NAMESPACE = "keda"
"""Where KEDA's guide installs it."""
POLLING_SECONDS = 15
FAILURES = 3
"""Failed questions after which the fallback holds."""


def operator(namespace: str) -> Peer:
    """KEDA's operator, which asks queues and Prometheus, as network policies need to know it: by the label of its chart."""
    return {"namespace": namespace, "pod_labels": {"app.kubernetes.io/name": "keda-operator"}}


def scaled_object(deployment: str, autoscaler: str, replicas: Replicas, requests: pulumi.Input[str]) -> dict[str, Any]:
    """Spec of a ScaledObject (KEDA, "ScaledObject specification").

    Args:
        deployment: What is scaled.
        autoscaler: Name of the HorizontalPodAutoscaler that KEDA makes.
        replicas: Range and targets; a target of 0 is no trigger.
        requests: PromQL for the requests per second of all replicas together.
    """
    triggers: list[dict[str, Any]] = []
    if replicas.cpu_percent:
        triggers.append({"type": "cpu", "metricType": "Utilization", "metadata": {"value": str(replicas.cpu_percent)}})
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment},
        "minReplicaCount": replicas.minimum,
        "maxReplicaCount": replicas.maximum,
        "pollingInterval": POLLING_SECONDS,
        "triggers": triggers,
        "advanced": {"horizontalPodAutoscalerConfig": {"name": autoscaler, "behavior": camel(behavior())}},
    }
    if replicas.requests_per_second:
        triggers.append(
            {
                "type": "prometheus",
                "name": "requests",
                "metricType": "AverageValue",
                "metadata": {
                    "serverAddress": replicas.prometheus_url,
                    "query": requests,
                    "threshold": str(replicas.requests_per_second),
                    # No series means that nobody measures. Taken for 0, KEDA's default, it would take replicas away.
                    "ignoreNullValues": "false",
                },
            }
        )
        fallback = replicas.minimum if replicas.fallback_replicas is None else replicas.fallback_replicas
        spec["fallback"] = {"failureThreshold": FAILURES, "replicas": fallback, "behavior": "currentReplicasIfHigher"}
    return spec
