"""A chat application that keeps its history in PostgreSQL, beside the model that answers."""

import hashlib

import pulumi
import pulumi_kubernetes as k8s

from slipway import GpuModelServer, PostgresDatabase
from slipway.kubernetes.deletion import DeletionPolicy
from slipway.kubernetes.model_engine import ModelEngine

config = pulumi.Config()
namespace = config.get("namespace") or "ai"
gib = config.get_int("historyGib")
PORT = 8000
labels = {"app": "chat"}
meta: k8s.meta.v1.ObjectMetaArgsDict = {"name": "chat", "namespace": namespace, "labels": labels}

model = GpuModelServer(
    "storyteller",
    {
        "namespace": namespace,
        "engine": ModelEngine.LLAMA_CPP,
        "model": "Qwen/Qwen2.5-0.5B-Instruct-GGUF",
        "revision": "9217f5db79a29953eb74d5343926648285ec7e67",
        "gguf": {
            "file": "qwen2.5-0.5b-instruct-q4_k_m.gguf",
            "bytes": 491400032,
            "sha256": "74a4da8c9fdbcd15bd1f6d01d621410d31c6fc00986f5eb687824e7b93d7a9db",
        },
        "allow_from": [{"pod_labels": labels}],
    },
)
history = PostgresDatabase(
    "history",
    {
        "namespace": namespace,
        "database": "chat",
        "user": "chat",
        "storage_gib": 20 if gib is None else gib,
        "backup": {"keep": 14},
        "deletion_policy": DeletionPolicy.PROTECT,
        "allow_from": [{"pod_labels": labels}],
    },
)

# What is no secret stands in a ConfigMap that is named by its content, so that pods roll over when it changes.
settings = {"MODEL_URL": model.url, "MODEL": "Qwen/Qwen2.5-0.5B-Instruct-GGUF", "LOG_LEVEL": "info"}
digest = pulumi.Output.json_dumps(settings).apply(lambda text: hashlib.sha256(text.encode()).hexdigest()[:10])
settings_name = pulumi.Output.concat("chat-settings-", digest)
k8s.core.v1.ConfigMap("chat-settings", metadata={"name": settings_name, "namespace": namespace, "labels": labels}, data=settings)
k8s.core.v1.Service(
    "chat-service",
    metadata=meta,
    spec={"selector": labels, "ports": [{"name": "http", "port": PORT, "target_port": "http", "protocol": "TCP"}]},
)
ways_out: list[k8s.networking.v1.NetworkPolicyEgressRuleArgsDict] = [
    {
        "to": [{"namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": "kube-system"}}}],
        "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
    },
    {"to": [{"pod_selector": {"match_labels": {"app.kubernetes.io/part-of": "slipway"}}}]},
]
k8s.networking.v1.NetworkPolicy(
    "chat-network",
    metadata=meta,
    spec={
        "pod_selector": {"match_labels": labels},
        "policy_types": ["Ingress", "Egress"],
        "ingress": [{"from_": [{"pod_selector": {}}], "ports": [{"protocol": "TCP", "port": PORT}]}],
        "egress": ways_out,
    },
)
k8s.policy.v1.PodDisruptionBudget("chat-pdb", metadata=meta, spec={"min_available": 1, "selector": {"match_labels": labels}})


def probe(path: str) -> k8s.core.v1.ProbeArgsDict:
    return {"http_get": {"path": path, "port": "http"}, "period_seconds": 10, "timeout_seconds": 3}


deployment = k8s.apps.v1.Deployment(
    "chat-app",
    metadata=meta,
    spec={
        "replicas": 2,
        "selector": {"match_labels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "automount_service_account_token": False,
                "security_context": {
                    "run_as_non_root": True,
                    "run_as_user": 10001,
                    "run_as_group": 10001,
                    "seccomp_profile": {"type": "RuntimeDefault"},
                },
                "affinity": {
                    "pod_anti_affinity": {
                        "preferred_during_scheduling_ignored_during_execution": [
                            {
                                "weight": 100,
                                "pod_affinity_term": {
                                    "topology_key": "kubernetes.io/hostname",
                                    "label_selector": {"match_labels": labels},
                                },
                            }
                        ]
                    }
                },
                "containers": [
                    {
                        "name": "chat",
                        "image": config.get("image") or "registry.example.com/chat:1.0.0",
                        "ports": [{"name": "http", "container_port": PORT, "protocol": "TCP"}],
                        "env_from": [{"config_map_ref": {"name": settings_name}}],
                        "env": [
                            {
                                "name": "DATABASE_URL",
                                "value_from": {"secret_key_ref": {"name": history.url_secret, "key": history.url_key}},
                            }
                        ],
                        # Alive is who answers; ready is who has its database too, which must not have every pod started again.
                        "liveness_probe": probe("/health"),
                        "readiness_probe": probe("/ready"),
                        "resources": {
                            "requests": {"cpu": "250m", "memory": "256Mi"},
                            "limits": {"cpu": "1", "memory": "512Mi"},
                        },
                        "security_context": {
                            "allow_privilege_escalation": False,
                            "read_only_root_filesystem": True,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }
                ],
            },
        },
    },
)
pulumi.export("restore", history.restore_command)
