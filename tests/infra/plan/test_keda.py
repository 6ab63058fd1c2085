"""What KEDA is to read and may not, past the network policies of a plan."""

from collections.abc import Callable
from typing import Any

import pulumi_kubernetes as k8s
import pytest

from slipway import AiApiService, ObservabilityStack, RedisCache, WorkerPool, vendor
from slipway.kubernetes.keda import operator
from slipway.plan import Plan, plan_program
from slipway.plan.keda import OPERATOR, shut_out

KEDA = {"namespace": "keda", "pod_labels": {"app.kubernetes.io/name": "keda-operator"}}
OURS = {"pod_labels": {"app.kubernetes.io/part-of": "slipway"}}


def pool(broker: Callable[[RedisCache], Any], scaling: Any = None, **cache: Any) -> Plan:
    """A pool and the Redis that hands out its tasks."""

    def program() -> None:
        given: Any = {"namespace": "ai", "eviction_policy": "noeviction", **cache}
        redis = RedisCache("queue", given)
        args: Any = {"namespace": "ai", "image": "app:1", "broker": broker(redis), "celery": {"app": "tasks"}}
        args["scaling"] = scaling or {}
        WorkerPool("worker", args)

    return plan_program(program)


def by_hand(_: RedisCache) -> Any:
    return {"host": "queue.ai.svc", "password": {"name": "queue-password", "key": "password"}}


def by_object(redis: RedisCache) -> Any:
    return redis.broker()


def test_a_redis_handed_over_lets_keda_in_and_nobody_else_besides() -> None:
    plan = pool(by_object, {"keda_namespace": "scaling"})
    assert shut_out(plan) == []
    policy = plan["worker-keda-network"].inputs
    assert policy["metadata"]["namespace"] == "ai"
    assert policy["spec"] == {
        "podSelector": plan["queue-network"].inputs["spec"]["podSelector"],
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "from": [
                    {
                        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "scaling"}},
                        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "keda-operator"}},
                    }
                ],
                "ports": [{"protocol": "TCP", "port": 6379}],
            }
        ],
    }


def test_pods_that_no_policy_closes_get_none_which_would_shut_everybody_else_out() -> None:
    args: Any = {"namespace": "ai", "image": "app:1", "celery": {"app": "tasks"}}
    way = {"port": 6379, "pod_labels": {"app.kubernetes.io/name": "redis"}}
    for closed in (False, True):
        args["broker"] = {"host": "redis.ai.svc", "egress": way, "closed": closed}
        plan = plan_program(lambda: WorkerPool("worker", args))
        assert [r.name for r in plan if r.name == "worker-keda-network"] == ["worker-keda-network"] * closed


@pytest.mark.parametrize("allow_from", [None, [], [OURS], [{"namespace": "edge", "pod_labels": {"app": "router"}}]])
def test_a_redis_by_its_name_that_refuses_keda_is_told_once_with_the_choice(allow_from: Any) -> None:
    (told,) = shut_out(pool(by_hand, **({} if allow_from is None else {"allow_from": allow_from})))
    assert told.startswith("WorkerPool worker has KEDA read queue, whose network policy refuses KEDA: nothing is scaled. Let")
    assert f"by 'allow_from' of RedisCache queue: {KEDA}" in told


@pytest.mark.parametrize("peer", [KEDA, {"namespace": "keda"}, {"namespace": "keda", "pod_labels": {"app": "keda-operator"}}])
def test_one_that_lets_it_in_is_not(peer: Any) -> None:
    assert shut_out(pool(by_hand, allow_from=[OURS, peer])) == []


@pytest.mark.parametrize(("more", "refused"), [({}, True), ({"prometheus": {"allow_from": [KEDA]}}, False)])
def test_a_prometheus_that_refuses_keda_is_told_by_its_own_argument(more: Any, refused: bool) -> None:
    def program() -> None:
        openai = vendor("openai", name="gpt", model="gpt-4o-mini", api_key={"name": "api-keys", "key": "openai"})
        scaling: Any = {"by": "keda", "requests_per_second": 5, "prometheus_url": "http://watch-prometheus.monitoring:9090"}
        api = AiApiService("api", {"namespace": "ai", "image": "router:1.2.3", "backends": [openai], "scaling": scaling})
        given: Any = {"namespace": "monitoring", "watch": [api.watched()], **more}
        ObservabilityStack("watch", given)

    told = shut_out(plan_program(program))
    assert ["by 'prometheus.allow_from' of ObservabilityStack watch" in line for line in told] == [True] * refused


def test_what_is_not_here_or_scaled_otherwise_is_not_told_of() -> None:
    external: Any = {"host": "redis.example.com", "secret": {"name": "redis", "key": "url"}}
    assert shut_out(pool(lambda _: {"host": "redis.example.com"})) == []
    assert shut_out(pool(by_hand, eviction_policy="noeviction", max_memory_mib=64, allow_from=[{"namespace": "keda"}])) == []
    assert shut_out(pool(by_hand, {"by": "hpa", "metric": {"name": "redis_key_size"}})) == []

    def elsewhere() -> None:
        RedisCache("queue", {"namespace": "ai", "external": external})
        openai = vendor("openai", name="gpt", model="gpt-4o-mini", api_key={"name": "api-keys", "key": "openai"})
        scaling: Any = {"by": "keda", "requests_per_second": 5, "prometheus_url": "http://prometheus.monitoring:9090"}
        AiApiService("api", {"namespace": "ai", "image": "router:1.2.3", "backends": [openai], "scaling": scaling})

    assert shut_out(plan_program(elsewhere)) == []


def test_what_is_known_only_after_up_is_not_told_of() -> None:
    def program() -> None:
        unknown = k8s.core.v1.Namespace("made").metadata.name  # pyright: ignore[reportOptionalMemberAccess]
        trigger = {"type": "redis", "metadata": {"address": unknown}}
        meta: Any = {"name": "a", "namespace": "ai"}
        for name, spec in (("one", {"triggers": [trigger, unknown]}), ("two", unknown)):
            k8s.apiextensions.CustomResource(name, api_version="keda.sh/v1alpha1", kind="ScaledObject", metadata=meta, spec=spec)
        k8s.networking.v1.NetworkPolicy("p", metadata=meta)

    assert shut_out(plan_program(program)) == []


def test_a_plan_that_was_kept_is_told_the_same() -> None:
    plan = pool(by_hand)
    assert shut_out(Plan.from_json(plan.to_json())) == shut_out(plan) != []


def test_its_labels_are_those_that_policies_let_in() -> None:
    assert operator("keda")["pod_labels"].items() <= OPERATOR.items()  # pyright: ignore[reportTypedDictNotRequiredAccess]
