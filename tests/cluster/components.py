"""Every component that runs in Kubernetes, as a program of a user's would use it: two of each side by side."""

from collections.abc import Callable, Mapping
from typing import Any

import pulumi
from tests.cluster.cases import Manifests

import slipway
from slipway import (
    AiApiService,
    AiNamespace,
    GpuModelServer,
    ObservabilityStack,
    PostgresDatabase,
    RedisCache,
    ServiceMesh,
    TrainingJob,
    VectorStore,
    WorkerPool,
    vendor,
)
from slipway.plan import plan_program
from slipway.plan.render import render

OPENAI = vendor("openai", name="gpt", model="gpt-4o-mini", api_key={"name": "api-keys", "key": "openai"})
COMMIT = "0123456789abcdef0123456789abcdef01234567"
INSTANCES = ("first", "second")
VLLM = {
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "accelerator": "l4:1",
    "context_tokens": 8192,
    "hub_token_secret": {"name": "huggingface", "key": "token"},
    "replicas": 2,
}
LLAMA_CPP = {
    "engine": "llama.cpp",
    "model": "Qwen/Qwen2.5-0.5B-Instruct-GGUF",
    "revision": "9217f5db79a29953eb74d5343926648285ec7e67",
    "gguf": {
        "file": "qwen2.5-0.5b-instruct-q4_k_m.gguf",
        "bytes": 491400032,
        "sha256": "74a4da8c9fdbcd15bd1f6d01d621410d31c6fc00986f5eb687824e7b93d7a9db",
    },
}


def routers(namespace: str, changed: bool) -> None:
    """Two routers."""
    for name in INSTANCES:
        AiApiService(name, _router(namespace, changed))


def vllm(namespace: str, changed: bool) -> None:
    """Two models on GPUs."""
    _servers(VLLM, namespace, changed)


def sglang(namespace: str, changed: bool) -> None:
    """Two models on GPUs, with weights on one volume each for all replicas."""
    volume = {"storage_class": "fast-ssd"}
    weights = {"uri": f"hf://meta-llama/Llama-3.1-8B-Instruct@{COMMIT}", "shared_volume": volume}
    _servers({**VLLM, "engine": "sglang", "weights": weights}, namespace, changed)


def tgi(namespace: str, changed: bool) -> None:
    """Two models on GPUs, each replaced by one more beside it."""
    weights = {"uri": "gs://acme-models/llama", "sha256": "ab" * 32}
    given = {key: value for key, value in VLLM.items() if key != "hub_token_secret"}
    _servers({**given, "engine": "tgi", "rollout": "availability", "weights": weights}, namespace, changed)


def triton(namespace: str, changed: bool) -> None:
    """Two models on GPUs, with an adapter."""
    adapters = [{"name": "sql", "uri": f"hf://acme/llama-sql@{COMMIT}"}]
    _servers({**VLLM, "engine": "triton", "adapters": adapters}, namespace, changed)


def llama_cpp(namespace: str, changed: bool) -> None:
    """Two models on CPUs."""
    _servers(LLAMA_CPP, namespace, changed)


def namespaces(namespace: str, changed: bool) -> None:
    """Two namespaces with a router in each: nothing that is refused shows in a namespace without pods."""
    for name in INSTANCES:
        quota: Any = {"gpus": 0, "pods": 10 if changed else 8, "load_balancers": 0}
        made = AiNamespace(f"{namespace}-{name}", {"quota": quota})
        AiApiService(name, _router(made.namespace, changed))


def caches(namespace: str, changed: bool) -> None:
    """Two Redis."""
    for name in INSTANCES:
        RedisCache(name, {"namespace": namespace, "max_memory_mib": 512 if changed else 256, "backup": {}})


def stores(namespace: str, changed: bool) -> None:
    """A Qdrant and a Chroma, each with backups."""
    for name, engine in zip(INSTANCES, ("qdrant", "chroma"), strict=True):
        cpu = "1" if changed else "500m"
        args: Any = {"namespace": namespace, "engine": engine, "backup": {}, "resources": {"requests": {"cpu": cpu}}}
        VectorStore(name, args)


def databases(namespace: str, changed: bool) -> None:
    """Two PostgreSQL, each with backups to a volume."""
    for name in INSTANCES:
        PostgresDatabase(name, {"namespace": namespace, "max_connections": 50 if changed else 100, "backup": {}})


def training(namespace: str, changed: bool) -> None:
    """Two training runs, each on two nodes."""
    given: Any = {
        "namespace": namespace,
        "image": "my-training-image:v1",
        "command": ["torchrun", "train.py"],
        "accelerator": "l4:1",
        "nodes": 2,
        "checkpoints": {"gib": 100, "storage_class": "standard"},
        "env_from_secrets": {"HF_TOKEN": {"name": "huggingface", "key": "token"}},
        "restart_policy": "Never",
        "fatal_exit_codes": [2, 64],
        "run": "second" if changed else "first",
    }
    for name in INSTANCES:
        TrainingJob(name, given)


