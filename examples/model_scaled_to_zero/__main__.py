"""Llama 8B on a GPU that is there only while somebody asks, and a vendor's model until it has started."""

import pulumi

from slipway import AiApiService, GpuModelServer, vendor

config = pulumi.Config()
namespace = config.get("namespace") or "ai"

llama = GpuModelServer(
    "llama",
    {
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "accelerator": config.get("accelerator") or "l4:1",
        "context_tokens": 8192,
        "namespace": namespace,
        # The weights are behind a licence: a Secret made beforehand has the hub's token.
        "hub_token_secret": {"name": "model-hub", "key": "token"},
        "scaling": {
            "min": 0,
            "max": 4,
            "prometheus_url": config.get("prometheusUrl") or "http://prometheus-server.monitoring.svc:9090",
            # Nobody should wait on a working day.
            "schedule": [{"start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "timezone": "Europe/Vienna", "replicas": 1}],
        },
    },
)
gpt = vendor("openai", name="gpt", model="gpt-4o-mini", api_key={"name": "openai", "key": "token"})
api = AiApiService(
    "api",
    {
        "image": config.get("routerImage") or "registry.example.com/slipway-router:0.1.0",
        "namespace": namespace,
        "backends": [llama.backend(), gpt],
    },
)
pulumi.export("url", api.url)
