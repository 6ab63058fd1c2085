"""Alerts by what kube-state-metrics tells of objects, and the kubelets of volumes (kube-state-metrics, `docs/metrics`)."""

from slipway.kubernetes.observability.alert import Alert, Severity
from slipway.kubernetes.observability.objectives import Promise
from slipway.kubernetes.observability.workload import Workload

FREE = 0.1
"""Share of a volume below which it is told."""
BACKUP_SECONDS = 7 * 3600
"""How long a backup may take: its Job has 6 hours (`slipway.kubernetes.backup_jobs`), and may begin an hour late."""
DRAIN_SECONDS = 1800


def workload_alerts(workload: Workload, promise: Promise) -> list[Alert]:
    """All of them, by the objects that it has."""
    name, which, patience = workload.name, workload.which, promise.patience_seconds
    made: list[Alert] = []
    if workload.stateful_set is not None:
        of = which(f'statefulset="{workload.stateful_set}"')
        made.append(
            Alert(
                "StoreDown",
                Severity.PAGE,
                f"kube_statefulset_status_replicas_ready{of} < kube_statefulset_replicas{of}",
                f"{name} is not ready",
                "Its server does not run, or does not answer its probe.",
                seconds=min(300, patience),
            )
        )
    if workload.claims:
        of = which(f'persistentvolumeclaim=~"{"|".join(workload.claims)}"')
        made.append(
            Alert(
                "VolumeNearlyFull",
                Severity.TICKET,
                f"kubelet_volume_stats_available_bytes{of} / kubelet_volume_stats_capacity_bytes{of} < {FREE}",
                f"A volume of {name} is nearly full: {{{{ $labels.persistentvolumeclaim }}}}",
                "{{ $value | humanizePercentage }} of it are free.",
                seconds=patience,
            )
        )
    if workload.backup is not None:
        made.append(_backup(workload, which(f'cronjob="{workload.backup}"')))
    if workload.autoscaler is not None:
        made += _workers(workload, promise, which(f'horizontalpodautoscaler="{workload.autoscaler}"'))
    if workload.job is not None:
        failed = which(f'job_name=~"{workload.job}-[^-]+",condition="true"')
        made.append(
            Alert(
                "TrainingFailed",
                Severity.TICKET,
                f"kube_job_failed{failed} > 0",
                f"{name} has failed for good",
                "Its Job {{ $labels.job_name }} is not started again: it failed too often, or its deadline is over.",
            )
        )
    return made


def _backup(workload: Workload, of: str) -> Alert:
    last, done, following = (
        f"kube_cronjob_{what}{of}" for what in ("status_last_schedule_time", "status_last_successful_time", "next_schedule_time")
    )
    return Alert(
        "BackupMissing",
        Severity.TICKET,
        f"{last} > {done} or {last} unless {done} or time() - {following} > 3600",
        f"{workload.name} has no backup of the last time that one was due",
        "It failed, takes too long, or was not begun.",
        seconds=BACKUP_SECONDS,
    )


def _workers(workload: Workload, promise: Promise, of: str) -> list[Alert]:
    full = f"kube_horizontalpodautoscaler_status_current_replicas{of} >= kube_horizontalpodautoscaler_spec_max_replicas{of}"
    return [
        Alert(
            "WorkersAtMaximum",
            Severity.TICKET,
            full,
            f"{workload.name} has as many workers as it may have",
            "{{ $value }} of them: what comes on top waits in the queue.",
            seconds=promise.patience_seconds,
        ),
        Alert(
            "QueueNotDraining",
            Severity.PAGE,
            f"{_queued(of)} > 0 and {_queued(of)} >= {_queued(of, f' offset {DRAIN_SECONDS // 60}m')} and on () {full}",
            f"The queue of {workload.name} does not get shorter",
            "{{ $value | humanize }} tasks wait, no fewer than half an hour ago, with all workers that there may be.",
            seconds=promise.patience_seconds,
        ),
    ]


def _queued(of: str, when: str = "") -> str:
    """Tasks that wait: an autoscaler tells how many come to each worker."""
    queues = f'{of[:-1]},metric_target_type="average",metric_name!~"cpu|memory"}}'
    each = f"kube_horizontalpodautoscaler_status_target_metric{queues}{when}"
    workers = f"kube_horizontalpodautoscaler_status_current_replicas{of}{when}"
    return f"sum({each} * on (namespace, horizontalpodautoscaler) group_left () {workers})"
