"""What an engine must tell a model server, and what it is told: the joint at which engines are exchanged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

import pulumi_kubernetes as k8s

from slipway.kubernetes.drain import Drain
from slipway.sizing import Dtype, KvCacheDtype, Weights

PORT = 8000
"""Where every engine listens."""
CACHE = "/model-cache"
"""Where the volume for weights and compiled kernels is mounted."""


class ModelEngine(StrEnum):
    """What serves the model."""

    VLLM = "vllm"
    """vLLM's OpenAI-compatible server, on GPUs."""
    SGLANG = "sglang"
    """SGLang's OpenAI-compatible server, on GPUs."""
    TGI = "tgi"
    """Hugging Face's Text Generation Inference, on GPUs."""
    TRITON = "triton"
    """NVIDIA's Triton Inference Server with its vLLM backend and its OpenAI-compatible frontend, on GPUs."""
    LLAMA_CPP = "llama.cpp"
    """llama.cpp's OpenAI-compatible server, on CPUs, with weights in one GGUF file."""


@dataclass(frozen=True)
class Gguf:
    """A GGUF file, checked."""

    file: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter, on the volume when the engine starts."""

    name: str
    path: str


@dataclass(frozen=True)
class ServerSettings:
    """What an engine is told, checked and with every default filled in."""

    model: str
    revision: str | None
    served_name: str
    dtype: Dtype
    weights: Weights
    context_tokens: int | None
    parallel_requests: int | None
    tensor_parallel_size: int
    pipeline_parallel_size: int
    nodes: int
    """Pods that are one server."""
    drain: Drain
    tasks: Sequence[str]
    hub_endpoint: str
    offline: bool
    weights_path: str | None
    """Folder in which the weights are found; `None`: the engine fetches `model` itself."""
    cpus: int
    gguf: Gguf | None
    gpu_memory_utilization: float
    gpu_memory_gib: float
    """Memory of one GPU as the engine finds it, in GiB; 0 on CPUs."""
    kv_cache_dtype: KvCacheDtype
    adapters: Sequence[Adapter]
    max_lora_rank: int
    extra_args: Sequence[str]


@dataclass(frozen=True)
class EngineContainer:
    """The part of a pod's manifest that is the engine's own."""

    command: Sequence[str]
    args: Sequence[str]
    env: Mapping[str, str]
    startup: k8s.core.v1.ProbeArgsDict
    """How to ask whether the model has answered once. Period and threshold come from the startup budget."""
    readiness: k8s.core.v1.ProbeArgsDict
    """How to ask for the model."""
    liveness: k8s.core.v1.ProbeArgsDict
    """How to ask for the process; must not wait for the model."""
    pre_stop: k8s.core.v1.LifecycleHandlerArgsDict
    """What happens before SIGTERM."""
    worker_args: Sequence[str] = ()
    """More arguments of the pods beside the first, where several are one server."""
    loader: Sequence[str] = ()
    """Command of the init container that puts the weights on the volume; empty where the engine does it."""
    loader_env: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class EngineMetrics:
    """What an engine calls the metrics by which servers are scaled, at `/metrics`."""

    waiting_requests: str | None = None
    """Requests in the queue, a gauge; `None` where it tells none."""
    kv_cache_usage: str | None = None
    """Use of the key-value cache, a gauge from 0 to 1; `None` where it tells none."""
    running_requests: str | None = None
    """Requests that are being answered, a gauge."""
    busy_seconds: str | None = None
    """Where there is no such gauge: seconds that all answers took, a counter. Its rate is how many are under way on average
    (Little's law)."""
    from_start: str | None = None
    """A metric that is there as soon as the engine answers, where the others come with the first request and are 0 until then."""


@dataclass(frozen=True)
class Engine:
    """One engine."""

    image: str
    """Its official image, by version."""
    user: int
    """Whom it runs as, in this image."""
    on_gpus: bool
    """Whether it needs an accelerator; one that does not, takes none."""
    own_arguments: Mapping[str, str]
    """Arguments that the component sets itself, by what to do instead."""
    unused: Sequence[str]
    """Arguments of the component that mean nothing to it, and are refused."""
    tasks: Sequence[str]
    """What it can be for."""
    dtypes: Sequence[Dtype]
    """What it can compute in."""
    metrics: EngineMetrics
    container: Callable[[ServerSettings], EngineContainer]
    whole_names: Sequence[str] = ()
    """Its arguments whose names begin like one of `own_arguments`, and yet are not short for it."""
    name_is_a_folder: bool = False
    """Whether the model's name in the API is a folder's, without a slash; by default it is the last part of `model`."""
    adapter_model: str = "{adapter}"
    """What clients call an adapter: its name, and `{model}` for that of the model it changes."""


def hub_port(endpoint: str) -> int:
    """TCP port of a hub's address."""
    address = urlsplit(endpoint)
    return address.port or (80 if address.scheme == "http" else 443)


def http_get(path: str) -> k8s.core.v1.ProbeArgsDict:
    """A probe that asks for a page of the server."""
    return {"http_get": {"path": path, "port": "http"}}
