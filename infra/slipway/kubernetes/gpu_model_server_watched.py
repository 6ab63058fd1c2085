"""A model server as monitoring needs to know it: what its scaler asks and aims at, or would if it had one."""

from collections.abc import Mapping, Sequence

from slipway.kubernetes.gpu_model_server_settings import GpuModelServerSettings
from slipway.kubernetes.leader_worker_set import LEADER
from slipway.kubernetes.model_engine import PORT
from slipway.kubernetes.model_scaler import ScaleTarget, loads
from slipway.kubernetes.model_scaling import KV_CACHE_PERCENT, WAITING_REQUESTS
from slipway.kubernetes.observability.watched import WatchedKind, WatchedLoad, WatchedService
from slipway.kubernetes.spot import groups_of


def watched_server(name: str, settings: GpuModelServerSettings, labels: Mapping[str, str]) -> WatchedService:
    """All that its arguments tell.

    Args:
        name: The component's name.
        settings: Its arguments, decided.
        labels: What selects its pods.
    """
    workloads = [f"{name}-{group.role}" for group in groups_of(settings.replicas, settings.spot)]
    pods = "|".join(ScaleTarget(settings.keeper, workload, settings.namespace, ()).pods for workload in workloads)
    return {
        "kind": WatchedKind.MODEL,
        "name": name,
        "namespace": settings.namespace,
        "pods": pods,
        # Of a group of pods the leader answers.
        "pod_labels": {**labels, **(LEADER if settings.server.nodes > 1 else {})},
        "port": PORT,
        "least_replicas": settings.least_replicas,
        "most_replicas": settings.most_replicas,
        "scales": settings.scaling is not None,
        "loads": _loads(settings, pods),
        "start_seconds": settings.cold_start_seconds,
        "readers": settings.ingress,
    }


def _loads(settings: GpuModelServerSettings, pods: str) -> Sequence[WatchedLoad]:
    metrics = settings.engine.metrics
    targets: Mapping[str, float] = {
        "waiting_requests": WAITING_REQUESTS if metrics.waiting_requests else 0,
        "running_requests": 0,
        "kv_cache_percent": KV_CACHE_PERCENT if metrics.kv_cache_usage else 0,
    }
    if settings.scaling is not None:
        targets = settings.scaling.targets
    return loads(settings.namespace, pods, metrics, targets, may_be_none=settings.least_replicas == 0)
