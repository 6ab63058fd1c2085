"""A canary: two versions that do not mix, shares that wait for both, and what no gateway could do refused. What the engine does
with the order is Pulumi's; that a gateway splits by the weights is not proven here."""

from copy import deepcopy
from typing import Any

import pytest
from tests.infra.kubernetes.service import planned, refused, schema_faults

from slipway.kubernetes.autoscaling import Replicas
from slipway.kubernetes.canary import canary_replicas, share

ROUTE: dict[str, Any] = {"hosts": ["api.example.com"], "gateway": "public", "gateway_namespace": "gateways"}
CANARY: dict[str, Any] = {"image": "router:1.3.0", "weight": 10}


def weights(**more: Any) -> dict[str, int]:
    (rule,) = planned(http_route=ROUTE, **more)["api-route"].inputs["spec"]["rules"]
    return {ref["name"]: ref["weight"] for ref in rule["backendRefs"]}


@pytest.mark.parametrize("weight", [0, 10, 50, 100])
def test_the_shares_are_those_asked_for(weight: int) -> None:
    assert weights(canary={**CANARY, "weight": weight}) == {"api": 100 - weight, "api-canary": weight}
    assert weights() == {"api": 100}


def test_both_versions_are_complete_and_valid() -> None:
    plan = planned(http_route=ROUTE, canary=CANARY)
    assert schema_faults(plan) == []
    for role in ("network", "router", "service", "hpa", "pdb"):
        assert f"api-{role}" in plan
        assert f"api-canary-{role}" in plan
    images = [plan[f"{n}-router"].inputs["spec"]["template"]["spec"]["containers"][0]["image"] for n in ("api", "api-canary")]
    assert images == ["router:1.2.3", "router:1.3.0"]
    # One configuration, one identity.
    pods = [plan[f"{n}-router"].inputs["spec"]["template"]["spec"] for n in ("api", "api-canary")]
    assert pods[0]["volumes"] == pods[1]["volumes"]
    assert [pod["serviceAccountName"] for pod in pods] == ["api-account"] * 2


def test_no_selector_takes_the_pods_of_the_other_version() -> None:
    plan = planned(http_route=ROUTE, canary=CANARY)
    labels = {n: plan[f"{n}-router"].inputs["spec"]["template"]["metadata"]["labels"] for n in ("api", "api-canary")}
    for name, other in (("api", "api-canary"), ("api-canary", "api")):
        for selected in (
            plan[f"{name}-router"].inputs["spec"]["selector"]["matchLabels"],
            plan[f"{name}-service"].inputs["spec"]["selector"],
            plan[f"{name}-network"].inputs["spec"]["podSelector"]["matchLabels"],
            plan[f"{name}-pdb"].inputs["spec"]["selector"]["matchLabels"],
        ):
            assert selected.items() <= labels[name].items()
            assert not selected.items() <= labels[other].items()


def test_a_share_changes_only_after_both_versions_are_ready() -> None:
    plan = planned(http_route=ROUTE, canary=CANARY)
    ready = {plan[f"{name}-{role}"].urn for name in ("api", "api-canary") for role in ("router", "service")}
    assert ready <= set(plan["api-route"].options["dependsOn"])
    # Without waiting for them, "after" would mean nothing.
    for urn in ready:
        (resource,) = [r for r in plan if r.urn == urn]
        assert "pulumi.com/skipAwait" not in resource.inputs["metadata"].get("annotations", {})


def test_the_first_version_is_as_without_a_canary() -> None:
    alone, beside = planned(http_route=ROUTE), planned(http_route=ROUTE, canary=CANARY)
    for resource in alone:
        if resource.custom and resource.name != "api-route":
            inputs = deepcopy(dict(beside[resource.name].inputs))
            # What a change of the share has to touch, and the pods do not see.
            assert inputs["metadata"].pop("annotations", None) == SHARES.get(
                resource.name, resource.inputs["metadata"].get("annotations")
            )
            before = {**resource.inputs, "metadata": {k: v for k, v in resource.inputs["metadata"].items() if k != "annotations"}}
            assert inputs == before
            assert beside[resource.name].urn == resource.urn


SHARES = {"api-router": {"slipway/traffic-percent": "90"}}


def test_a_changed_share_changes_both_deployments_so_that_they_are_waited_for_and_no_pod() -> None:
    one, two = (planned(http_route=ROUTE, canary={**CANARY, "weight": weight}) for weight in (10, 50))
    for name, shares in (("api-router", ["90", "50"]), ("api-canary-router", ["10", "50"])):
        told = [plan[name].inputs["metadata"]["annotations"]["slipway/traffic-percent"] for plan in (one, two)]
        assert told == shares
        assert one[name].inputs["spec"]["template"] == two[name].inputs["spec"]["template"]
    assert "annotations" not in planned(http_route=ROUTE)["api-router"].inputs["metadata"]


