"""The GPUs of a model server: which, how many, how the model is split over them, and whether it fits."""

from typing import Any

from slipway import accelerators
from slipway.accelerators import Accelerator
from slipway.args import Faults
from slipway.gpu_memory import GpuMemory, on_nodes
from slipway.kubernetes.engines import ENGINES
from slipway.kubernetes.gpu_nodes import asked_gpus
from slipway.kubernetes.model_engine import ModelEngine
from slipway.model_shapes import ModelShape, find
from slipway.sizing import Dtype, KvCacheDtype, Weights

UTILIZATION = 0.9
"""Share of each GPU's memory that the engine may use; the rest is for the driver and for what is there beside the engine."""
SHAPE = ("layers", "kv_heads", "head_dim")
"""The arguments that tell a model's shape, together."""


def accelerator_of(kind: ModelEngine, given: dict[str, Any], faults: Faults) -> tuple[Accelerator | None, int]:
    """The GPU and how many of it; none for an engine on CPUs, and where what was asked for was refused."""
    text = given.get("accelerator")
    if not ENGINES[kind].on_gpus:
        if text is not None:
            faults.add(
                "accelerator", f"is {text!r}, but engine '{kind.value}' runs on CPUs here; leave it out, or use engine 'vllm'"
            )
        return None, 0
    if text is None:
        if not faults.at("accelerator"):
            faults.add("accelerator", f"is required with engine '{kind.value}'; give GPUs such as 'a100-80gb:4'")
        return None, 0
    if not isinstance(text, str):
        return None, 0
    asked = asked_gpus(text, given, faults)
    if asked is None:
        return None, 0
    accelerator, gpus = asked
    if given.get("dtype") is Dtype.BFLOAT16 and not accelerator.supports_bfloat16:
        faults.add(
            "dtype",
            f"is 'bfloat16', which needs compute capability 8.0, and {accelerator.title} has {accelerator.compute_capability}; "
            "give 'float16'",
        )
    if accelerator.part is not None and given.get("nodes", 1) != 1 and not faults.at("nodes"):
        faults.add(
            "nodes", f"is {given['nodes']}, and parts of GPUs such as '{text}' cannot work together; give whole GPUs, or 1"
        )
    if accelerator.part == accelerators.SHARED and "gpu_memory_utilization" not in given:
        faults.add(
            "gpu_memory_utilization",
            f"is required with '{text}': those who take turns on a GPU share its memory, and nothing keeps them apart; "
            "give this server's share",
        )
    return accelerator, gpus


