"""Every argument of the components in a cluster, with a value of the wrong kind: an error names path, value and choice.

The arguments are found in the TypedDicts themselves, so that a new one is here as soon as it is declared. Values of the right
kind that are wrong all the same stand in tables, component by component.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pulumi
import pytest
from tests.infra.kubernetes.model_server import LLAMA
from tests.support.arguments import Key, at, path, wrong_everywhere

from slipway.kubernetes.ai_api_service_args import AiApiServiceArgs
from slipway.kubernetes.ai_api_service_settings import Resolved as ApiSettings
from slipway.kubernetes.ai_namespace_args import AiNamespaceArgs, NamespaceSettings
from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs
from slipway.kubernetes.gpu_model_server_settings import GpuModelServerSettings
from slipway.kubernetes.gpu_prerequisites_args import GpuPrerequisitesArgs, PrerequisiteSettings
from slipway.kubernetes.observability_stack_args import ObservabilityStackArgs, StackSettings
from slipway.kubernetes.postgres_database_args import PostgresDatabaseArgs, PostgresSettings
from slipway.kubernetes.redis_cache_args import RedisCacheArgs, RedisSettings
from slipway.kubernetes.training_job_args import TrainingJobArgs
from slipway.kubernetes.training_job_settings import TrainingSettings
from slipway.kubernetes.vector_store_args import VectorSettings, VectorStoreArgs
from slipway.kubernetes.worker_pool_args import WorkerPoolArgs, WorkerSettings

API: Mapping[str, Any] = {
    "image": "router:1.2.3",
    "namespace": "ai",
    "backends": [{"name": "gpt", "url": "https://api.openai.com/v1", "model": "gpt-4o-mini"}],
}
WORKER: Mapping[str, Any] = {"namespace": "ai", "image": "app:1", "broker": {"host": "redis.ai.svc"}, "celery": {"app": "tasks"}}
TRAINING: Mapping[str, Any] = {"namespace": "ai", "image": "trainer:1", "command": ["train"]}
WATCHED: Mapping[str, Any] = {
    "namespace": "monitoring",
    "watch": [{"kind": "model", "name": "a", "namespace": "ai", "pods": "a-.+", "pod_labels": {"app": "a"}, "port": 8000}],
}
COMPONENTS: Mapping[str, tuple[type, Callable[[str, Any], object], Mapping[str, Any]]] = {
    "GpuModelServer": (GpuModelServerArgs, GpuModelServerSettings.of, LLAMA),
    "AiApiService": (AiApiServiceArgs, ApiSettings.of, API),
    "PostgresDatabase": (PostgresDatabaseArgs, PostgresSettings.of, {"namespace": "ai"}),
    "RedisCache": (RedisCacheArgs, RedisSettings.of, {"namespace": "ai"}),
    "AiNamespace": (AiNamespaceArgs, NamespaceSettings.of, {}),
    "GpuPrerequisites": (GpuPrerequisitesArgs, PrerequisiteSettings.of, {"repository": "https://charts.example.com"}),
    "TrainingJob": (TrainingJobArgs, TrainingSettings.of, TRAINING),
    "VectorStore": (VectorStoreArgs, VectorSettings.of, {"namespace": "ai"}),
    "WorkerPool": (WorkerPoolArgs, WorkerSettings.of, WORKER),
    "ObservabilityStack": (ObservabilityStackArgs, StackSettings.of, WATCHED),
}
EVERY = [
    pytest.param(component, keys, wrong, id=f"{component}-{path(keys)}")
    for component, (shape, _, _) in COMPONENTS.items()
    for keys, wrong in wrong_everywhere(shape)
]


@pytest.mark.parametrize(("component", "keys", "wrong"), EVERY)
def test_a_value_of_the_wrong_kind_is_told_with_its_path_itself_and_the_choice(
    component: str, keys: tuple[Key, ...], wrong: object
) -> None:
    _, check, base = COMPONENTS[component]
    with pytest.raises(pulumi.InputPropertiesError) as error:
        check("llama", at(keys, wrong, base))
    assert str(error.value).startswith(f"{component} 'llama' cannot be built as asked")
    reasons = [f["reason"] for f in error.value.errors or [] if f["property_path"] == f"args.{path(keys)}"]
    assert reasons, error.value
    assert f"{wrong!r}; give " in reasons[0]


def test_there_are_as_many_as_the_components_declare() -> None:
    # A walk that finds nothing below the surface would prove nothing.
    found = {component: {path(keys) for keys, _ in wrong_everywhere(shape)} for component, (shape, _, _) in COMPONENTS.items()}
    assert found["GpuModelServer"] >= GpuModelServerArgs.__annotations__.keys()
    assert {"scaling.schedule[0].timezone", "weights.shared_volume.gib", "allow_from[0].pod_labels.a"} <= found["GpuModelServer"]
    assert {"backends[0].egress.port", "http_route.proxies[0].cidr"} <= found["AiApiService"]
    assert {"broker.password.key", "celery.app", "scaling.metric.labels.a"} <= found["WorkerPool"]
    assert {"watch[0].loads[0].target", "objectives.period_days", "prometheus.allow_from[0].cidr"} <= found["ObservabilityStack"]
    assert {"quota.gpus", "container_defaults.requests.cpu"} <= found["AiNamespace"]
