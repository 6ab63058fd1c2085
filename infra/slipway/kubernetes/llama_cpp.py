"""llama.cpp on CPUs: its arguments, the loader that fetches the weights before it, its probes."""

from urllib.parse import quote

from slipway.kubernetes.model_engine import (
    CACHE,
    PORT,
    Engine,
    EngineContainer,
    EngineMetrics,
    Gguf,
    ServerSettings,
    http_get,
)
from slipway.sizing import Dtype

CONTEXT_TOKENS = 4096
"""Context where none is asked for. The models' own can be 128 times as much, and is allocated at the start."""
PARALLEL_REQUESTS = 2
KV_VALUE_BYTES = 2
"""Keys and values are kept in 16 bits (llama-server's defaults of --cache-type-k and --cache-type-v)."""

# The engine's image has curl and coreutils. The file gets its name only when it is whole and checked, so that one of that name
# needs no second look; what was cut is resumed. The token goes through a pipe, since command lines are seen by every process.
LOADER = """
set -eu
size() { stat -c %s "$1" 2>/dev/null || echo 0; }
if [ "$(size "$TARGET")" = "$BYTES" ]; then
  echo "$TARGET is there"
  exit 0
fi
part="$TARGET.part"
mkdir -p "$(dirname "$TARGET")"
if [ "$(size "$part")" -gt "$BYTES" ]; then rm -f "$part"; fi
if [ "$(size "$part")" != "$BYTES" ]; then
  {
    if [ -n "${HF_TOKEN:-}" ]; then
      # A Secret made by hand often ends in a line break.
      printf 'header = "Authorization: Bearer %s"\\n' "$(printf %s "$HF_TOKEN" | tr -d '\\r\\n')"
    fi
  } |
    curl --config - --fail --location --silent --show-error --retry 5 --retry-all-errors --continue-at - \\
      --output "$part" "$URL" || {
        code=$?
        # 33: the server cannot resume.
        if [ "$code" = 33 ]; then rm -f "$part"; fi
        echo "cannot download $URL" >&2
        exit "$code"
      }
fi
if [ "$(size "$part")" != "$BYTES" ]; then
  echo "$URL has $(size "$part") bytes, and $BYTES were told" >&2
  rm -f "$part"
  exit 1
fi
if [ -n "$SHA256" ] && ! echo "$SHA256  $part" | sha256sum --check --status; then
  echo "$URL has another SHA-256 than $SHA256" >&2
  rm -f "$part"
  exit 1
fi
sync "$part"
mv "$part" "$TARGET"
echo "$TARGET is loaded"
""".strip()

# On SIGTERM llama.cpp stops at once, in the middle of streams: so they are waited for before it is sent.
BUSY = "^llamacpp:requests_(processing|deferred) [^0]"


def container(settings: ServerSettings) -> EngineContainer:
    """llama.cpp's part of the pod."""
    gguf = settings.gguf
    assert gguf is not None, "checked before"
    parallel = settings.parallel_requests or PARALLEL_REQUESTS
    target = _target(settings, gguf)
    args = [
        "--model",
        target,
        "--alias",
        settings.served_name,
        "--host",
        "0.0.0.0",  # noqa: S104 -- in a pod, whose NetworkPolicy says who reaches it
        "--port",
        str(PORT),
        # It is divided among the slots, and each request must have what was promised.
        "--ctx-size",
        str((settings.context_tokens or CONTEXT_TOKENS) * parallel),
        "--parallel",
        str(parallel),
        "--threads",
        str(settings.cpus),
        "--metrics",
    ]
    if list(settings.tasks) == ["embeddings"]:
        # A text to embed must fit into one batch.
        tokens = str(settings.context_tokens or CONTEXT_TOKENS)
        args += ["--embeddings", "--batch-size", tokens, "--ubatch-size", tokens]
    revision = settings.revision or "main"
    url = f"{settings.hub_endpoint}/{quote(settings.model)}/resolve/{quote(revision, safe='')}/{quote(gguf.file)}"
    return EngineContainer(
        command=["/app/llama-server"],
        args=[*args, *settings.extra_args],
        env={"HOME": CACHE},
        # While the model loads, /health answers 503 and /v1/models already 200: only the first tells that it can answer.
        startup=http_get("/health"),
        readiness=http_get("/health"),
        liveness=http_get("/health"),
        pre_stop=settings.drain.wait_for_streams(PORT, BUSY),
        loader=[] if settings.offline else ["/bin/sh", "-c", LOADER],
        loader_env={"URL": url, "TARGET": target, "BYTES": str(gguf.size_bytes), "SHA256": gguf.sha256 or ""},
    )


def _target(settings: ServerSettings, gguf: Gguf) -> str:
    """A path of its own for each content, so that a changed revision or checksum is not taken for what is there."""
    version = gguf.sha256[:16] if gguf.sha256 else quote(settings.revision or "main", safe="")
    return f"{CACHE}/gguf/{version}/{gguf.file}"


_ADDRESS = f"the server always listens on port {PORT} of every interface"
_WEIGHTS = "use 'model' and 'gguf'"
_KEY = "a command line is no place for a secret"

LLAMA_CPP = Engine(
    image="ghcr.io/ggml-org/llama.cpp:server-b11176",
    user=10001,
    on_gpus=False,
    own_arguments={
        "--model": _WEIGHTS,
        "-m": _WEIGHTS,
        "--model-url": _WEIGHTS,
        "-mu": _WEIGHTS,
        "--hf-repo": _WEIGHTS,
        "-hf": _WEIGHTS,
        "-hfr": _WEIGHTS,
        "--hf-file": _WEIGHTS,
        "-hff": _WEIGHTS,
        "--docker-repo": _WEIGHTS,
        "-dr": _WEIGHTS,
        "--alias": "use 'served_name'",
        "-a": "use 'served_name'",
        "--host": _ADDRESS,
        "--port": _ADDRESS,
        "--ctx-size": "use 'context_tokens'",
        "-c": "use 'context_tokens'",
        "--parallel": "use 'parallel_requests'",
        "-np": "use 'parallel_requests'",
        "--threads": "use 'resources.requests.cpu'",
        "-t": "use 'resources.requests.cpu'",
        "--metrics": "it is on already",
        "--embeddings": "use 'tasks'",
        "--embedding": "use 'tasks'",
        "--hf-token": f"{_KEY}; use 'hub_token' or 'hub_token_secret'",
        "-hft": f"{_KEY}; use 'hub_token' or 'hub_token_secret'",
        "--api-key": f"{_KEY}; 'allow_from' says who reaches the server, and keys are checked by the router",
    },
    unused=(
        "weights",
        "nodes",
        "adapters",
        "max_lora_rank",
        "dtype",
        "weight_bits",
        "model_parameters_billion",
        "tensor_parallel_size",
        "pipeline_parallel_size",
        "node_labels",
        "gpu_memory_utilization",
        "kv_cache_dtype",
        "tokens_per_request",
        "download_mb_per_second",
    ),
    tasks=("chat", "completions", "embeddings"),
    dtypes=tuple(Dtype),
    metrics=EngineMetrics("llamacpp:requests_deferred", running_requests="llamacpp:requests_processing"),
    container=container,
)
