"""Servers on spot nodes beside a floor: which nodes each may stand on. That a scheduler puts them there is not proven here."""

from typing import Any

import kubernetes_validate
import pulumi
import pytest
from tests.infra.kubernetes.model_server import LLAMA, planned, refused, revealed

from slipway.kubernetes.gpu_model_server import GpuModelServer
from slipway.plan import Plan, plan_program

SPOT: dict[str, Any] = {"on_demand": 1, "nodes": "karpenter"}


def pod(plan: Plan, name: str) -> dict[str, Any]:
    return plan[name].inputs["spec"]["template"]["spec"]


def nodes(plan: Plan, name: str) -> tuple[str, str, list[str]]:
    required = pod(plan, name)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (expression,) = required["nodeSelectorTerms"][0]["matchExpressions"]
    return expression["key"], expression["operator"], expression["values"]


@pytest.mark.parametrize("rollout", ["resource-aware", "availability"])
@pytest.mark.parametrize(
    ("cloud", "key", "value", "tainted"),
    [
        ("karpenter", "karpenter.sh/capacity-type", "spot", False),
        ("eks", "eks.amazonaws.com/capacityType", "SPOT", False),
        ("gke", "cloud.google.com/gke-spot", "true", True),
        ("aks", "kubernetes.azure.com/scalesetpriority", "spot", True),
    ],
)
def test_the_floor_stays_off_spot_nodes_and_the_rest_stands_on_them(
    rollout: str, cloud: str, key: str, value: str, tainted: bool
) -> None:
    plan = planned(replicas=5, spot={"on_demand": 2, "nodes": cloud}, rollout=rollout)
    for resource in plan:
        if resource.custom:
            kubernetes_validate.validate(revealed(resource.inputs), "1.36", strict=True)
    assert (plan["llama-server"].inputs["spec"]["replicas"], plan["llama-spot"].inputs["spec"]["replicas"]) == (2, 3)
    assert nodes(plan, "llama-server") == (key, "NotIn", [value])
    assert nodes(plan, "llama-spot") == (key, "In", [value])
    taint = {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}
    assert (taint in pod(plan, "llama-spot")["tolerations"]) is tainted
    assert taint not in pod(plan, "llama-server")["tolerations"]


def test_they_are_one_service_with_one_budget() -> None:
    plan = planned(replicas=3, spot=SPOT)
    shared = plan["llama-service"].inputs["spec"]["selector"]
    assert plan["llama-pdb"].inputs["spec"]["selector"]["matchLabels"] == shared
    for name in ("llama-server", "llama-spot"):
        labels = plan[name].inputs["spec"]["template"]["metadata"]["labels"]
        assert shared.items() <= labels.items()
        assert plan[name].inputs["spec"]["selector"]["matchLabels"].items() <= labels.items()
    # The floor's selector is what it was without spot nodes, since it can never be changed.
    without = planned(replicas=3)["llama-server"].inputs["spec"]["selector"]
    assert plan["llama-server"].inputs["spec"]["selector"] == without != plan["llama-spot"].inputs["spec"]["selector"]


def test_the_plan_says_what_it_costs() -> None:
    def program() -> None:
        spot: Any = {"on_demand": 2, "nodes": "gke"}
        pulumi.export("explain", GpuModelServer("llama", {**LLAMA, "replicas": 3, "spot": spot}).explain)

    explained = plan_program(program).outputs["explain"]
    assert "spot: 2 of 3 servers stay; the others end 30 s after the cloud's warning, and longer answers with them" in explained


@pytest.mark.parametrize(
    ("more", "path", "says"),
    [
        ({"replicas": 1, "spot": SPOT}, "spot", "is for several servers, and replicas is 1"),
        (
            {"replicas": 3, "spot": {**SPOT, "on_demand": 0}},
            "spot.on_demand",
            "no floor; give 1 or more, or for spot nodes alone",
        ),
        ({"replicas": 3, "spot": {**SPOT, "on_demand": 3}}, "spot.on_demand", "leaves none for spot nodes; give up to 2"),
        ({"replicas": 3, "spot": {"on_demand": 1}}, "spot.nodes", "is required"),
        ({"replicas": 3, "spot": {**SPOT, "nodes": "oke"}}, "spot.nodes", "'karpenter', 'eks', 'gke', 'aks'"),
        ({"replicas": 3, "spot": {**SPOT, "floor": 1}}, "spot.floor", "is not an argument"),
        (
            {"spot": SPOT, "scaling": {"max": 3, "prometheus_url": "http://p"}},
            "spot",
            "would not keep the floor; give 'replicas'",
        ),
    ],
)
def test_a_floor_that_is_none_is_refused(more: dict[str, Any], path: str, says: str) -> None:
    told = refused(base=LLAMA, **more)
    assert list(told) == [path]
    assert says in told[path]
