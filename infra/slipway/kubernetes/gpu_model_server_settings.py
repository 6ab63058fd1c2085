"""What a model server becomes: its arguments, checked together, with every default filled in and every number decided."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pulumi

from slipway import accelerators, sizing
from slipway.accelerators import Accelerator, AcceleratorError, GpuNodeLabels
from slipway.args import Faults, check_shape
from slipway.backend import SecretKeyRef
from slipway.kubernetes import gpu_model_server_checks as checks
from slipway.kubernetes import llama_cpp, quantity
from slipway.kubernetes.drain import PRE_STOP_SECONDS, Drain
from slipway.kubernetes.engines import ENGINES
from slipway.kubernetes.gpu_model_server_args import GgufArgs, GpuModelServerArgs, GpuToleration
from slipway.kubernetes.model_engine import Engine, Gguf, ModelEngine, ServerSettings
from slipway.kubernetes.network import PROMETHEUS, Peer
from slipway.kubernetes.quantity import ComputeResources
from slipway.sizing import Dtype, Weights

STARTUP_PERIOD_SECONDS = 10
IMAGE_AND_NODE_SECONDS = 1200
"""For what comes before the first instruction: a node with GPUs joins, and pulls an image of 10 GB and more."""
CPU_ENGINE_CPUS = 4

OURS: Peer = {"pod_labels": {"app.kubernetes.io/part-of": "slipway"}}

_GGUF_PART = re.compile(r"-[0-9]{5}-of-[0-9]{5}\.gguf$")
_GGUF_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]*(/[A-Za-z0-9][A-Za-z0-9._ -]*)*\.gguf")


@dataclass(frozen=True)
class GpuModelServerSettings:
    """A model server's arguments, decided."""

    kind: ModelEngine
    engine: Engine
    server: ServerSettings
    namespace: pulumi.Input[str]
    image: pulumi.Input[str]
    accelerator: Accelerator | None
    gpus: int
    node_selector: Mapping[str, str]
    tolerations: Sequence[GpuToleration]
    replicas: int
    requests: Mapping[str, str]
    limits: Mapping[str, str]
    shm_gib: int
    cache_gib: int
    storage_class: pulumi.Input[str] | None
    keep_cache: bool
    hub_token: pulumi.Input[str] | None
    hub_token_secret: SecretKeyRef | None
    ingress: Sequence[Peer]
    startup_seconds: int

    @property
    def startup_failures(self) -> int:
        """Failed startup probes after which a server is taken for dead."""
        return math.ceil(self.startup_seconds / STARTUP_PERIOD_SECONDS)

    @property
    def rollout_seconds(self) -> int:
        """Longest that a rollout may take: one server after the other is stopped, scheduled and started."""
        return max(1, self.replicas) * (self.server.drain.grace_seconds + IMAGE_AND_NODE_SECONDS + self.startup_seconds)

    @classmethod
    def of(cls, name: str, args: GpuModelServerArgs) -> "GpuModelServerSettings":
        """Check and decide.

        Raises:
            pulumi.InputPropertiesError: with every fault there is.
        """
        faults = Faults("GpuModelServer")
        given = check_shape(args, GpuModelServerArgs, faults)
        checks.only_plain(given, "", faults)
        checks.check_texts(name, given, faults)
        checks.check_numbers(given, faults)
        kind = given.get("engine", ModelEngine.VLLM)
        kind = kind if isinstance(kind, ModelEngine) else ModelEngine.VLLM
        engine = ENGINES[kind]
        checks.check_engine(kind, engine, given, faults)
        accelerator, gpus = _accelerator(kind, given, faults)
        tensor, pipeline = _parallel(gpus, given, faults)
        gguf = _gguf(given, faults) if kind is ModelEngine.LLAMA_CPP else None
        weights = Weights(gguf.size_bytes, gguf.file) if gguf else _weights(given, faults)
        if accelerator and weights:
            _check_fit(accelerator, gpus, weights, given, faults)
        # Of what was refused there is no size: any will do, since nothing is made of it.
        weights = weights or Weights(0, "unknown")
        context, parallel = given.get("context_tokens"), given.get("parallel_requests")
        shm = sizing.shm_gib(gpus)
        requests, limits = _resources(accelerator, gpus, weights, given, faults)
        cache = _cache(weights, given, faults)
        checks.check_keys(given, faults)
        faults.refuse(name)

        startup, _ = sizing.startup_seconds(
            weights,
            # An init container downloads for llama.cpp, before the server's time begins.
            download_mb_s=None if gguf or given.get("offline") else given.get("download_mb_per_second", sizing.DOWNLOAD_MB_S),
            load_mb_s=given.get("load_mb_per_second", sizing.LOAD_MB_S),
        )
        node_labels = given.get("node_labels", GpuNodeLabels.GPU_FEATURE_DISCOVERY)
        return cls(
            kind=kind,
            engine=engine,
            server=ServerSettings(
                model=given["model"],
                revision=given.get("revision"),
                served_name=given.get("served_name", given["model"]),
                dtype=given.get("dtype", Dtype.AUTO),
                weights=weights,
                context_tokens=context if context or kind is ModelEngine.VLLM else llama_cpp.CONTEXT_TOKENS,
                parallel_requests=parallel,
                tensor_parallel_size=tensor,
                pipeline_parallel_size=pipeline,
                drain=Drain(PRE_STOP_SECONDS, given.get("longest_stream_seconds", 900)),
                tasks=tuple(given.get("tasks", ("chat", "completions"))),
                hub_endpoint=given.get("hub_endpoint", checks.HUB),
                offline=given.get("offline", False),
                cpus=_threads(requests),
                gguf=gguf,
                extra_args=tuple(given.get("extra_args", ())),
            ),
            namespace=given["namespace"],
            image=given.get("image", engine.image),
            accelerator=accelerator,
            gpus=gpus,
            node_selector={**(accelerator.labels[node_labels] if accelerator else {}), **given.get("node_selector", {})},
            tolerations=tuple(given.get("tolerations", ())),
            replicas=given.get("replicas", 1),
            requests=requests,
            limits=limits,
            shm_gib=shm,
            cache_gib=cache,
            storage_class=given.get("storage_class"),
            keep_cache=given.get("keep_cache", False),
            hub_token=given.get("hub_token"),
            hub_token_secret=given.get("hub_token_secret"),
            ingress=(*given.get("allow_from", [OURS]), given.get("prometheus", PROMETHEUS)),
            startup_seconds=startup,
        )