@pytest.mark.parametrize(
    ("stable", "weight", "own", "expected"),
    [
        (Replicas(fixed=10), 25, None, Replicas(fixed=3)),
        (Replicas(fixed=10), 0, None, Replicas(fixed=1)),
        (Replicas(fixed=10), 25, 4, Replicas(fixed=4)),
        (Replicas(fixed=0), 100, None, Replicas(fixed=1)),
        (Replicas(minimum=4, maximum=20), 50, None, Replicas(minimum=2, maximum=20)),
        (Replicas(minimum=4, maximum=20), 1, None, Replicas(minimum=1, maximum=20)),
        (Replicas(minimum=4, maximum=20), 50, 3, Replicas(fixed=3, minimum=4, maximum=20)),
    ],
)
def test_it_has_its_share_of_the_replicas(stable: Replicas, weight: int, own: int | None, expected: Replicas) -> None:
    canary: Any = {"image": "x:1", "weight": weight, **({} if own is None else {"replicas": own})}
    assert canary_replicas(canary, stable) == expected


@pytest.mark.parametrize(("stable", "weight", "least"), [(3, 34, 2), (3, 33, 1), (3, 100, 3), (1, 1, 1), (200, 1, 2)])
def test_a_share_is_rounded_up(stable: int, weight: int, least: int) -> None:
    assert share(Replicas(fixed=stable), weight) == least


def test_one_without_share_may_stand_still() -> None:
    plan = planned(http_route=ROUTE, canary={**CANARY, "weight": 0, "replicas": 0})
    assert plan["api-canary-router"].inputs["spec"]["replicas"] == 0
    assert plan["api-canary-service"].inputs["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}


INGRESS = {"hosts": ["a.io"], "proxies": [{"cidr": "::/0"}], "plain_http": True}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"canary": "router:1.3.0"}, {"canary": "give a mapping with the keys 'image', 'weight', 'replicas'"}),
        ({"canary": {"weight": 10}}, {"canary.image": "is required"}),
        ({"canary": {"image": "router:2"}}, {"canary.weight": "is required"}),
        ({"http_route": None}, {"canary": "needs 'http_route': nothing else here splits requests by weight"}),
        ({"ingress": INGRESS}, {"ingress": "an Ingress has no weights"}),
        ({"service_annotations": {"pulumi.com/skipAwait": "true"}}, {"service_annotations.pulumi.com/skipAwait": "ready or not"}),
        ({"canary": {**CANARY, "image": "router:1.2.3"}}, {"canary.image": "is 'image' itself; give another version"}),
        ({"canary": {**CANARY, "image": "router:latest"}}, {"canary.image": "'latest' moves"}),
        ({"canary": {**CANARY, "weight": 101}}, {"canary.weight": "is 101; give 0 to 100 percent"}),
        ({"canary": {**CANARY, "weight": -1}}, {"canary.weight": "is -1; give 0 to 100 percent"}),
        ({"canary": {**CANARY, "weight": 0.5}}, {"canary.weight": "give a whole number"}),
        ({"canary": {**CANARY, "replicas": -1}}, {"canary.replicas": "is -1; give 0 or more"}),
        ({"canary": {**CANARY, "replicas": 0}}, {"canary.replicas": "10 % of scaling.min = 2 is 1, at least 1; give 1 or more"}),
        (
            {"replicas": 10, "canary": {**CANARY, "weight": 50, "replicas": 1}},
            {"canary.replicas": "is 1, and 50 % of 10 replicas is 5, at least 1; give 5 or more, or a smaller weight"},
        ),
        ({"replicas": 0}, {"canary.weight": "leaves 90 % of requests to the first version, and that has 0 replicas"}),
        ({"canary": {**CANARY, "version": "1"}}, {"canary.version": "is not an argument"}),
    ],
)
def test_each_wrong_argument_is_one_clear_fault(wrong: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused(**{"http_route": ROUTE, "canary": CANARY, **wrong})
    assert faults.keys() == told.keys()
    assert all(reason in faults[path] for path, reason in told.items()), faults


def test_its_name_must_fit_a_service_too() -> None:
    assert refused("a" * 56, http_route=ROUTE, canary=CANARY) == {}
    assert "with 'canary' give at most 56" in refused("a" * 57, http_route=ROUTE, canary=CANARY)["name"]
    assert refused("a" * 57, http_route=ROUTE) == {}


@pytest.mark.parametrize("value", [3, [], True, {"image": 3, "weight": "all", "replicas": []}, {"image": {}, "weight": None}])
def test_no_value_however_wrong_gives_anything_but_a_refusal(value: object) -> None:
    assert refused(http_route=ROUTE, canary=value)
