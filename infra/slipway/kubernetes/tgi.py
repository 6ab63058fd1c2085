"""Text Generation Inference: its arguments, its caches on the volume, its probes."""

from slipway.kubernetes.model_engine import CACHE, PORT, Engine, EngineContainer, EngineMetrics, ServerSettings, http_get
from slipway.kubernetes.python_engine import environment
from slipway.kubernetes.restricted import USER
from slipway.sizing import Dtype, KvCacheDtype

# On SIGTERM its launcher gives the streams 90 seconds, whatever they need: so they are waited for before it is sent.
BUSY = "^tgi_(queue_size|batch_current_size) [^0]"


def container(settings: ServerSettings) -> EngineContainer:
    """Its part of the pod."""
    args = [
        "--model-id",
        settings.weights_path or settings.model,
        "--hostname",
        "0.0.0.0",  # noqa: S104 -- in a pod, whose NetworkPolicy says who reaches it
        "--port",
        str(PORT),
        "--num-shard",
        str(settings.tensor_parallel_size),
        "--cuda-memory-fraction",
        f"{settings.gpu_memory_utilization:g}",
        "--usage-stats",
        "off",
    ]
    if settings.dtype is not Dtype.AUTO:
        args += ["--dtype", settings.dtype.value]
    if settings.revision:
        args += ["--revision", settings.revision]
    if settings.context_tokens:
        args += ["--max-total-tokens", str(settings.context_tokens)]
    if settings.parallel_requests:
        args += ["--max-batch-size", str(settings.parallel_requests)]
    if settings.kv_cache_dtype is KvCacheDtype.FP8:
        # The other FP8, e4m3, needs scales that few checkpoints have.
        args += ["--kv-cache-dtype", "fp8_e5m2"]
    return EngineContainer(
        command=["text-generation-launcher"],
        args=[*args, *settings.extra_args],
        # The image sets its own cache outside of the volume.
        env={**environment(settings), "HUGGINGFACE_HUB_CACHE": f"{CACHE}/huggingface/hub"},
        # It listens only when the model is loaded and has answered once.
        startup={**http_get("/health"), "timeout_seconds": 10},
        readiness=http_get("/health"),
        liveness=http_get("/health"),
        pre_stop=settings.drain.wait_for_streams(PORT, BUSY),
    )


_ADDRESS = f"the server always listens on port {PORT} of every interface"
_SHARDS = "use 'tensor_parallel_size'"
_NGROK = "no policy lets the server out to it"
_KEY = "a command line is no place for a secret"

TGI = Engine(
    # The last release whose image runs as another user than root (huggingface/text-generation-inference#3082): newer ones keep
    # their Python in root's home, and the `restricted` pod security level lets no root in.
    image="ghcr.io/huggingface/text-generation-inference:3.0.1",
    user=USER,
    on_gpus=True,
    own_arguments={
        "--model-id": "use 'model', or 'weights'",
        "--hostname": _ADDRESS,
        "--port": _ADDRESS,
        "-p": _ADDRESS,
        "--num-shard": _SHARDS,
        "--sharded": _SHARDS,
        "--cuda-memory-fraction": "use 'gpu_memory_utilization'",
        "--dtype": "use 'dtype'",
        "--revision": "use 'revision'",
        "--max-total-tokens": "use 'context_tokens'",
        "--max-batch-size": "use 'parallel_requests'",
        "--kv-cache-dtype": "use 'kv_cache_dtype'",
        "--huggingface-hub-cache": f"weights always go to the volume, at {CACHE}",
        "--usage-stats": "it is off already",
        "--ngrok": _NGROK,
        "--ngrok-authtoken": _NGROK,
        "--ngrok-edge": _NGROK,
        "--api-key": f"{_KEY}; 'allow_from' says who reaches the server, and keys are checked by the router",
    },
    unused=("gguf", "served_name", "nodes", "pipeline_parallel_size", "adapters", "max_lora_rank"),
    tasks=("chat", "completions"),
    dtypes=(Dtype.AUTO, Dtype.BFLOAT16, Dtype.FLOAT16),
    # Text Generation Inference, "Metrics".
    metrics=EngineMetrics("tgi_queue_size", running_requests="tgi_batch_current_size", from_start="tgi_batch_max_total_tokens"),
    container=container,
)