def _accelerator(kind: ModelEngine, given: dict[str, Any], faults: Faults) -> tuple[Accelerator | None, int]:
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
    try:
        accelerator, gpus = accelerators.parse(text)
    except AcceleratorError as error:
        faults.add("accelerator", str(error))
        return None, 0
    labels = given.get("node_labels", GpuNodeLabels.GPU_FEATURE_DISCOVERY)
    if isinstance(labels, GpuNodeLabels) and labels not in accelerator.labels:
        choice = " or ".join(f"'{other.value}'" for other in accelerator.labels)
        faults.add("node_labels", f"is '{labels.value}', which has no label for {accelerator.name}; give {choice}")
    if given.get("dtype") is Dtype.BFLOAT16 and not accelerator.supports_bfloat16:
        faults.add(
            "dtype",
            f"is 'bfloat16', which needs compute capability 8.0, and {accelerator.title} has {accelerator.compute_capability}; "
            "give 'float16'",
        )
    return accelerator, gpus


def _parallel(gpus: int, given: dict[str, Any], faults: Faults) -> tuple[int, int]:
    pipeline, asked = given.get("pipeline_parallel_size", 1), given.get("tensor_parallel_size")
    wrong = any(faults.at(key) for key in ("accelerator", "pipeline_parallel_size", "tensor_parallel_size"))
    if wrong or not gpus:
        return 1, 1
    tensor = gpus // pipeline if asked is None else asked
    if tensor * pipeline != gpus:
        name = str(given["accelerator"]).partition(":")[0]
        if asked is None:
            faults.add(
                "pipeline_parallel_size",
                f"is {pipeline}, which does not divide {gpus} GPUs; give a divisor, or another accelerator",
            )
        else:
            faults.add(
                "tensor_parallel_size",
                f"is {tensor}: tensor parallel {tensor} x pipeline parallel {pipeline} = {tensor * pipeline} GPUs, "
                f"but '{given['accelerator']}' has {gpus}; "
                f"give accelerator '{name}:{tensor * pipeline}', or sizes that make {gpus}",
            )
    return tensor, pipeline


