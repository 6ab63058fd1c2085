"""The alerts that every watched service has: its replicas, and the loads it is scaled by."""

from slipway.kubernetes.observability.alert import Alert, Severity
from slipway.kubernetes.observability.objectives import Promise
from slipway.kubernetes.observability.replicas import answering, beyond, silent
from slipway.kubernetes.observability.watched import Load, Watched, WatchedKind

_LOADS = {
    "waiting-requests": ("QueueLong", "requests wait"),
    "kv-cache-usage": ("KvCacheFull", "the key-value caches fill"),
    "running-requests": ("ReplicasBusy", "requests are being answered"),
    "cpu": ("CpuHigh", "CPU is taken"),
    "requests": ("RequestsMany", "requests a second come"),
}


def service_alerts(service: Watched, promise: Promise) -> list[Alert]:
    """All of them. A service that is stopped has none."""
    if service.most_replicas == 0:
        return []
    name, patience, most = service.name, promise.patience_seconds, service.most_replicas
    made: list[Alert] = []
    missing, told = silent(service), "A replica that is there does not answer"
    if service.least_replicas:
        missing = f"{missing} or {answering(service)} < {service.least_replicas}"
        told = f"Fewer than {service.least_replicas} replicas answer, or one that is there does not"
    if service.kind is WatchedKind.MODEL:
        made.append(
            Alert(
                "ModelNotLoading",
                Severity.PAGE,
                missing,
                f"{name} does not get its model loaded",
                f"{told}, for longer than a start may take ({service.start_seconds} s).",
                seconds=service.start_seconds,
            )
        )
    else:
        made.append(
            Alert(
                "ReplicasMissing",
                Severity.TICKET,
                missing,
                f"{name} has fewer replicas than it should",
                f"{told}.",
                seconds=max(patience, service.start_seconds),
            )
        )
    if service.scales:
        made.append(
            Alert(
                "AutoscalerAtMaximum",
                Severity.TICKET,
                f"{answering(service)} >= {most}",
                f"{name} has its {most} replicas, and may have no more",
                "What comes on top of the load waits, or is answered later.",
                seconds=patience,
            )
        )
    made += [_beyond(service, load, promise) for load in service.loads]
    return made


def _beyond(service: Watched, load: Load, promise: Promise) -> Alert:
    alert, what = _LOADS.get(load.name, ("LoadHigh", f"{load.name} is high"))
    return Alert(
        alert,
        Severity.TICKET,
        beyond(service, load),
        f"{service.name}: {what} beyond what {service.most_replicas} replicas are for",
        f"{load.name} is {{{{ $value | humanize }}}}; {load.target:g} is aimed at for each of {service.most_replicas} replicas.",
        seconds=promise.patience_seconds,
    )