def parallel(gpus: int, given: dict[str, Any], faults: Faults) -> tuple[int, int]:
    """Tensor and pipeline parallel sizes, which together must use every GPU of every node."""
    wrong = any(faults.at(key) for key in ("accelerator", "nodes", "pipeline_parallel_size", "tensor_parallel_size"))
    if wrong or not gpus:
        return 1, 1
    nodes, asked = given.get("nodes", 1), given.get("tensor_parallel_size")
    gpus *= nodes
    pipeline = given.get("pipeline_parallel_size")
    if pipeline is None:
        pipeline = 1 if nodes == 1 else nodes if asked is None else max(1, gpus // asked)
    tensor = gpus // pipeline if asked is None else asked
    if tensor * pipeline != gpus:
        name = str(given["accelerator"]).partition(":")[0]
        if asked is None:
            faults.add(
                "pipeline_parallel_size",
                f"is {pipeline}, which does not divide {gpus} GPUs; give a divisor, or another accelerator",
            )
        else:
            wider = f"accelerator '{name}:{tensor * pipeline}', or " if nodes == 1 else ""
            faults.add(
                "tensor_parallel_size",
                f"is {tensor}: tensor parallel {tensor} x pipeline parallel {pipeline} = {tensor * pipeline} GPUs, "
                f"but '{given['accelerator']}'{on_nodes(nodes)} has {gpus}; give {wider}sizes that make {gpus}",
            )
    return tensor, pipeline


def shape_of(kind: ModelEngine, given: dict[str, Any], faults: Faults) -> ModelShape | None:
    """The model's shape: as given, else by its name; `None` where neither tells."""
    told = [key for key in SHAPE if key in given]
    if told and len(told) < len(SHAPE):
        for key in SHAPE:
            if key not in given:
                faults.add(key, f"is required with '{told[0]}'; give all three from the model's config.json, or none")
    if any(faults.at(key) for key in (*SHAPE, "model")):
        return None
    if told:
        return ModelShape(source="as given", layers=given["layers"], kv_heads=given["kv_heads"], head_dim=given["head_dim"])
    # A model for embeddings keeps keys and values for one pass at most.
    embeds = kind is not ModelEngine.LLAMA_CPP and not faults.at("tasks") and "embeddings" in given.get("tasks", ())
    return None if embeds else find(str(given.get("model")))


def memory_of(
    accelerator: Accelerator,
    gpus: int,
    split: tuple[int, int],
    weights: Weights,
    shape: ModelShape | None,
    given: dict[str, Any],
    faults: Faults,
) -> GpuMemory | None:
    """How the GPUs' memory is shared out. What does not fit is told with its sum."""
    tensor, pipeline = split
    checked = ("nodes", "gpu_memory_utilization", "kv_cache_dtype", "dtype", "tensor_parallel_size", "pipeline_parallel_size")
    if any(faults.at(key) for key in checked):
        return None
    if shape:
        _check_heads(shape, tensor, faults)
        if pipeline > shape.layers:
            faults.add(
                "nodes" if "pipeline_parallel_size" not in given else "pipeline_parallel_size",
                f"makes {pipeline} pipeline stages of the model's {shape.layers} layers ({shape.source}); give fewer, "
                "or a larger tensor_parallel_size",
            )
    value = given.get("kv_cache_dtype", KvCacheDtype.AUTO).bits or given.get("dtype", Dtype.AUTO).bits
    memory = GpuMemory(
        asked=str(given["accelerator"]),
        nodes=given.get("nodes", 1),
        accelerator=accelerator,
        gpus=gpus,
        tensor=tensor,
        pipeline=pipeline,
        utilization=given.get("gpu_memory_utilization", UTILIZATION),
        weights=weights,
        shape=shape,
        kv_value_bytes=value // 8,
    )
    if too_heavy := memory.weights_fault():
        faults.add("accelerator", too_heavy)
    else:
        _check_cache(memory, given, faults)
    return memory


def _check_heads(shape: ModelShape, tensor: int, faults: Faults) -> None:
    if fault := shape.split_fault(tensor):
        faults.add("tensor_parallel_size", f"{fault}, and pipeline_parallel_size for the other GPUs")


def _check_cache(memory: GpuMemory, given: dict[str, Any], faults: Faults) -> None:
    asked = ("context_tokens", "parallel_requests", "tokens_per_request")
    if memory.shape is None or any(faults.at(key) for key in asked):
        return
    context, parallel = given.get("context_tokens"), given.get("parallel_requests")
    longest = context or memory.shape.context_tokens
    choice = "larger or more GPUs, quantised weights, or kv_cache_dtype 'fp8'"
    if longest and (short := memory.cache_fault(longest)):
        what = f"is {context:,}" if context else f"is left out, so it is the model's own {longest:,}"
        faults.add("context_tokens", f"{what}: {short}. Give at most {memory.tokens:,}, {choice}")
        return
    each = given.get("tokens_per_request", context)
    if parallel and each and (short := memory.cache_fault(parallel * each)):
        most = (memory.tokens or 0) // each
        faults.add(
            "parallel_requests",
            f"is {parallel:,}, with {each:,} tokens each: {short}. "
            f"Give at most {most:,}; or 'tokens_per_request', where requests are shorter than that; or {choice}",
        )
