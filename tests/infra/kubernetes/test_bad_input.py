"""Every argument of the components around the model, those within it too, is told of by name in a table of bad input.

test_arguments.py gives each a value of the wrong kind. Here it is about values of the right kind that are wrong all the same, and
about arguments that exclude or need another: somebody must have thought of each argument.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.infra.kubernetes import (
    test_celery_worker,
    test_gpu_prerequisites,
    test_observability_stack_args,
    test_postgres_database,
    test_redis_broker,
    test_redis_cache,
    test_training_job,
    test_vector_store,
    test_worker_pool,
    test_worker_scaling,
)
from tests.support.arguments import fields, fields_on

from slipway.kubernetes.gpu_prerequisites_args import GpuPrerequisitesArgs
from slipway.kubernetes.observability_stack_args import ObservabilityStackArgs
from slipway.kubernetes.postgres_database_args import PostgresDatabaseArgs
from slipway.kubernetes.redis_cache_args import RedisCacheArgs
from slipway.kubernetes.training_job_args import TrainingJobArgs
from slipway.kubernetes.vector_store_args import VectorStoreArgs
from slipway.kubernetes.worker_pool_args import WorkerPoolArgs

Table = list[tuple[dict[str, Any], dict[str, str]]]
TABLES: list[tuple[type, str, Table]] = [
    (RedisCacheArgs, "", test_redis_cache.WRONG),
    (PostgresDatabaseArgs, "", test_postgres_database.WRONG),
    (VectorStoreArgs, "", [(more, {where: says}) for more, where, says in test_vector_store.WRONG]),
    (WorkerPoolArgs, "", test_worker_pool.WRONG),
    (WorkerPoolArgs, "broker.", test_redis_broker.WRONG),
    (WorkerPoolArgs, "scaling.", test_worker_scaling.WRONG),
    (WorkerPoolArgs, "", test_celery_worker.WRONG),
    (TrainingJobArgs, "", test_training_job.WRONG),
    (GpuPrerequisitesArgs, "", test_gpu_prerequisites.WRONG),
    (ObservabilityStackArgs, "", test_observability_stack_args.WRONG),
]
"""Arguments, what stands before the paths that a table tells, and the table."""
SHAPES = list(dict.fromkeys(shape for shape, _, _ in TABLES))


def named() -> Iterator[tuple[str, str]]:
    """The fields that some case has told as wrong. One that several components have is checked by the same code for each."""
    for shape, before, table in TABLES:
        for _, told in table:
            for path in told:
                yield from fields_on(shape, before + path)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_every_argument_is_told_of_by_a_case(shape: type) -> None:
    assert fields(shape) - set(named()) == set()


def test_an_argument_that_no_case_names_is_found() -> None:
    # Else a walk that sees nothing below the surface would pass.
    assert {("RedisCacheArgs", "storage_gib"), ("Peer", "cidr"), ("BackupBucket", "region")} <= fields(RedisCacheArgs)
    assert fields_on(RedisCacheArgs, "allow_from[0].cidr") == [("RedisCacheArgs", "allow_from"), ("Peer", "cidr")]
    assert fields_on(WorkerPoolArgs, "env_from_secrets.A.name")[1:] == [("SecretKeyRef", "name")]
    assert fields_on(RedisCacheArgs, "no_such_argument") == []
