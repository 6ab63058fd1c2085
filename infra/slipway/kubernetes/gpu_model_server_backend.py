"""What a router is told of a model server that the server's own arguments know: nothing of it is written twice."""

from collections.abc import Sequence
from typing import Any

from slipway import model_shapes
from slipway.kubernetes.gpu_model_server_settings import GpuModelServerSettings
from slipway.kubernetes.model_engine import ModelEngine

DOMAIN = "kubernetes"
"""What fails together, coarsest first: the cluster, then the GPUs of a kind in it, which share node pool and quota."""


def known_facts(settings: GpuModelServerSettings, gpu_cost_per_hour: float | None) -> dict[str, Any]:
    """Fields of `slipway.backend.Backend`, by what the server was asked for.

    Args:
        settings: The server's.
        gpu_cost_per_hour: What one GPU, or the part of one that is asked for, costs in an hour.
    """
    server = settings.server
    known: dict[str, Any] = {"domain": f"{DOMAIN}/{settings.accelerator.name}" if settings.accelerator else DOMAIN}
    if server.context_tokens:
        known["context_tokens"] = server.context_tokens
    if server.parallel_requests:
        known["slots_per_replica"] = server.parallel_requests
    if settings.most_replicas:
        # One that is stopped ('replicas': 0) is woken by nobody.
        known |= {"min_replicas": settings.least_replicas, "max_replicas": settings.most_replicas}
    if settings.scaling and not settings.scaling.minimum:
        # The requests that meet none wake one, and the router fills in for so long.
        known["cold_start_seconds"] = float(settings.cold_start_seconds)
    if gpu_cost_per_hour is not None and settings.gpus:
        known["replica_cost_per_hour"] = round(gpu_cost_per_hour * settings.gpus * server.nodes, 6)
    abilities = abilities_of(settings.kind, server.model, server.extra_args)
    if abilities is not None:
        known["abilities"] = abilities
    return known


def abilities_of(engine: ModelEngine, model: str, extra_args: Sequence[str]) -> list[str] | None:
    """What an engine can with a model; None where nobody knows whether the model sees images.

    Of the models in `slipway.model_shapes` none does. vLLM calls tools where it is told how (vLLM, "Tool Calling":
    `--enable-auto-tool-choice` with `--tool-call-parser`), and so does SGLang (`--tool-call-parser`); both answer by a JSON
    schema and tell log probabilities without being told.
    """
    if engine not in (ModelEngine.VLLM, ModelEngine.SGLANG) or model_shapes.find(model) is None:
        return None
    words = {word.partition("=")[0] for word in extra_args}
    told_how = "--tool-call-parser" in words and (engine is ModelEngine.SGLANG or "--enable-auto-tool-choice" in words)
    return [*(["tools"] if told_how else []), "json_schema", "logprobs"]
