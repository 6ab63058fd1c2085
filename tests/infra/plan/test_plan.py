"""The plan as an object and as JSON."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from slipway.plan import UNKNOWN, Plan, PlanError, Resource, Secret


def resource(name: str, type_: str = "kubernetes:core/v1:Service", **more: Any) -> Resource:
    urn = f"urn:pulumi:dev::shop::{type_}::{name}"
    return Resource(urn, type_, name, more.pop("parent", None), more.pop("inputs", {}), more.pop("options", {}), **more)


def plan(*resources: Resource, **more: Any) -> Plan:
    return Plan("shop", "dev", resources, **more)


def test_a_name_that_is_not_there_tells_what_is_near() -> None:
    with pytest.raises(KeyError, match="near it: front-service"):
        plan(resource("front-service"), resource("x"))["front-servce"]
    with pytest.raises(KeyError, match="there are x"):
        plan(resource("x"))["front"]
    with pytest.raises(KeyError, match="there are none"):
        plan()["front"]


def test_a_name_of_two_types_is_refused() -> None:
    with pytest.raises(KeyError, match="names 2 resources, of the types a:b:C, a:b:D"):
        plan(resource("x", "a:b:C"), resource("x", "a:b:D"))["x"]


def test_order_by_dependency_then_urn() -> None:
    last, first = resource("a"), resource("z")
    parent = resource("m", "shop:index:Front", custom=False)
    child = resource("b", parent=parent.urn)
    waiting = Resource(last.urn, last.type, "a", None, {}, {"dependsOn": [child.urn, first.urn, "urn:not:there"]})
    assert [r.name for r in plan(waiting, parent, child, first).in_order()] == ["m", "b", "z", "a"]


def test_a_chain_longer_than_the_stack_of_calls() -> None:
    names = [f"{i:05}" for i in range(5000)]
    urns = [resource(n).urn for n in names]
    chain = [resource(n, options={"dependsOn": urns[i + 1 : i + 2]}) for i, n in enumerate(names)]
    assert [r.name for r in plan(*chain).in_order()] == names[::-1]


def test_json_there_and_back() -> None:
    inputs = {"a": UNKNOWN, "b": [Secret("hush"), {"c": UNKNOWN}], "d": 1.5, "e": None, "f": True}
    made = plan(resource("b", inputs=inputs), resource("a", custom=False), outputs={"o": UNKNOWN})
    text = made.to_json()
    data = json.loads(text)
    assert [r["name"] for r in data["resources"]] == ["a", "b"]
    assert set(data) == {"project", "stack", "resources", "outputs"}
    assert data["resources"][1]["inputs"] == {
        "a": {"$unknown": True},
        "b": ["[secret]", {"c": {"$unknown": True}}],
        "d": 1.5,
        "e": None,
        "f": True,
    }
    read = Plan.from_json(text)
    assert read.to_json() == text
    assert read["b"].inputs["b"] == [Secret(), {"c": UNKNOWN}]
    assert read["a"].custom is False


def test_places_of_this_machine_are_told_by_name_but_not_in_manifests() -> None:
    root = Path("/srv/checkout")
    paths = {
        "a": "/srv/checkout/models",
        "b": "/srv/checkouts",
        "c": f"{sys.executable} -m x",
        "d": f"{Path.home()}/x",
        "e": "/srv",
    }
    text = plan(resource("p", "local:index:Process", inputs=paths), resource("k", inputs=paths), root=root).to_json()
    by_name = {r["name"]: r["inputs"] for r in json.loads(text)["resources"]}
    assert by_name["p"] == {"a": "${root}/models", "b": "/srv/checkouts", "c": "${python} -m x", "d": "${home}/x", "e": "/srv"}
    assert by_name["k"] == paths


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Invalid JSON"),
        ("[]", r"\(top\)"),
        ('{"project": "a", "stack": 1, "resources": [{"urn": "u"}]}', r"stack: [^\n]+\n  resources\.0\.type: [^\n]+\n"),
    ],
)
def test_what_is_no_plan_is_refused(text: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        Plan.from_json(text)
