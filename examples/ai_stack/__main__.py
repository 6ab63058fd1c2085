"""A whole AI product: an API in front of a model and two vendors, with Redis, Celery workers and Prometheus."""

import pulumi

from slipway import (
    AiApiService,
    AiNamespace,
    GpuModelServer,
    GpuPrerequisites,
    ObservabilityStack,
    RedisCache,
    WorkerPool,
    vendor,
)
from slipway.kubernetes.deletion import DeletionPolicy
from slipway.kubernetes.redis_cache_args import EvictionPolicy

config = pulumi.Config()
home = AiNamespace(config.get("namespace") or "ai", {})
# The cluster has NVIDIA's device plugin; without this line `slipway plan` would warn that nothing says so.
GpuPrerequisites("gpus", {"existing": True})

llama = GpuModelServer(
    "vllm-llama",
    {
        "namespace": home.namespace,
        "model": "meta-llama/Llama-3.3-70B-Instruct",
        "accelerator": config.get("accelerator") or "a100-80gb:4",
        "context_tokens": 16384,
        "cache_gib": 500,
        "hub_token_secret": {"name": "huggingface", "key": "token"},
    },
)
api = AiApiService(
    "ai-api",
    {
        "namespace": home.namespace,
        "image": config.get("routerImage") or "registry.example.com/slipway-router:0.1.0",
        "backends": [
            llama.backend(),
            vendor("openai", name="openai-gpt4-mini", model="gpt-4o-mini", api_key={"name": "api-keys", "key": "openai"}),
            vendor("anthropic", name="claude", model="claude-sonnet-4-5", api_key={"name": "api-keys", "key": "anthropic"}),
        ],
        "scaling": {"min": 2, "max": 20, "cpu_percent": 70, "requests_per_second": 100},
    },
)

# What takes longer than a client waits: tasks that the application sends, and workers that ask the API above.
queue = RedisCache(
    "queue",
    {
        "namespace": home.namespace,
        "eviction_policy": EvictionPolicy.NOEVICTION,
        "deletion_policy": DeletionPolicy.RETAIN,
    },
)
worker = WorkerPool(
    "worker",
    {
        "namespace": home.namespace,
        "image": config.get("workerImage") or "registry.example.com/ai-worker:1.2.3",
        "broker": queue.broker(),
        "celery": {"app": "src.tasks.celery_app", "log_level": "INFO"},
        "longest_task_seconds": 600,
        "scaling": {"min": 1, "max": 20, "tasks_per_replica": 5},
        "env": {"OPENAI_BASE_URL": pulumi.Output.concat(api.url, "/v1")},
        "egress": [{"port": 8000, "pod_labels": {"app.kubernetes.io/instance": "ai-api"}}],
    },
)

# Services let the Prometheus of this namespace read their metrics unless they are told of another.
monitoring = AiNamespace("monitoring", {})
watch = ObservabilityStack("watch", {"namespace": monitoring.namespace, "watch": [api.watched(), llama.watched()]})

pulumi.export("url", api.url)
pulumi.export("prometheus", watch.prometheus_url)
pulumi.export("workers", worker.deployment_name)
