"""vLLM: its arguments, its caches on the volume, its probes."""

import json

from slipway.kubernetes.model_engine import CACHE, PORT, Engine, EngineContainer, EngineMetrics, ServerSettings, http_get
from slipway.sizing import KvCacheDtype

# Asks for one token, and so tells that the weights are loaded and the kernels compiled. Once, at the start: in each readiness
# check it would queue behind real requests, and a busy server would be taken out of service for being busy.
# The image has no curl in some variants, and Python in all.
ONE_TOKEN = """
import sys, urllib.request as u
try:
    u.build_opener(u.ProxyHandler({})).open(
        u.Request(sys.argv[1], sys.argv[2].encode(), {"Content-Type": "application/json"}), timeout=25
    ).read()
except Exception as e:
    sys.exit(f"the model does not answer yet: {e}")
""".strip()


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
    if settings.revision:
        # A tokenizer of another revision than the weights would be another model.
        args += ["--revision", settings.revision, "--tokenizer-revision", settings.revision]
    if settings.context_tokens:
        args += ["--max-model-len", str(settings.context_tokens)]
    if settings.parallel_requests:
        args += ["--max-num-seqs", str(settings.parallel_requests)]
    if settings.kv_cache_dtype is not KvCacheDtype.AUTO:
        args += ["--kv-cache-dtype", settings.kv_cache_dtype.value]
    return EngineContainer(
        command=["vllm", "serve"],
        args=[*args, *settings.extra_args],
        env=_environment(settings),
        startup={"exec_": {"command": ["python3", "-c", ONE_TOKEN, *_question(settings)]}, "timeout_seconds": 30},
        readiness=http_get("/v1/models"),
        liveness=http_get("/health"),
        pre_stop={"sleep": {"seconds": settings.drain.pre_stop_seconds}},
    )


def _environment(settings: ServerSettings) -> dict[str, str]:
    env = {
        # The root file system is read-only: all that vLLM, PyTorch and Triton write goes to the volume, where it also
        # shortens the next start.
        "HOME": CACHE,
        "HF_HOME": f"{CACHE}/huggingface",
        "XDG_CACHE_HOME": f"{CACHE}/xdg",
        "VLLM_CACHE_ROOT": f"{CACHE}/vllm",
        "TORCHINDUCTOR_CACHE_DIR": f"{CACHE}/torchinductor",
        "TRITON_CACHE_DIR": f"{CACHE}/triton",
        "OUTLINES_CACHE_DIR": f"{CACHE}/outlines",
        # PyTorch asks for the user's name at import, and an image of one's own may not know the user's number.
        "USER": "vllm",
        "HF_ENDPOINT": settings.hub_endpoint,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    if settings.offline:
        env |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    return env


def _question(settings: ServerSettings) -> tuple[str, str]:
    """Address and body of the smallest question that the model can be asked."""
    base = f"http://127.0.0.1:{PORT}/v1"
    if list(settings.tasks) == ["embeddings"]:
        return f"{base}/embeddings", json.dumps({"model": settings.served_name, "input": "a"})
    return f"{base}/completions", json.dumps({"model": settings.served_name, "prompt": "a", "max_tokens": 1})


_ADDRESS = f"the server always listens on port {PORT} of every interface"
_KEY = "a command line is no place for a secret"

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
        "--max-model-len": "use 'context_tokens'",
        "--max-num-seqs": "use 'parallel_requests'",
        "--gpu-memory-utilization": "use 'gpu_memory_utilization'",
        "--kv-cache-dtype": "use 'kv_cache_dtype'",
        "--revision": "use 'revision'",
        "--tokenizer-revision": "use 'revision'",
        "--shutdown-timeout": "use 'longest_stream_seconds'",
        "--download-dir": f"weights always go to the volume, at {CACHE}",
        "--hf-token": f"{_KEY}; use 'hub_token' or 'hub_token_secret'",
        "--api-key": f"{_KEY}; 'allow_from' says who reaches the server, and keys are checked by the router",
    },
    unused=("gguf",),
    # vLLM, "Metrics".
    metrics=EngineMetrics("vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"),
    container=container,
)
