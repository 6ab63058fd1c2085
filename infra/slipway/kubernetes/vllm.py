"""vLLM: its arguments, its caches on the volume, its probes."""

from slipway.kubernetes.leader_worker_set import LEADER_ADDRESS, RENDEZVOUS_PORT, WORKER_INDEX
from slipway.kubernetes.model_engine import CACHE, PORT, Engine, EngineContainer, EngineMetrics, ServerSettings, http_get
from slipway.kubernetes.python_engine import ONE_TOKEN, environment, question
from slipway.sizing import Dtype, KvCacheDtype

LEAST_BATCH_TOKENS = 2048
"""vLLM's least default of `max_num_batched_tokens`: of an A100, and of what has less than 70 GiB (`EngineArgs`)."""


def batch_tokens(settings: ServerSettings) -> int | None:
    """Most tokens that are computed at a time, where vLLM's own default might be below the requests, which it refuses."""
    requests = settings.parallel_requests or 0
    return max(requests, 4 * LEAST_BATCH_TOKENS) if requests > LEAST_BATCH_TOKENS else None


def container(settings: ServerSettings) -> EngineContainer:
    """vLLM's part of the pod."""
    args = [
        settings.weights_path or settings.model,
        "--served-model-name",
        settings.served_name,
        "--host",
        "0.0.0.0",  # noqa: S104 -- in a pod, whose NetworkPolicy says who reaches it
        "--port",
        str(PORT),
        "--dtype",
        settings.dtype.value,
        "--tensor-parallel-size",
        str(settings.tensor_parallel_size),
        "--pipeline-parallel-size",
        str(settings.pipeline_parallel_size),
        # Said, so that it is what the plan was checked with.
        "--gpu-memory-utilization",
        f"{settings.gpu_memory_utilization:g}",
        # Default 0: SIGTERM would cut every stream at once.
        "--shutdown-timeout",
        str(settings.drain.stream_seconds),
    ]
    if settings.nodes > 1:
        args += ["--distributed-executor-backend", "mp", "--nnodes", str(settings.nodes), "--node-rank", WORKER_INDEX]
        args += ["--master-addr", LEADER_ADDRESS, "--master-port", str(RENDEZVOUS_PORT)]
    if settings.revision:
        # A tokenizer of another revision than the weights would be another model.
        args += ["--revision", settings.revision, "--tokenizer-revision", settings.revision]
    if settings.context_tokens:
        args += ["--max-model-len", str(settings.context_tokens)]
    if settings.parallel_requests:
        args += ["--max-num-seqs", str(settings.parallel_requests)]
    if tokens := batch_tokens(settings):
        args += ["--max-num-batched-tokens", str(tokens)]
    if settings.adapters:
        args += ["--enable-lora", "--max-lora-rank", str(settings.max_lora_rank), "--max-loras", str(len(settings.adapters))]
        args += ["--lora-modules", *(f"{a.name}={a.path}" for a in settings.adapters)]
    if settings.kv_cache_dtype is not KvCacheDtype.AUTO:
        args += ["--kv-cache-dtype", settings.kv_cache_dtype.value]
    return EngineContainer(
        command=["vllm", "serve"],
        args=[*args, *settings.extra_args],
        env={**environment(settings), "VLLM_CACHE_ROOT": f"{CACHE}/vllm", "VLLM_NO_USAGE_STATS": "1"},
        startup={"exec_": {"command": ["python3", "-c", ONE_TOKEN, *question(settings)]}, "timeout_seconds": 30},
        readiness=http_get("/v1/models"),
        liveness=http_get("/health"),
        pre_stop={"sleep": {"seconds": settings.drain.pre_stop_seconds}},
        worker_args=["--headless"],
    )


_ADDRESS = f"the server always listens on port {PORT} of every interface"
_KEY = "a command line is no place for a secret"
_NODES = "use 'nodes'"

VLLM = Engine(
    # The default build needs NVIDIA's driver 580 or newer (CUDA 13); for older ones there is the tag v0.30.0-cu129.
    image="vllm/vllm-openai:v0.30.0",
    # The user `vllm` of the image.
    user=2000,
    on_gpus=True,
    own_arguments={
        "--model": "use 'model'",
        "--served-model-name": "use 'served_name'",
        "--host": _ADDRESS,
        "--port": _ADDRESS,
        "--uds": _ADDRESS,
        "--dtype": "use 'dtype'",
        "--tensor-parallel-size": "use 'tensor_parallel_size'",
        "-tp": "use 'tensor_parallel_size'",
        "--pipeline-parallel-size": "use 'pipeline_parallel_size'",
        "-pp": "use 'pipeline_parallel_size'",
        "--distributed-executor-backend": _NODES,
        "--nnodes": _NODES,
        "-n": _NODES,
        "--node-rank": _NODES,
        "-r": _NODES,
        "--master-addr": _NODES,
        "--master-port": _NODES,
        "--headless": _NODES,
        "--max-model-len": "use 'context_tokens'",
        "--max-num-seqs": "use 'parallel_requests'",
        "--gpu-memory-utilization": "use 'gpu_memory_utilization'",
        "--kv-cache-dtype": "use 'kv_cache_dtype'",
        "--enable-lora": "use 'adapters'",
        "--no-enable-lora": "use 'adapters'",
        "--max-loras": "use 'adapters'",
        "--lora-modules": "use 'adapters'",
        "--max-lora-rank": "use 'max_lora_rank'",
        "--revision": "use 'revision'",
        "--tokenizer-revision": "use 'revision'",
        "--shutdown-timeout": "use 'longest_stream_seconds'",
        "--download-dir": f"weights always go to the volume, at {CACHE}",
        "--hf-token": f"{_KEY}; use 'hub_token' or 'hub_token_secret'",
        "--api-key": f"{_KEY}; 'allow_from' says who reaches the server, and keys are checked by the router",
    },
    whole_names=("--tokenizer",),
    unused=("gguf",),
    tasks=("chat", "completions", "embeddings"),
    dtypes=tuple(Dtype),
    # vLLM, "Metrics".
    metrics=EngineMetrics("vllm:num_requests_waiting", "vllm:kv_cache_usage_perc", "vllm:num_requests_running"),
    container=container,
)
