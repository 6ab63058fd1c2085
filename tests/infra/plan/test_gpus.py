"""GPUs that a plan asks for and nothing provides."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.infra.kubernetes.model_server import LLAMA

from slipway import GpuModelServer, GpuPrerequisites, TrainingJob, WorkerPool
from slipway.plan import Plan, plan_program
from slipway.plan.gpus import unprovided

REPOSITORY = "https://charts.example.com/nvidia"


def server(**more: Any) -> None:
    args: Any = {**LLAMA, **more}
    GpuModelServer("llama", args)


def training(**more: Any) -> None:
    args: Any = {"namespace": "ai", "image": "t:1", "command": ["t"], "accelerator": "l4:4", **more}
    TrainingJob("tune", args)


def prerequisites(**args: Any) -> None:
    given: Any = args
    GpuPrerequisites("gpus", given)


def several(*declare: Callable[[], object]) -> Plan:
    def program() -> None:
        for each in declare:
            each()

    return plan_program(program)


def test_each_component_that_asks_in_vain_is_told_once_with_the_choice() -> None:
    told = unprovided(several(server, training))
    assert [line.split(" and nothing")[0] for line in told] == [
        "llama asks for nvidia.com/gpu,",
        "tune asks for nvidia.com/gpu,",
    ]
    assert all("Add GpuPrerequisites, with 'existing': true where the cluster has it." in line for line in told)


@pytest.mark.parametrize("given", [{"repository": REPOSITORY}, {"existing": True}])
def test_prerequisites_or_the_word_that_they_are_there_are_enough(given: dict[str, Any]) -> None:
    assert unprovided(several(server, training, lambda: prerequisites(**given))) == []


def test_a_turn_on_a_gpu_needs_gpus_that_are_shared() -> None:
    def sharing() -> None:
        small = {"model": "Qwen/Qwen2.5-0.5B-Instruct", "accelerator": "l4/shared", "gpu_memory_utilization": 0.4}
        server(**small, tensor_parallel_size=1, context_tokens=2048)

    (told,) = unprovided(several(sharing, lambda: prerequisites(repository=REPOSITORY)))
    assert told.startswith("llama asks for nvidia.com/gpu.shared, a turn on a GPU, and GpuPrerequisites lets none be shared")
    assert unprovided(several(sharing, lambda: prerequisites(repository=REPOSITORY, shared_replicas=2))) == []
    assert unprovided(several(sharing, lambda: prerequisites(existing=True))) == []


@pytest.mark.parametrize(("labels", "built_in"), [("gke", True), ("eks-auto", True), ("karpenter", False), ("aks", False)])
def test_some_clouds_provide_their_own(labels: str, built_in: bool) -> None:
    args = {"accelerator": "t4:1", "node_labels": labels}
    assert (unprovided(several(lambda: training(**args))) == []) is built_in


def test_who_asks_for_none_is_not_told_anything() -> None:
    pool: Any = {"namespace": "ai", "image": "a:1", "broker": {"host": "redis"}, "celery": {"app": "tasks"}}
    assert unprovided(several(lambda: WorkerPool("worker", pool))) == []


def test_a_plan_that_was_written_down_tells_the_same() -> None:
    plan = several(server)
    assert unprovided(Plan.from_json(plan.to_json())) == unprovided(plan) != []
