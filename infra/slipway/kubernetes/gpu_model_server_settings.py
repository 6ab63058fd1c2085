"""What a model server becomes: its arguments, checked together, with every default filled in and every number decided."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pulumi

from slipway import sizing
from slipway.accelerators import Accelerator, GpuNodeLabels
from slipway.args import Faults, check_shape
from slipway.backend import Egress, SecretKeyRef
from slipway.gpu_memory import GpuMemory
from slipway.kubernetes import gpu_model_server_checks as checks
from slipway.kubernetes import llama_cpp, quantity
from slipway.kubernetes.drain import PRE_STOP_SECONDS, Drain
from slipway.kubernetes.engines import ENGINES
from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs, Rollout
from slipway.kubernetes.gpu_model_server_gpus import UTILIZATION, accelerator_of, memory_of, parallel, shape_of
from slipway.kubernetes.gpu_model_server_weights import cache_gib, gguf_of, loading_seconds, startup_seconds, weights_of
from slipway.kubernetes.gpu_nodes import GpuToleration
from slipway.kubernetes.identity import WorkloadIdentity
from slipway.kubernetes.lora import AdapterSource, adapters_of
from slipway.kubernetes.mesh_pods import MeshSidecar, check_sidecar
from slipway.kubernetes.model_engine import Engine, ModelEngine, ServerSettings, hub_port
from slipway.kubernetes.model_scaler import Keeper
from slipway.kubernetes.model_scaling import ScalingRange
from slipway.kubernetes.network import OURS, PROMETHEUS, Peer, anywhere
from slipway.kubernetes.quantity import ComputeResources
from slipway.kubernetes.spot import SpotServers
from slipway.kubernetes.weights_source import WeightsSource
from slipway.model_shapes import ModelShape
from slipway.sizing import Dtype, KvCacheDtype, Weights

STARTUP_PERIOD_SECONDS = 10
IMAGE_AND_NODE_SECONDS = 1200
"""For what comes before the first instruction: a node with GPUs joins, and pulls an image of 10 GB and more."""
CPU_ENGINE_CPUS = 4


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
    """GPUs of one pod."""
    gpu_resource: str
    """What pods ask Kubernetes for to get them."""
    memory: GpuMemory | None
    """How the GPUs' memory is shared out; `None` on CPUs."""
    node_selector: Mapping[str, str]
    tolerations: Sequence[GpuToleration]
    replicas: int | None
    """Their fixed number; `None`: `scaling` sets it."""
    scaling: ScalingRange | None
    rollout: Rollout
    spot: SpotServers | None
    requests: Mapping[str, str]
    limits: Mapping[str, str]
    shm_gib: int
    cache_gib: int
    storage_class: pulumi.Input[str] | None
    keep_cache: bool
    hub_token: pulumi.Input[str] | None
    hub_token_secret: SecretKeyRef | None
    ingress: Sequence[Peer]
    egress: Sequence[Egress]
    """Where the pods must be able to connect, beside DNS. Empty: nowhere, not even to DNS."""
    source: WeightsSource | None
    """Where the weights come from; `None`: the engine, or its own loader, fetches them."""
    adapters: Sequence[AdapterSource]
    loading_seconds: int
    """How long an init container may load from `source`, in seconds."""
    identity: WorkloadIdentity | None
    mesh: MeshSidecar | None
    startup_seconds: int
    startup_words: str

    @property
    def keeper(self) -> Keeper:
        """What keeps its pods."""
        if self.server.nodes > 1:
            return Keeper.LEADER_WORKER_SET
        return Keeper.DEPLOYMENT if self.rollout is Rollout.AVAILABILITY else Keeper.STATEFUL_SET

    @property
    def startup_failures(self) -> int:
        """Failed startup probes after which a server is taken for dead. A leader waits for its workers' nodes too."""
        waits = self.cold_start_seconds if self.server.nodes > 1 else self.startup_seconds
        return math.ceil(waits / STARTUP_PERIOD_SECONDS)

    @property
    def most_replicas(self) -> int:
        """Most servers that there can be at a time."""
        return self.scaling.maximum if self.scaling else self.replicas or 0

    @property
    def least_replicas(self) -> int:
        """Fewest servers that there can be."""
        return self.scaling.minimum if self.scaling else self.replicas or 0

    @property
    def cold_start_seconds(self) -> int:
        """Longest that one server may take until it answers, from nothing: node, image, weights, start."""
        return IMAGE_AND_NODE_SECONDS + self.loading_seconds + self.startup_seconds

    @property
    def rollout_seconds(self) -> int:
        """Longest that a rollout may take: one server after the other is stopped, scheduled and started."""
        return max(1, self.most_replicas) * self.server_seconds

    @property
    def server_seconds(self) -> int:
        """Longest that one server may take to be stopped, scheduled and started."""
        return self.server.drain.grace_seconds + self.cold_start_seconds

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
        accelerator, gpus = accelerator_of(kind, given, faults)
        nodes = 1 if faults.at("nodes") else given.get("nodes", 1)
        split = tensor, pipeline = parallel(gpus, given, faults)
        gguf = gguf_of(given, faults) if kind is ModelEngine.LLAMA_CPP else None
        weights = Weights(gguf.size_bytes, gguf.file) if gguf else weights_of(given, faults)
        shape = shape_of(kind, given, faults)
        memory = memory_of(accelerator, gpus * nodes, split, weights, shape, given, faults) if accelerator and weights else None
        # Of what was refused there is no size: any will do, since nothing is made of it.
        weights = weights or Weights(0, "unknown")
        context, at_once = given.get("context_tokens"), given.get("parallel_requests")
        shm = sizing.shm_gib(gpus)
        requests, limits = _resources(accelerator, gpus, weights, shape, given, faults)
        source = WeightsSource.of(given["weights"], faults) if "weights" in given else None
        adapters = adapters_of(served_name(engine, given), given, faults)
        cache = cache_gib(weights, source, given, faults)
        checks.check_keys(given, faults)
        checks.check_source(source, adapters, given, faults)
        startup, startup_words = startup_seconds(
            weights, given, downloads=not (gguf or source or given.get("offline")), faults=faults
        )
        scaling = None
        if "scaling" in given:
            scaling = ScalingRange.of(given["scaling"], engine.metrics, startup, faults)
        check_sidecar("mesh", given.get("mesh"), faults)
        if "mesh" in given and given.get("nodes", 1) != 1:
            faults.add(
                "mesh",
                "cannot go with 'nodes': what GPUs of several nodes tell each other would go through the sidecars; leave one out",
            )
        faults.refuse(name)

        node_labels = given.get("node_labels", GpuNodeLabels.GPU_FEATURE_DISCOVERY)
        return cls(
            kind=kind,
            engine=engine,
            server=ServerSettings(
                model=given["model"],
                revision=given.get("revision"),
                served_name=served_name(engine, given),
                dtype=given.get("dtype", Dtype.AUTO),
                weights=weights,
                context_tokens=context if context or engine.on_gpus else llama_cpp.CONTEXT_TOKENS,
                parallel_requests=at_once,
                tensor_parallel_size=tensor,
                pipeline_parallel_size=pipeline,
                nodes=nodes,
                drain=Drain(PRE_STOP_SECONDS, given.get("longest_stream_seconds", 900)),
                tasks=tuple(given.get("tasks", ("chat", "completions"))),
                hub_endpoint=given.get("hub_endpoint", checks.HUB),
                offline=source is not None or given.get("offline", False),
                weights_path=source.target if source else None,
                cpus=_threads(requests),
                gguf=gguf,
                gpu_memory_utilization=given.get("gpu_memory_utilization", UTILIZATION),
                gpu_memory_gib=accelerator.driver_memory_gib if accelerator else 0,
                kv_cache_dtype=given.get("kv_cache_dtype", KvCacheDtype.AUTO),
                adapters=tuple(a.adapter for a in adapters),
                max_lora_rank=given.get("max_lora_rank", 16),
                extra_args=tuple(given.get("extra_args", ())),
            ),
            namespace=given["namespace"],
            image=given.get("image", engine.image),
            accelerator=accelerator,
            gpus=gpus,
            gpu_resource=accelerator.resource(node_labels) if accelerator else "",
            memory=memory,
            node_selector={**(accelerator.labels[node_labels] if accelerator else {}), **given.get("node_selector", {})},
            tolerations=tuple(given.get("tolerations", ())),
            replicas=None if scaling else given.get("replicas", 1),
            scaling=scaling,
            spot=given.get("spot"),
            rollout=given.get("rollout", Rollout.RESOURCE_AWARE),
            requests=requests,
            limits=limits,
            shm_gib=shm,
            cache_gib=cache,
            storage_class=given.get("storage_class"),
            keep_cache=given.get("keep_cache", False),
            hub_token=given.get("hub_token"),
            hub_token_secret=given.get("hub_token_secret"),
            ingress=(*given.get("allow_from", [OURS]), given.get("prometheus", PROMETHEUS)),
            egress=_egress(source, adapters, given),
            source=source,
            adapters=adapters,
            loading_seconds=loading_seconds(weights, source, given),
            identity=given.get("identity"),
            mesh=given.get("mesh"),
            startup_seconds=startup,
            startup_words=startup_words,
        )


def served_name(engine: Engine, given: Mapping[str, Any]) -> str:
    """The model's name in the API, where none was asked for by the model's own."""
    model = str(given.get("model"))
    return given.get("served_name", model.rstrip("/").rsplit("/", 1)[-1] if engine.name_is_a_folder else model)


def _resources(
    accelerator: Accelerator | None,
    gpus: int,
    weights: Weights,
    shape: ModelShape | None,
    given: dict[str, Any],
    faults: Faults,
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
            shape.kv_bytes_per_token(llama_cpp.KV_VALUE_BYTES) if shape else sizing.KV_BYTES_PER_TOKEN,
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


def _egress(source: WeightsSource | None, adapters: Sequence[AdapterSource], given: dict[str, Any]) -> list[Egress]:
    port, identity = hub_port(given.get("hub_endpoint", checks.HUB)), given.get("identity")
    ways = source.egress(port, identity) if source else [] if given.get("offline") else anywhere(port)
    for adapter in adapters:
        ways += [way for way in adapter.source.egress(port, identity) if way not in ways]
    return ways


def _threads(requests: Mapping[str, str]) -> int:
    """Whole cores of the CPU request."""
    return max(1, math.floor(quantity.parse(requests["cpu"])))
