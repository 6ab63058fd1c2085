"""The alerts about GPUs, by what NVIDIA's DCGM exporter tells of them (`etc/dcp-metrics-included.csv` of dcgm-exporter)."""

from slipway.kubernetes.observability.alert import Alert, Severity
from slipway.kubernetes.observability.objectives import Promise
from slipway.kubernetes.observability.replicas import silent
from slipway.kubernetes.observability.watched import Watched, WatchedKind

UTILIZATION = "DCGM_FI_DEV_GPU_UTIL"
XID = "DCGM_FI_DEV_XID_ERRORS"
TEMPERATURE = "DCGM_FI_DEV_GPU_TEMP"
USED, FREE = "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"
REMAP_FAILED, REMAPPED = "DCGM_FI_DEV_ROW_REMAP_FAILURE", "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS"
OF_APPLICATIONS = (13, 31, 43, 45, 68, 109)
"""XIDs after which the GPU is as well as before (NVIDIA's device plugin, `internal/rm/health.go`)."""
FULL = 0.98
"""Share of a GPU's memory, above which the next thing that wants some may not get it."""
IDLE_PERCENT = 10


def gpu_alerts(service: Watched, promise: Promise) -> list[Alert]:
    """Those about the GPUs of a DCGM exporter."""
    which, patience = service.which(), promise.patience_seconds
    gpu = "GPU {{ $labels.gpu }} of {{ $labels.node }}"
    user = "Pod that has it: {{ $labels.namespace }}/{{ $labels.pod }}."
    well = "|".join(str(xid) for xid in (0, *OF_APPLICATIONS))
    ill = service.which(f'err_code!~"{well}"')
    return [
        Alert(
            "GpuXidError",
            Severity.TICKET,
            f"{XID}{ill} > 0",
            f"{gpu} had the error XID {{{{ $labels.err_code }}}}",
            f"{{{{ $labels.err_msg }}}}. It is not one that a program makes by itself: the GPU may not be well. {user}",
        ),
        Alert(
            "GpuMemoryFaulty",
            Severity.TICKET,
            f"{REMAP_FAILED}{which} > 0 or increase({REMAPPED}{which}[1d]) > 0",
            f"{gpu} has broken memory",
            f"Rows with errors that cannot be corrected were replaced in the last day, or could not be. {user}",
        ),
        Alert(
            "GpuHot",
            Severity.TICKET,
            f"{TEMPERATURE}{which} > {promise.gpu_celsius:g}",
            f"{gpu} is hot",
            f"{{{{ $value }}}} degrees Celsius, above {promise.gpu_celsius:g}: it slows down soon, or does already. {user}",
            seconds=patience,
        ),
        Alert(
            "GpuMemoryFull",
            Severity.TICKET,
            f"{memory(service)} > {FULL}",
            f"{gpu} has no memory left",
            f"{{{{ $value | humanizePercentage }}}} of it are taken: what needs more next fails. {user}",
            seconds=patience,
        ),
        Alert(
            "GpuMetricsMissing",
            Severity.TICKET,
            silent(service),
            f"GPUs of {{{{ $value }}}} nodes are not seen by {service.name}",
            "A DCGM exporter that is there does not answer: nothing is known of the GPUs of its node.",
            seconds=patience,
        ),
    ]


def idle_gpus(service: Watched, promise: Promise) -> list[Alert]:
    """Of a model server: its GPUs idle while requests wait for them."""
    queries = [load.query for load in service.loads if load.name == "waiting-requests"]
    if service.kind is not WatchedKind.MODEL or service.most_replicas == 0:
        return []
    return [
        Alert(
            "GpuIdle",
            Severity.TICKET,
            f"avg({UTILIZATION}{service.which()}) < {IDLE_PERCENT} and ({query}) > 0",
            f"GPUs of {service.name} idle while requests wait",
            "They are busy {{ $value | humanize }} % of the time: something before them holds the requests up.",
            seconds=promise.patience_seconds,
        )
        for query in queries
    ]


def memory(service: Watched) -> str:
    """Share of each GPU's memory that is taken."""
    which = service.which()
    return f"{USED}{which} / ({USED}{which} + {FREE}{which})"
