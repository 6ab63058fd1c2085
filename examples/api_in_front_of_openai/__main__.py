"""The router alone in front of OpenAI's API, in a cluster: two models, one key, from 2 to 20 replicas.

The key comes from a Secret that exists already, so that it is in no program and in no state:

    kubectl -n ai create secret generic api-keys --from-file=openai=PATH
"""

import pulumi

from slipway import AiApiService, vendor

config = pulumi.Config()
key = {"name": "api-keys", "key": "openai"}

api = AiApiService(
    "ai-api",
    {
        "image": config.require("image"),
        "namespace": config.require("namespace"),
        "backends": [
            vendor("openai", name="openai-mini", model="gpt-4o-mini", cost_per_1k_tokens=0.0006, api_key=key),
            vendor("openai", name="openai-best", model="gpt-4o", quality="high", cost_per_1k_tokens=0.01, api_key=key),
        ],
    },
)

pulumi.export("url", api.url)