def _gguf(given: dict[str, Any], faults: Faults) -> Gguf | None:
    if "gguf" not in given:
        if not faults.at("gguf"):
            faults.add(
                "gguf", "is required with engine 'llama.cpp'; give 'file' and 'bytes' of a GGUF file in the model's repository"
            )
        return None
    if faults.at("gguf"):
        return None
    gguf: GgufArgs = given["gguf"]
    file, size, digest = gguf["file"], gguf["bytes"], gguf.get("sha256")
    if _GGUF_PART.search(file):
        faults.add(
            "gguf.file", f"is {file!r}, one part of several; give a file that is whole, or join the parts with llama-gguf-split"
        )
    elif not _GGUF_FILE.fullmatch(file):
        faults.add("gguf.file", f"is {file!r}; give the path of a '.gguf' file in the repository")
    if size < 1:
        faults.add("gguf.bytes", f"is {size}; give the file's exact size in bytes")
    if digest is not None and not re.fullmatch("[0-9a-f]{64}", digest):
        faults.add("gguf.sha256", f"is {digest!r}; give 64 hexadecimal digits in lower case")
    return None if faults.at("gguf") else Gguf(file, size, digest)


def _weights(given: dict[str, Any], faults: Faults) -> Weights | None:
    model, dtype = given.get("model"), given.get("dtype", Dtype.AUTO)
    if any(faults.at(key) for key in ("model", "dtype", "weight_bits", "model_parameters_billion", "gguf")):
        return None
    billion = given.get("model_parameters_billion") or sizing.parameters_billion(str(model))
    if billion is None:
        faults.add(
            "model_parameters_billion", f"is required: the name '{model}' does not tell how many there are; give them in 10^9"
        )
        return None
    asked = given.get("weight_bits")
    bits, source = (asked, "weight_bits") if asked else sizing.weight_bits(str(model), dtype)
    return Weights.of(billion, bits, source)


def _check_fit(accelerator: Accelerator, gpus: int, weights: Weights, given: dict[str, Any], faults: Faults) -> None:
    room = gpus * accelerator.memory_gib
    if weights.gib <= room:
        return
    needed = math.ceil(weights.gib / accelerator.memory_gib)
    faults.add(
        "accelerator",
        f"is '{given['accelerator']}' with {gpus} x {accelerator.memory_gib:g} GiB = {room:g} GiB of GPU memory, "
        f"and the weights alone take {weights.gib:.1f} GiB: {weights.words}. "
        f"Give at least {needed} GPUs of this kind, larger ones, or quantised weights; "
        "where this sum is wrong, 'model_parameters_billion' and 'weight_bits' set it right",
    )


def _resources(
    accelerator: Accelerator | None, gpus: int, weights: Weights, given: dict[str, Any], faults: Faults
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Requests and limits of the host, without the GPUs."""
    if accelerator:
        # No CPU limit: a throttled front end makes GPUs wait. The request is vLLM's least: a core for the front end, one for
        # the engine, one for each GPU (vLLM, "Optimization and Tuning", CPU resources for GPU deployments).
        cpus = 2 + gpus
        request, limit = sizing.host_memory_gib(gpus, accelerator.memory_gib, sizing.shm_gib(gpus))
    else:
        cpus = CPU_ENGINE_CPUS
        context, parallel = given.get("context_tokens"), given.get("parallel_requests")
        request = limit = sizing.cpu_memory_gib(
            weights,
            context if isinstance(context, int) else llama_cpp.CONTEXT_TOKENS,
            parallel if isinstance(parallel, int) else llama_cpp.PARALLEL_REQUESTS,
        )
    defaults: ComputeResources = {
        "requests": {"cpu": str(cpus), "memory": f"{request}Gi"},
        "limits": {"memory": f"{limit}Gi"},
    }
    if faults.at("resources"):
        return {}, {}
    resources: ComputeResources = given.get("resources", {})
    if "memory" in resources.get("requests", {}) and "memory" not in resources.get("limits", {}):
        # The default limit belongs to the default request.
        del defaults["limits"]
    filled = quantity.fill("resources", resources, defaults, faults)
    return cast("Mapping[str, str]", filled.get("requests", {})), cast("Mapping[str, str]", filled.get("limits", {}))


def _threads(requests: Mapping[str, str]) -> int:
    """Whole cores of the CPU request."""
    return max(1, math.floor(quantity.parse(requests["cpu"])))


def _cache(weights: Weights, given: dict[str, Any], faults: Faults) -> int:
    asked = given.get("cache_gib")
    if not isinstance(asked, int):
        return sizing.cache_gib(weights)
    if asked < weights.gib and not faults.at("cache_gib"):
        faults.add(
            "cache_gib",
            f"is {asked}, and the weights take {weights.gib:.1f} GiB ({weights.words}); "
            f"give {sizing.cache_gib(weights)}, which has room for a second revision, or leave it out",
        )
    return asked
