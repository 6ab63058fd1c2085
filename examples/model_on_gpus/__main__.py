"""Llama 70B on four GPUs of one's own cluster, and a router in front of it."""

import pulumi

from slipway import AiApiService, GpuModelServer

config = pulumi.Config()
namespace = config.get("namespace") or "ai"

llama = GpuModelServer(
    "llama",
    {
        "model": "meta-llama/Llama-3.3-70B-Instruct",
        "accelerator": config.get("accelerator") or "a100-80gb:4",
        "context_tokens": 32_768,
        "namespace": namespace,
        # The weights are behind a licence: a Secret made beforehand has the hub's token.
        "hub_token_secret": {"name": "model-hub", "key": "token"},
    },
)
api = AiApiService(
    "api",
    {
        "image": config.get("routerImage") or "registry.example.com/slipway-router:0.1.0",
        "namespace": namespace,
        "backends": [llama.backend(quality="high")],
    },
)
pulumi.export("url", api.url)
