"""Pulumi components for AI products: models on GPUs, managed endpoints, and the router in front of them.

Components are imported when first asked for, so that nobody pays for a place that they do not use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from slipway.backend import Backend
from slipway.vendors import vendor

if TYPE_CHECKING:
    from slipway.aws.ecr_repository import EcrRepository
    from slipway.aws.eks_cluster import EksCluster
    from slipway.aws.sagemaker_endpoint import SageMakerEndpoint
    from slipway.gcp.artifact_repository import ArtifactRepository
    from slipway.gcp.gke_cluster import GkeCluster
    from slipway.gcp.vertex_endpoint import VertexEndpoint
    from slipway.images.container_image import ContainerImage
    from slipway.kubernetes.ai_api_service import AiApiService
    from slipway.kubernetes.ai_namespace import AiNamespace
    from slipway.kubernetes.gpu_model_server import GpuModelServer
    from slipway.kubernetes.gpu_prerequisites import GpuPrerequisites
    from slipway.kubernetes.observability_stack import ObservabilityStack
    from slipway.kubernetes.postgres_database import PostgresDatabase
    from slipway.kubernetes.redis_cache import RedisCache
    from slipway.kubernetes.service_mesh import ServiceMesh
    from slipway.kubernetes.training_job import TrainingJob
    from slipway.kubernetes.vector_store import VectorStore
    from slipway.kubernetes.worker_pool import WorkerPool
    from slipway.local.model_server import LocalModelServer
    from slipway.local.process import LocalProcess
    from slipway.local.router import LocalRouter

__all__ = [
    "AiApiService",
    "AiNamespace",
    "ArtifactRepository",
    "Backend",
    "ContainerImage",
    "EcrRepository",
    "EksCluster",
    "GkeCluster",
    "GpuModelServer",
    "GpuPrerequisites",
    "LocalModelServer",
    "LocalProcess",
    "LocalRouter",
    "ObservabilityStack",
    "PostgresDatabase",
    "RedisCache",
    "SageMakerEndpoint",
    "ServiceMesh",
    "TrainingJob",
    "VectorStore",
    "VertexEndpoint",
    "WorkerPool",
    "vendor",
]

_HOMES = {
    "AiApiService": "slipway.kubernetes.ai_api_service",
    "AiNamespace": "slipway.kubernetes.ai_namespace",
    "ArtifactRepository": "slipway.gcp.artifact_repository",
    "ContainerImage": "slipway.images.container_image",
    "EcrRepository": "slipway.aws.ecr_repository",
    "EksCluster": "slipway.aws.eks_cluster",
    "GkeCluster": "slipway.gcp.gke_cluster",
    "GpuModelServer": "slipway.kubernetes.gpu_model_server",
    "GpuPrerequisites": "slipway.kubernetes.gpu_prerequisites",
    "LocalModelServer": "slipway.local.model_server",
    "LocalProcess": "slipway.local.process",
    "LocalRouter": "slipway.local.router",
    "ObservabilityStack": "slipway.kubernetes.observability_stack",
    "PostgresDatabase": "slipway.kubernetes.postgres_database",
    "RedisCache": "slipway.kubernetes.redis_cache",
    "SageMakerEndpoint": "slipway.aws.sagemaker_endpoint",
    "ServiceMesh": "slipway.kubernetes.service_mesh",
    "TrainingJob": "slipway.kubernetes.training_job",
    "VectorStore": "slipway.kubernetes.vector_store",
    "VertexEndpoint": "slipway.gcp.vertex_endpoint",
    "WorkerPool": "slipway.kubernetes.worker_pool",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'slipway' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
