"""A router and a model on GPUs in Istio: mutual TLS, tokens at the edge, pods that fail left alone.

The cluster needs Istio with its CNI plugin and an extension provider `otel`, a Gateway `public` in the namespace `gateways`, and
a Secret `huggingface`. Linkerd or Consul in its place: change `MESH`, and what that one cannot do is refused by name.
"""

import pulumi

from slipway import AiApiService, AiNamespace, GpuModelServer, ServiceMesh
from slipway.kubernetes.mesh_pods import MeshKind

MESH = MeshKind.ISTIO
config = pulumi.Config()
space = AiNamespace("llm", {"quota": {"gpus": 4}})

llama = GpuModelServer(
    "llama",
    {
        "namespace": space.namespace,
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "accelerator": "l4:1",
        "context_tokens": 8192,
        "replicas": 2,
        "hub_token_secret": {"name": "huggingface", "key": "token"},
        "mesh": {"kind": MESH},
    },
)
api = AiApiService(
    "api",
    {
        "namespace": space.namespace,
        "image": config.require("image"),
        "backends": [llama.backend()],
        "http_route": {"hosts": ["llm.example.com"], "gateway": "public", "gateway_namespace": "gateways"},
        "mesh": {"kind": MESH},
    },
)
mesh = ServiceMesh(
    "mesh",
    {
        "mesh": MESH,
        "namespace": space.namespace,
        "services": [
            api.mesh_service(
                jwt={
                    "issuer": "https://id.example.com",
                    "jwks_uri": "https://id.example.com/.well-known/jwks.json",
                    "audiences": ["llm"],
                }
            ),
            llama.mesh_service(outlier_detection={}, circuit_breaker={"max_requests": 64}),
        ],
        "tracing": {"provider": "otel", "egress": {"port": 4317, "namespace": "observability", "pod_labels": {}}},
    },
)
pulumi.export("urls", api.public_urls)
pulumi.export("objects", mesh.objects)
