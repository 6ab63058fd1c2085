"""SGLang: its arguments, its caches on the volume, its probes.

Its image runs it as root by default. All that it writes follows from HOME and the variables below, so that it runs as any user.
"""

import math

from slipway.gpu_memory import OVERHEAD_GIB
from slipway.kubernetes.leader_worker_set import LEADER_ADDRESS, RENDEZVOUS_PORT, WORKER_INDEX
from slipway.kubernetes.model_engine import CACHE, PORT, Engine, EngineContainer, EngineMetrics, ServerSettings, http_get
from slipway.kubernetes.python_engine import ONE_TOKEN, environment, question
from slipway.kubernetes.restricted import USER
from slipway.sizing import Dtype, KvCacheDtype


def container(settings: ServerSettings) -> EngineContainer:
    """SGLang's part of the pod."""
    args = [
        "--model-path",
        settings.weights_path or settings.model,
        "--served-model-name",
        settings.served_name,
        "--host",
        "0.0.0.0",  # noqa: S104 -- in a pod, whose NetworkPolicy says who reaches it
        "--port",
        str(PORT),
        "--dtype",
        settings.dtype.value,
        "--tp-size",
        str(settings.tensor_parallel_size),
        "--pp-size",
        str(settings.pipeline_parallel_size),
        "--mem-fraction-static",
        f"{_static_share(settings):g}",
        "--enable-metrics",
    ]
    if settings.nodes > 1:
        args += ["--dist-init-addr", f"{LEADER_ADDRESS}:{RENDEZVOUS_PORT}"]
        args += ["--nnodes", str(settings.nodes), "--node-rank", WORKER_INDEX]
    if settings.revision:
        args += ["--revision", settings.revision]
    if settings.context_tokens:
        args += ["--context-length", str(settings.context_tokens)]
    if settings.parallel_requests:
        args += ["--max-running-requests", str(settings.parallel_requests)]
    if settings.adapters:
        args += ["--enable-lora", "--max-lora-rank", str(settings.max_lora_rank)]
        args += ["--max-loras-per-batch", str(len(settings.adapters) + 1)]
        args += ["--lora-paths", *(f"{a.name}={a.path}" for a in settings.adapters)]
    if settings.kv_cache_dtype is KvCacheDtype.FP8:
        # The other FP8, e4m3, needs scales that few checkpoints have.
        args += ["--kv-cache-dtype", "fp8_e5m2"]
    if list(settings.tasks) == ["embeddings"]:
        args.append("--is-embedding")
    return EngineContainer(
        command=["python3", "-m", "sglang.launch_server"],
        args=[*args, *settings.extra_args],
        env={
            **environment(settings),
            "FLASHINFER_WORKSPACE_BASE": CACHE,
            # By default /health asks the model for a token, and a busy server would be restarted for being busy.
            "SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION": "false",
        },
        startup={"exec_": {"command": ["python3", "-c", ONE_TOKEN, *question(settings)]}, "timeout_seconds": 30},
        readiness=http_get("/v1/models"),
        liveness=http_get("/health"),
        # On SIGTERM it ends its streams by itself, for as long as the grace period lets it.
        pre_stop={"sleep": {"seconds": settings.drain.pre_stop_seconds}},
    )


def _static_share(settings: ServerSettings) -> float:
    """SGLang's share is of weights and cache alone, without what the plan counts as overhead."""
    share = settings.gpu_memory_utilization - OVERHEAD_GIB / settings.gpu_memory_gib
    return math.floor(share * 1000) / 1000


_ADDRESS = f"the server always listens on port {PORT} of every interface"
_KEY = "a command line is no place for a secret"
_TLS = "probes and routers speak HTTP; 'mesh' encrypts"
_MODEL = "use 'model', or 'weights'"
_TENSOR = "use 'tensor_parallel_size'"
_PIPELINE = "use 'pipeline_parallel_size'"
_NODES = "use 'nodes'"

SGLANG = Engine(
    image="lmsysorg/sglang:v0.5.15",
    user=USER,
    on_gpus=True,
    own_arguments={
        "--model-path": _MODEL,
        "--model": _MODEL,
        "--served-model-name": "use 'served_name'",
        "--host": _ADDRESS,
        "--port": _ADDRESS,
        "--dtype": "use 'dtype'",
        "--tensor-parallel-size": _TENSOR,
        "--tp-size": _TENSOR,
        "--pipeline-parallel-size": _PIPELINE,
        "--pp-size": _PIPELINE,
        "--dist-init-addr": _NODES,
        "--nccl-init-addr": _NODES,
        "--nnodes": _NODES,
        "--node-rank": _NODES,
        "--context-length": "use 'context_tokens'",
        "--max-running-requests": "use 'parallel_requests'",
        "--mem-fraction-static": "use 'gpu_memory_utilization'",
        "--kv-cache-dtype": "use 'kv_cache_dtype'",
        "--revision": "use 'revision'",
        "--enable-lora": "use 'adapters'",
        "--lora-paths": "use 'adapters'",
        "--max-lora-rank": "use 'max_lora_rank'",
        "--max-loras-per-batch": "use 'adapters'",
        "--is-embedding": "use 'tasks'",
        "--enable-metrics": "it is on already",
        "--download-dir": f"weights always go to the volume, at {CACHE}",
        "--api-key": f"{_KEY}; 'allow_from' says who reaches the server, and keys are checked by the router",
        "--admin-api-key": f"{_KEY}; 'allow_from' says who reaches the server",
        "--ssl-keyfile": _TLS,
        "--ssl-keyfile-password": _TLS,
    },
    unused=("gguf",),
    tasks=("chat", "completions", "embeddings"),
    dtypes=tuple(Dtype),
    # SGLang, "Production Metrics".
    metrics=EngineMetrics("sglang:num_queue_reqs", "sglang:token_usage", "sglang:num_running_reqs"),
    container=container,
    # SGLang, "LoRA Serving": the OpenAI-compatible API.
    adapter_model="{model}:{adapter}",
)
