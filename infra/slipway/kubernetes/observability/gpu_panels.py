"""What a dashboard shows of GPUs: how busy and how well they are, and the pods that have them."""

from slipway.kubernetes.observability import gpu_alerts
from slipway.kubernetes.observability.objectives import Promise
from slipway.kubernetes.observability.panel import Panel, Question
from slipway.kubernetes.observability.watched import Watched

_EACH = "{{node}} {{gpu}} {{namespace}}/{{pod}}"


def gpu_panels(service: Watched, promise: Promise) -> list[Panel]:
    """Those of a DCGM exporter."""
    which = service.which()
    busy = gpu_alerts.UTILIZATION
    used, free = service.which('pod!=""'), service.which('pod=""')

    def each(metric: str) -> list[Question]:
        return [Question(f"{metric}{which}", _EACH)]

    return [
        Panel(
            "GPUs of each pod",
            "Pods that have GPUs, and GPUs that no pod has.",
            [
                Question(f"count by (namespace, pod) ({busy}{used})", "{{namespace}}/{{pod}}"),
                Question(f"count({busy}{free})", "free"),
            ],
            "short",
        ),
        Panel("Utilization", "Share of time in which some kernel ran.", each(busy), "percent"),
        Panel("Tensor cores", "Share of cycles in which they worked.", each("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"), "percentunit"),
        Panel("Memory's interface", "Share of cycles in which it moved data.", each("DCGM_FI_PROF_DRAM_ACTIVE"), "percentunit"),
        Panel("Memory taken", "Share.", [Question(gpu_alerts.memory(service), _EACH)], "percentunit", gpu_alerts.FULL),
        Panel(
            "Temperature",
            f"The line: {promise.gpu_celsius:g} degrees, which is told.",
            each(gpu_alerts.TEMPERATURE),
            "celsius",
            promise.gpu_celsius,
        ),
        Panel("Power", "Drawn.", each("DCGM_FI_DEV_POWER_USAGE"), "watt"),
        Panel("Last XID", "Number of the last error; 0: none.", each(gpu_alerts.XID), "short"),
        Panel(
            "Rows of memory replaced",
            "For errors that could not be corrected, in a day.",
            [Question(f"increase({gpu_alerts.REMAPPED}{which}[1d])", _EACH)],
            "short",
        ),
    ]
