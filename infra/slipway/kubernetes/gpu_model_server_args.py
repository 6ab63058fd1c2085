"""What can be said about a model server."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NotRequired, TypedDict

import pulumi

from slipway.accelerators import GpuNodeLabels
from slipway.backend import SecretKeyRef
from slipway.kubernetes.gpu_nodes import GpuToleration
from slipway.kubernetes.identity import WorkloadIdentity
from slipway.kubernetes.lora import LoraAdapter
from slipway.kubernetes.mesh_pods import MeshSidecar
from slipway.kubernetes.model_engine import ModelEngine
from slipway.kubernetes.model_scaling import ModelScaling
from slipway.kubernetes.network import Peer
from slipway.kubernetes.quantity import ComputeResources
from slipway.kubernetes.spot import SpotServers
from slipway.kubernetes.weights_source import WeightsArgs
from slipway.sizing import Dtype, KvCacheDtype


class GgufArgs(TypedDict):
    """A GGUF file in the model's repository on the hub."""

    file: str
    """Its path in the repository, such as `qwen2.5-1.5b-instruct-q4_k_m.gguf`. One file, not a part of several."""
    bytes: int
    """Its exact size in bytes, as the hub shows it. Memory, volume and startup budget come from it."""
    sha256: NotRequired[str]
    """Its SHA-256 in hexadecimal, as the hub shows it. Default: only the size is compared."""


class Rollout(StrEnum):
    """What a new version does first."""

    RESOURCE_AWARE = "resource-aware"
    """It stops a server, then starts the new one with the same GPUs and the same volume. A StatefulSet."""
    AVAILABILITY = "availability"
    """It starts a server, then stops an old one. A Deployment."""


