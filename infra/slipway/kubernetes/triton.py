"""NVIDIA's Triton Inference Server: its OpenAI-compatible frontend over its vLLM backend, in NVIDIA's image of the two.

Sources: "OpenAI-Compatible Frontend for Triton Inference Server", release 26.07, with `python/openai/openai_frontend` of
triton-inference-server/server; and triton-inference-server/vllm_backend, README and `src/model.py`.
"""

import json
from urllib.parse import quote

from slipway.kubernetes.model_engine import CACHE, PORT, Engine, EngineContainer, EngineMetrics, ServerSettings, http_get
from slipway.kubernetes.python_engine import ONE_TOKEN, environment, question
from slipway.kubernetes.vllm import batch_tokens
from slipway.sizing import Dtype, KvCacheDtype

FRONTEND = "/opt/tritonserver/python/openai/openai_frontend/main.py"
REPOSITORY = "/tmp/model-repository"  # noqa: S108 -- a mount
LORA_SEPARATOR = ":"
MOST_TOKENS = 4096
"""Of an answer, where neither the client nor `context_tokens` says."""

# Triton reads what it serves from a folder. It takes every entry of it for a model, those too by which a mounted ConfigMap keeps
# its versions apart: so the files are written at the start, and the frontend takes the place of this program.
LAUNCH = """
import json, os, pathlib, sys
root = pathlib.Path(os.environ["MODEL_REPOSITORY"])
for name, text in json.loads(os.environ["MODEL_REPOSITORY_FILES"]).items():
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
""".strip()

# A model on several GPUs is one instance, which takes them all (KIND_MODEL). The metrics are vLLM's, which it reports if asked.
CONFIG = """
backend: "vllm"
instance_group [{ count: 1, kind: KIND_MODEL }]
parameters: { key: "REPORT_CUSTOM_METRICS", value: { string_value: "true" } }
""".lstrip()


def container(settings: ServerSettings) -> EngineContainer:
    """Triton's part of the pod."""
    args = [
        FRONTEND,
        "--model-repository",
        REPOSITORY,
        "--backend",
        "vllm",
        "--host",
        "0.0.0.0",  # noqa: S104 -- in a pod, whose NetworkPolicy says who reaches it
        "--openai-port",
        str(PORT),
        # Its own default is 16, where OpenAI's API has none: answers would end in the middle of a sentence.
        "--default-max-tokens",
        str(settings.context_tokens or MOST_TOKENS),
    ]
    if list(settings.tasks) != ["embeddings"]:
        args += ["--tokenizer", settings.weights_path or settings.model]
    if settings.adapters:
        args += ["--lora-separator", LORA_SEPARATOR]
    files = _files(settings)
    return EngineContainer(
        command=["python3", "-c", LAUNCH],
        args=[*args, *settings.extra_args],
        env={
            **environment(settings),
            "VLLM_CACHE_ROOT": f"{CACHE}/vllm",
            "VLLM_NO_USAGE_STATS": "1",
            "MODEL_REPOSITORY": REPOSITORY,
            "MODEL_REPOSITORY_FILES": json.dumps(files),
        },
        startup={"exec_": {"command": ["python3", "-c", ONE_TOKEN, *question(settings)]}, "timeout_seconds": 30},
        # It listens only when the model is loaded; this asks for this one by its name.
        readiness=http_get(f"/v1/models/{quote(settings.served_name)}"),
        liveness=http_get("/health/ready"),
        # On SIGTERM uvicorn ends its streams by itself, for as long as the grace period lets it, and Triton stops after that.
        pre_stop={"sleep": {"seconds": settings.drain.pre_stop_seconds}},
    )


def _files(settings: ServerSettings) -> dict[str, str]:
    """The model repository, by path: the engine's arguments are those of vLLM."""
    engine: dict[str, object] = {
        "model": settings.weights_path or settings.model,
        "dtype": settings.dtype.value,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "pipeline_parallel_size": settings.pipeline_parallel_size,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        # Without them there are no metrics.
        "disable_log_stats": False,
    }
    if settings.context_tokens:
        engine["max_model_len"] = settings.context_tokens
    if settings.parallel_requests:
        engine["max_num_seqs"] = settings.parallel_requests
    if tokens := batch_tokens(settings):
        engine["max_num_batched_tokens"] = tokens
    if settings.kv_cache_dtype is not KvCacheDtype.AUTO:
        engine["kv_cache_dtype"] = settings.kv_cache_dtype.value
    files = {f"{settings.served_name}/config.pbtxt": CONFIG}
    if settings.adapters:
        engine |= {"enable_lora": True, "max_lora_rank": settings.max_lora_rank, "max_loras": len(settings.adapters)}
        files[f"{settings.served_name}/1/multi_lora.json"] = json.dumps({a.name: a.path for a in settings.adapters})
    return {**files, f"{settings.served_name}/1/model.json": json.dumps(engine)}


_ADDRESS = f"the server always listens on port {PORT} of every interface"
_ONE_PORT = "the one port speaks OpenAI's API, and no policy lets anybody reach another"
_ONE_MODEL = "the one model is loaded at the start"
_MODEL = "use 'model', or 'weights'"

TRITON = Engine(
    image="nvcr.io/nvidia/tritonserver:26.07-vllm-python-py3",
    # The user `triton-server` of the image.
    user=1000,
    on_gpus=True,
    own_arguments={
        "--model-repository": _MODEL,
        "--tokenizer": _MODEL,
        "--backend": "it is vLLM's, whose image this is",
        "--host": _ADDRESS,
        "--openai-port": _ADDRESS,
        "--lora-separator": "use 'adapters'",
        "--enable-kserve-frontends": _ONE_PORT,
        "--kserve-http-port": _ONE_PORT,
        "--kserve-grpc-port": _ONE_PORT,
        "--model-control-mode": _ONE_MODEL,
        "--load-model": _ONE_MODEL,
        "--openai-restricted-api": (
            "a command line is no place for a secret; 'allow_from' says who reaches the server, and the router checks keys"
        ),
    },
    # Its frontend takes the tokenizer of a repository's newest commit only.
    unused=("gguf", "revision", "nodes"),
    tasks=("chat", "completions", "embeddings"),
    dtypes=tuple(Dtype),
    # Its own `nv_inference_pending_request_count` is always 0 here: the vLLM backend takes each request at once, and lets it wait
    # inside. Of that queue and of the cache it tells nothing, but how long all answers took.
    metrics=EngineMetrics(busy_seconds="vllm:e2e_request_latency_seconds_sum"),
    container=container,
    adapter_model=f"{{model}}{LORA_SEPARATOR}{{adapter}}",
    name_is_a_folder=True,
)
