"""What was decided for a model server, in words."""

from slipway.accelerators import SHARED
from slipway.gpu_memory import on_nodes
from slipway.kubernetes.gpu_model_server_settings import IMAGE_AND_NODE_SECONDS, GpuModelServerSettings
from slipway.kubernetes.spot import spot_words


def explain(settings: GpuModelServerSettings) -> str:
    """How the server's memory is shared out, how long it may take to start and to stop: one line for each, with its sum."""
    server, drain = settings.server, settings.server.drain
    lines = [f"{server.model} on {settings.kind.value}"]
    memory = settings.memory
    if memory:
        split = f"tensor parallel {server.tensor_parallel_size} x pipeline parallel {server.pipeline_parallel_size}"
        lines[0] += f", {memory.gpus} x {memory.accelerator.title}{on_nodes(memory.nodes)} ({split})"
        lines += memory.words()
        if memory.accelerator.part == SHARED:
            lines.append(
                f"  a shared GPU: the other {1 - memory.utilization:.0%} are for those it takes turns with, and nothing holds"
                " anybody to that; who takes more makes others fail"
            )
        if memory.tokens is not None and server.context_tokens:
            lines.append(f"  that is {memory.tokens // server.context_tokens:,} requests of {server.context_tokens:,} tokens")
    else:
        lines.append(f"memory: {settings.limits.get('memory')} for weights of {server.weights.gib:.1f} GiB and their cache")
    if source := settings.source:
        how = "mounted" if not source.loads else "loaded once, for all" if source.shared_volume else "loaded by each server"
        pinned = f", pinned by {source.version}" if source.version else ""
        lines.append(f"weights: {source.scheme}://{source.place}{pinned}, {how}, at {source.target}")
    if settings.spot and settings.replicas:
        lines.append(spot_words(settings.replicas, settings.spot))
    lines += [
        f"start: {settings.startup_words}, beside {IMAGE_AND_NODE_SECONDS} s for a node and the image",
        (
            f"stop: {drain.pre_stop_seconds} s until it is left out + {drain.stream_seconds} s for the longest answer, "
            f"killed after {drain.grace_seconds} s"
        ),
    ]
    return "\n".join(lines)