class GpuModelServerArgs(TypedDict):
    """What only says `pulumi.Input` may come from other resources. All else must be plain: the plan is checked with it."""

    model: str
    """Repository on the model hub, such as `meta-llama/Llama-3.3-70B-Instruct`; on GPUs also a path in the image."""
    namespace: pulumi.Input[str]
    """Namespace to run in. It must exist."""
    accelerator: NotRequired[str]
    """GPUs of one replica, as name and number from the accelerator catalogue, such as `a100-80gb:4`. `a100-80gb/3g.40gb` is
    a slice of one (MIG), `l4/shared` a turn on one (time slicing). Required with every engine but 'llama.cpp', which takes
    none."""
    nodes: NotRequired[int]
    """Nodes that each server spans, with the GPUs of `accelerator` on each: a group of pods of a LeaderWorkerSet, whose
    controller (version 0.8 or newer) must be in the cluster. Default 1. 'vllm' and 'sglang' only. Excludes `spot`, `mesh`."""
    engine: NotRequired[ModelEngine]
    """'vllm', 'sglang', 'tgi' or 'triton' on GPUs, or 'llama.cpp' on CPUs. Default 'vllm'."""
    image: NotRequired[pulumi.Input[str]]
    """Image of the engine, by version or digest. Default: the engine's official one, pinned by version."""
    revision: NotRequired[str]
    """Git revision of the weights, best a commit. Default: the newest at each download. Excludes `weights`. Not with
    'triton', where `weights` pins them."""
    weights: NotRequired[WeightsArgs]
    """Where the weights come from: the hub at one commit, a bucket, an image or a volume. They are there and checked before the
    server starts, which then needs no network. Default: the engine fetches `model` from the hub. GPUs only."""
    served_name: NotRequired[str]
    """The model's name in the API. Default: `model`; with 'triton', where it is a folder's name, its last part. Not with 'tgi',
    which answers to every name."""
    tasks: NotRequired[Sequence[str]]
    """What it is for: 'chat', 'completions', 'embeddings'. Default: the first two. A model for embeddings does nothing else."""
    dtype: NotRequired[Dtype]
    """What the GPUs compute in: 'auto', 'bfloat16', 'float16' or 'float32'. Default 'auto': as the checkpoint says.
    'tgi' does not compute in 'float32'."""
    context_tokens: NotRequired[int]
    """Most tokens of prompt and answer together. Default: the model's own on GPUs, 4096 with llama.cpp."""
    parallel_requests: NotRequired[int]
    """Most requests that are answered at a time, the others wait. Default: the engine's own, 2 with llama.cpp."""
    tokens_per_request: NotRequired[int]
    """Tokens of prompt and answer that a request has on average, for the check whether `parallel_requests` of them fit the GPUs'
    memory. Goes with `parallel_requests`. Default: `context_tokens`, the worst case."""
    gpu_memory_utilization: NotRequired[float]
    """Share of each GPU's memory that the engine may use, above 0 to 1. Default 0.9; required with a shared GPU. GPUs only."""
    kv_cache_dtype: NotRequired[KvCacheDtype]
    """What keys and values are kept in: 'auto' (as `dtype`) or 'fp8', half of 16 bits at some loss. Default 'auto'. GPUs only."""
    tensor_parallel_size: NotRequired[int]
    """GPUs that share each layer. Times `pipeline_parallel_size` it must be all of them. Default: what that leaves. GPUs only."""
    pipeline_parallel_size: NotRequired[int]
    """Groups of GPUs that share the layers among them. Default: `nodes`, so that what GPUs tell each other most stays on a node.
    Not with 'tgi'."""
    extra_args: NotRequired[Sequence[str]]
    """More arguments of the engine, with 'triton' of its frontend, each word an entry. Those that the component sets itself are
    refused."""
    model_parameters_billion: NotRequired[float]
    """Parameters of the model, in 10^9. Default: as `slipway.model_shapes` has it, else by its name
    (`70B`); required where neither tells. GPUs only."""
    weight_bits: NotRequired[int]
    """Bits of one stored weight: 4, 8, 16 or 32. Default: by the model's name where that says AWQ, FP8 and such, else by `dtype`.
    GPUs only."""
    adapters: NotRequired[Sequence[LoraAdapter]]
    """LoRA adapters, each served under a name of its own beside the model: `backend(adapter=NAME)` is one. Loaded or
    mounted before the server starts. Their memory is not part of the check whether the model fits. Not with 'tgi' and
    'llama.cpp'. Default none."""
    max_lora_rank: NotRequired[int]
    """Largest rank of the adapters: 8, 16, 32, 64, 128 or 256. Default 16. Goes with `adapters`."""
    layers: NotRequired[int]
    """The model's `num_hidden_layers`, for the check whether its key-value cache fits. Goes with `kv_heads` and `head_dim`.
    Default: by the model's name, where `slipway.model_shapes` has it; else only the weights are checked."""
    kv_heads: NotRequired[int]
    """The model's `num_key_value_heads`. Goes with `layers`."""
    head_dim: NotRequired[int]
    """The model's `head_dim`, or `hidden_size` / `num_attention_heads`. Goes with `layers`."""
    gguf: NotRequired[GgufArgs]
    """The file to serve. Required with engine 'llama.cpp', refused with the others."""
    replicas: NotRequired[int]
    """Servers, each with its own GPUs and its own copy of the weights. 0 frees the GPUs and keeps the volumes. Default 1.
    Excludes `scaling`."""
    mesh: NotRequired[MeshSidecar]
    """Have the pods join a service mesh: its sidecar comes first and goes last. A ServiceMesh then says the policy.
    Default: none."""
    scaling: NotRequired[ModelScaling]
    """As many servers as the load asks for, in place of `replicas`, which it excludes. Default: a fixed number."""
    rollout: NotRequired[Rollout]
    """What a new version does first. 'resource-aware' stops a server before it starts the next, and needs no spare GPU; a single
    replica is away meanwhile. 'availability' starts one more before it stops one: the GPUs of one more server must be free, or
    the rollout waits for them until it fails. Each server then begins with an empty volume of its own, so that weights come
    best from a shared volume, an image or a claim (`weights`). Default 'resource-aware'."""
    spot: NotRequired[SpotServers]
    """Runs all but a floor of the `replicas` on spot nodes, as a workload of their own. What the cloud takes back ends within its
    notice of 30 to 120 seconds, longer answers with it. Excludes `scaling`. Default: nodes as they come."""
    longest_stream_seconds: NotRequired[int]
    """Longest answer that is let finish when a server is stopped, in seconds. The grace period comes from it. Default 900."""
    resources: NotRequired[ComputeResources]
    """CPU and memory of the host. Default: from GPUs and weights, see `slipway.sizing`."""
    cache_gib: NotRequired[int]
    """Volume of each server for weights and compiled kernels, in GiB. Default: twice the weights and 10. A change replaces the
    server: Kubernetes takes no change of a StatefulSet's volumes."""
    storage_class: NotRequired[pulumi.Input[str]]
    """Storage class of these volumes. Default: the cluster's. A change replaces the server."""
    keep_cache: NotRequired[bool]
    """Whether the volumes outlive the server. Default false: what is in them can be downloaded again."""
    hub_token: NotRequired[pulumi.Input[str]]
    """Token for gated models, kept as a secret. Excludes `hub_token_secret`."""
    hub_token_secret: NotRequired[SecretKeyRef]
    """A Secret in the same namespace that has the token. Excludes `hub_token`."""
    hub_endpoint: NotRequired[str]
    """Address of the model hub or its mirror, without a path. Its port is the one way out. Default: Hugging Face's."""
    offline: NotRequired[bool]
    """Whether the server may connect to nothing: the weights are in the image or on its volume already. Default false."""
    allow_from: NotRequired[Sequence[Peer]]
    """Who may connect, beside `prometheus`. Default: the pods that this library runs in the same namespace, routers among them.
    `[]`: nobody."""
    identity: NotRequired[WorkloadIdentity]
    """Who the pods are to their cloud, for weights from a bucket. Default: nobody, beyond what others gave the ServiceAccount."""
    prometheus: NotRequired[Peer]
    """Which Prometheus may connect, to read metrics. Default: pods labelled `app.kubernetes.io/name: prometheus` in the
    namespace `monitoring`."""
    node_labels: NotRequired[GpuNodeLabels]
    """By which label GPU nodes are chosen: 'gpu-feature-discovery', 'gke', 'karpenter', 'eks-auto' or 'aks'.
    Default: the first."""
    node_selector: NotRequired[Mapping[str, str]]
    """More labels that a node must have."""
    tolerations: NotRequired[Sequence[GpuToleration]]
    """More taints to tolerate, beside `nvidia.com/gpu`."""
    download_mb_per_second: NotRequired[float]
    """Rate from hub to volume for the startup budget, in MB/s. Default 100. GPUs only: llama.cpp starts after the download."""
    load_mb_per_second: NotRequired[float]
    """Rate from volume to memory for the startup budget, in MB/s. Default 500."""
