"""What is to be deployed on an endpoint: ids by content, the service's own messages, traffic in whole percents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipway.gcp.vertex_model_spec import digest, plain

IDENTITY = ("model", "machine_type", "accelerator_type", "accelerator_count", "spot", "service_account", "access_logging")
"""What Vertex AI changes of no deployed model: another value makes another one, and the traffic moves."""
MUTABLE = ("min_replicas", "max_replicas", "metrics")
"""What it changes in place (`MutateDeployedModelRequest`)."""
METRICS = {
    "cpu": "aiplatform.googleapis.com/prediction/online/cpu/utilization",
    "accelerator": "aiplatform.googleapis.com/prediction/online/accelerator/duty_cycle",
    "requests": "aiplatform.googleapis.com/prediction/online/request_count",
    "waiting": "prometheus.googleapis.com/vertex_vllm_num_requests_waiting",
    "cache": "prometheus.googleapis.com/vertex_vllm_gpu_cache_usage_perc",
}
"""Autoscaling metrics by our names (`AutoscalingMetricSpec`)."""
SCALING_PATHS = ("min_replica_count", "max_replica_count", "autoscaling_metric_specs")


@dataclass(frozen=True)
class Deployment:
    """One model on the endpoint."""

    key: str
    id: str
    """Its id there: 10 digits, the same for the same content."""
    given: Mapping[str, Any]

    def message(self, name: str, owner: str) -> dict[str, Any]:
        """As Vertex AI's service is told of it (`google.cloud.aiplatform.v1.DeployedModel`)."""
        machine = {"machine_type": self.given["machine_type"]}
        if kind := self.given.get("accelerator_type"):
            machine |= {"accelerator_type": kind, "accelerator_count": self.given.get("accelerator_count", 1)}
        resources: dict[str, Any] = {"machine_spec": machine, "spot": self.given.get("spot", False), **self.scaling()}
        return {
            "id": self.id,
            "model": self.given["model"],
            "display_name": f"{name}-{self.key}{mark(owner)}",
            "service_account": self.given.get("service_account", ""),
            "enable_access_logging": self.given.get("access_logging", False),
            "dedicated_resources": resources,
        }

    def scaling(self) -> dict[str, Any]:
        """What can change while it serves."""
        least = self.given.get("min_replicas", 1)
        metrics: Mapping[str, int] = self.given.get("metrics") or {}
        return {
            "min_replica_count": least,
            "max_replica_count": self.given.get("max_replicas", least),
            "autoscaling_metric_specs": [{"metric_name": METRICS[k], "target": v} for k, v in sorted(metrics.items())],
        }


def mark(owner: str) -> str:
    """By which a deployed model is known as its stack's own: they have no labels."""
    return f" (slipway {owner})"


def deployments(props: Mapping[str, Any]) -> dict[str, Deployment]:
    """Those asked for, by their keys."""
    found: dict[str, Deployment] = {}
    asked: Mapping[str, Mapping[str, Any]] = props.get("deployments") or {}
    for key, given in sorted(asked.items()):
        content: dict[str, Any] = {k: plain(v) for k, v in given.items() if plain(v) is not None}
        number = int(digest(props["owner"], key, {k: content.get(k) for k in IDENTITY})[:15], 16)
        found[key] = Deployment(key, str(10**9 + number % (9 * 10**9)), content)
    return found


def split(props: Mapping[str, Any], wanted: Mapping[str, Deployment]) -> dict[str, int]:
    """Traffic by the ids of deployed models. What gets none is left out, as the service wants it."""
    traffic: Mapping[str, float] = props.get("traffic") or {}
    return {wanted[key].id: int(share) for key, share in sorted(traffic.items()) if int(share)}


def traffic_fault(traffic: Mapping[str, Any], keys: list[str]) -> str | None:
    """What is wrong with a traffic split, None if nothing (`Endpoint.traffic_split`: percents that add up to 100)."""
    unknown = sorted(set(traffic) - set(keys))
    if unknown:
        return f"names {', '.join(repr(k) for k in unknown)}, which is not deployed; there are {', '.join(repr(k) for k in keys)}"
    wrong = {k: v for k, v in traffic.items() if isinstance(v, bool) or v != int(v) or not 0 <= v <= 100}
    if wrong:
        return f"has {', '.join(f'{k}: {v}' for k, v in wrong.items())}; give whole percents from 0 to 100"
    total = sum(int(v) for v in traffic.values())
    return None if total == 100 else f"adds up to {total}; give percents that add up to 100"