def workers(namespace: str, changed: bool) -> None:
    """Two pools of workers, each with a Redis that it is scaled on."""
    for name in INSTANCES:
        kept: Any = {"namespace": namespace, "eviction_policy": "noeviction", "max_memory_mib": 512 if changed else 256}
        cache = RedisCache(f"{name}-queue", kept)
        celery: Any = {"app": "src.tasks.celery_app", "log_level": "DEBUG" if changed else "INFO"}
        secrets: Any = {"OPENAI_API_KEY": {"name": "api-keys", "key": "openai"}}
        given: Any = {"namespace": namespace, "image": "app:1", "broker": cache.broker(), "celery": celery}
        given["env_from_secrets"] = secrets
        WorkerPool(name, given)


def meshes(namespace: str, changed: bool) -> None:
    """Two meshes of Istio's, each around a router."""
    for name in INSTANCES:
        given: Any = {**_router(namespace, changed), "mesh": {"kind": "istio"}}
        router = AiApiService(name, given)
        args: Any = {"mesh": "istio", "namespace": namespace, "services": [router.mesh_service(outlier_detection={})]}
        ServiceMesh(f"{name}-mesh", args)


def stacks(namespace: str, changed: bool) -> None:
    """Two stacks that watch the same services, one with a Loki, one with an Elasticsearch."""
    everybody: Any = {"pod_labels": {}}
    receiver = {"name": "hook", "kind": "webhook", "secret": {"name": "hook", "key": "url"}}
    facts: Any = {"namespace": namespace, "port": 8000, "readers": [everybody]}
    for name, kind in zip(INSTANCES, ("loki", "elasticsearch"), strict=True):
        watch: Any = [
            {**facts, "kind": "router", "name": "api", "pods": "api-router-.+", "pod_labels": {"app": "api"}},
            {**facts, "kind": "model", "name": "llama", "pods": "llama-server-.+", "pod_labels": {"app": "llama"}},
        ]
        args: Any = {"namespace": namespace, "watch": watch, "alertmanager": {"receivers": [receiver]}}
        args["collector"] = {"endpoint": "http://tempo.tracing.svc:4318", "token": {"name": "otlp", "key": "token"}}
        # On a node with GPUs, which others may not be on.
        agent = {"namespace": f"{namespace}-{name}-agent", "node_selector": {"kubernetes.io/hostname": "gpu-l4"}}
        args["logs"] = {"kind": kind, "agent": agent}
        if changed:
            args["objectives"] = {"first_token_seconds": 1}
            args["alertmanager"]["repeat_hours"] = 24
            args["collector"]["signals"] = ["traces"]
            args["logs"] |= {"retention_days": 7, "agent": {**agent, "user": 10001}}
            if kind == "elasticsearch":
                more = {"resources": {"limits": {"memory": "6Gi"}}, "kibana": {"root_url": "https://kibana.example.com"}}
                args["logs"] |= more
        ObservabilityStack(name, args)


PROGRAMS: Mapping[str, Callable[[str, bool], None]] = {
    "AiApiService": routers,
    "AiNamespace": namespaces,
    "GpuModelServer, vLLM": vllm,
    "GpuModelServer, SGLang": sglang,
    "GpuModelServer, TGI": tgi,
    "GpuModelServer, Triton": triton,
    "GpuModelServer, llama.cpp": llama_cpp,
    "ObservabilityStack": stacks,
    "PostgresDatabase": databases,
    "RedisCache": caches,
    "ServiceMesh": meshes,
    "TrainingJob": training,
    "VectorStore": stores,
    "WorkerPool": workers,
}
"""By the component's name in the guide: what declares two, given a namespace, and whether an argument is changed."""


def two(component: str, namespace: str, changed: bool = False) -> Manifests:
    """The manifests of two of a component. Secrets are made beforehand, as with `slipway render --skip-secrets`."""
    return Manifests(render(plan_program(lambda: PROGRAMS[component](namespace, changed)), skip_secrets=True).files)


BY_HELM = {"GpuPrerequisites"}
"""Components that Helm makes of a chart, which is not here: of theirs there is nothing to apply but a namespace. docs/tested.md
says what is shown of them instead."""


def in_kubernetes() -> set[str]:
    """The public components that live in a cluster."""
    public = {name: getattr(slipway, name) for name in slipway.__all__}
    return {
        name
        for name, value in public.items()
        if isinstance(value, type)
        and issubclass(value, pulumi.ComponentResource)
        and value.__module__.startswith("slipway.kubernetes.")
    }


def _router(namespace: pulumi.Input[str], changed: bool) -> Any:
    settings = {"max_body_mib": 16} if changed else {}
    return {"namespace": namespace, "image": "slipway/router:0.1.0", "backends": [OPENAI], "settings": settings}


def _servers(args: Mapping[str, Any], namespace: str, changed: bool) -> None:
    given: Any = {**args, "namespace": namespace, **({"longest_stream_seconds": 120} if changed else {})}
    for name in INSTANCES:
        GpuModelServer(name, given)
