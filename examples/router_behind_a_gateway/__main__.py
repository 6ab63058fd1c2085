"""A closed namespace with the router in it, behind a gateway, with a new version that gets a tenth of the requests.

The cluster needs a Gateway `public` in the namespace `gateways`, whose listener lets routes of other namespaces attach, and the
External Secrets Operator with a ClusterSecretStore `vault`. To go on with the new version, raise `weight` step by step; to end,
set `image` to it and `canary` to nothing.
"""

import pulumi

from slipway import AiApiService, AiNamespace, vendor
from slipway.kubernetes.ai_api_service_args import AiApiServiceArgs
from slipway.kubernetes.external_secrets import SecretStoreKind

config = pulumi.Config()
space = AiNamespace("llm", {"quota": {"gpus": 0, "pods": 100, "load_balancers": 0}})

args: AiApiServiceArgs = {
    "namespace": space.namespace,
    "image": config.require("image"),
    "backends": [
        vendor("openai", name="gpt-4o-mini", model="gpt-4o-mini", cost_per_1k_tokens=0.0006),
        vendor("anthropic", name="claude", model="claude-sonnet-4-5", quality="high", cost_per_1k_tokens=0.015),
    ],
    "settings": {"policy": {"best": "claude", "cheap": "gpt-4o-mini"}, "keys": [{"name": "team-a", "env": "TEAM_A_KEY"}]},
    "external_secrets": {
        "store": "vault",
        "store_kind": SecretStoreKind.CLUSTER_SECRET_STORE,
        "values": {
            "OPENAI_API_KEY": {"key": "prod/vendors", "property": "openai"},
            "ANTHROPIC_API_KEY": {"key": "prod/vendors", "property": "anthropic"},
            "TEAM_A_KEY": {"key": "prod/clients", "property": "team-a"},
        },
    },
    "http_route": {"hosts": ["llm.example.com"], "gateway": "public", "gateway_namespace": "gateways"},
    "scaling": {"min": 2, "max": 20},
}
canary = config.get("canary")
if canary:
    args["canary"] = {"image": canary, "weight": config.require_int("weight")}

api = AiApiService("api", args)
pulumi.export("urls", api.public_urls)
