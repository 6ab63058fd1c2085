"""Objects of one plan that a cluster would take for one."""

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
from tests.infra.kubernetes.model_server import LLAMA

from slipway import GpuModelServer, RedisCache, VectorStore
from slipway.plan import Plan, plan_program
from slipway.plan.objects import meeting

CACHE: Any = {"namespace": "ai"}


def several(*declare: Callable[[], object]) -> Plan:
    def program() -> None:
        for each in declare:
            each()

    return plan_program(program)


def spanning(name: str, namespace: str = "ai") -> Callable[[], object]:
    """A model server of two nodes, which LeaderWorkerSet keeps."""
    args: Any = {**LLAMA, "namespace": namespace, "nodes": 2, "pipeline_parallel_size": 2}
    return lambda: GpuModelServer(name, args)


def test_two_stores_of_one_name_are_told_once_with_what_they_share() -> None:
    (told,) = meeting(several(lambda: RedisCache("docs", CACHE), lambda: VectorStore("docs", CACHE)))
    shared = "Service ai/docs, ServiceAccount ai/docs-account, NetworkPolicy ai/docs-network"
    assert told == (
        f"RedisCache docs and VectorStore docs meet in {shared}: the cluster keeps one of each. Give one of them another name, "
        "or namespace."
    )


def test_a_service_that_leader_worker_set_makes_meets_a_component_of_that_name() -> None:
    named: Any = {"namespace": "ai"}
    (told,) = meeting(several(spanning("llama"), lambda: RedisCache("llama-server", named)))
    assert told.startswith("GpuModelServer llama and RedisCache llama-server meet in Service ai/llama-server: the cluster")


def test_other_names_and_namespaces_do_not_meet() -> None:
    elsewhere: Any = {"namespace": "data"}
    assert meeting(several(spanning("llama"), spanning("mistral"), lambda: RedisCache("llama-server", elsewhere))) == []

    def read() -> None:
        # What exists already and is only looked at, or patched, is no second one.
        RedisCache("cache", CACHE)
        k8s.core.v1.Service.get("found", "ai/cache")
        k8s.core.v1.ServicePatch("patch", metadata={"name": "cache", "namespace": "ai"}, opts=pulumi.ResourceOptions())

    assert meeting(plan_program(read)) == []


def test_objects_of_two_clusters_do_not_meet() -> None:
    def program() -> None:
        for region, component in (("eu", RedisCache), ("us", VectorStore)):
            cluster = k8s.Provider(region, kubeconfig="{}")
            component("docs", CACHE, pulumi.ResourceOptions(providers=[cluster]))

    assert meeting(plan_program(program)) == []


def test_of_names_that_are_not_known_nothing_is_said() -> None:
    def program() -> None:
        unknown = k8s.core.v1.Namespace("made").metadata.name  # pyright: ignore[reportOptionalMemberAccess]
        for name in ("one", "two"):
            k8s.core.v1.ConfigMap(name, metadata={"name": unknown})

    assert meeting(plan_program(program)) == []


def test_an_object_of_a_programs_own_is_told_by_its_kind() -> None:
    def program() -> None:
        RedisCache("cache", CACHE)
        k8s.core.v1.Service("mine", metadata={"name": "cache", "namespace": "ai"}, spec={"ports": [{"port": 1}]})

    (told,) = meeting(plan_program(program))
    assert told.startswith("RedisCache cache and Service mine meet in Service ai/cache:")
