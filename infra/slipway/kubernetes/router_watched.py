"""A router as monitoring needs to know it: what its autoscaler asks and aims at."""

from collections.abc import Mapping

from slipway.kubernetes.ai_api_service_settings import Release, Resolved
from slipway.kubernetes.observability.watched import WatchedKind, WatchedLoad, WatchedService
from slipway.kubernetes.restricted import selector
from slipway.kubernetes.router_metrics import cpu_cores, pods, requests_per_second
from slipway.kubernetes.router_pod import PORT
from slipway.kubernetes.router_release import APP
from slipway.quantities import parse


def watched_router(release: Release, resolved: Resolved) -> WatchedService:
    """All that the arguments tell of one version.

    Args:
        release: The version.
        resolved: The component's arguments, decided.
    """
    replicas, namespace, deployment = release.replicas, resolved.args["namespace"], f"{release.name}-router"
    loads: list[WatchedLoad] = []
    cpu = resolved.resources.get("requests")
    if replicas.fixed is None and replicas.cpu_percent and isinstance(cpu, Mapping):
        # The autoscaler's percent are of what is set aside.
        each = float(parse(str(cpu["cpu"])) * replicas.cpu_percent / 100)
        loads.append({"name": "cpu", "query": cpu_cores(namespace, deployment), "target": each})
    if replicas.fixed is None and replicas.requests_per_second:
        query = requests_per_second(namespace, deployment)
        loads.append({"name": "requests", "query": query, "target": float(replicas.requests_per_second)})
    return {
        "kind": WatchedKind.ROUTER,
        "name": release.name,
        "namespace": namespace,
        "pods": pods(deployment),
        "pod_labels": selector(APP, release.name),
        "port": PORT,
        "least_replicas": replicas.minimum if replicas.fixed is None else replicas.fixed,
        "most_replicas": replicas.maximum if replicas.fixed is None else replicas.fixed,
        "scales": replicas.fixed is None,
        "loads": loads,
        "readers": resolved.allowed,
    }
