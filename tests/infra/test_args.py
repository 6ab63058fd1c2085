"""Checking arguments against their TypedDict: every fault at once, each by its path."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NotRequired, TypedDict

import pulumi
import pytest

from slipway.args import Faults, check_shape
from slipway.plan import plan_program


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Scaling(TypedDict):
    min: NotRequired[int]
    max: int


class Thing(TypedDict):
    name: str
    size: NotRequired[int]
    share: NotRequired[float]
    on: NotRequired[bool]
    colour: NotRequired[Colour]
    scaling: NotRequired[Scaling]
    labels: NotRequired[Mapping[str, str]]
    parts: NotRequired[Sequence[Scaling]]
    secret: NotRequired[pulumi.Input[str]]


def faults_of(args: object) -> dict[str, str]:
    faults = Faults("Thing")
    check_shape(args, Thing, faults)
    try:
        faults.refuse("it")
    except pulumi.InputPropertiesError as refused:
        return {f["property_path"]: f["reason"] for f in refused.errors or []}
    return {}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({}, {"args.name": "is required; give text"}),
        ({"name": None}, {"args.name": "is required; give text"}),
        ({"name": 3}, {"args.name": "is 3; give text"}),
        ({"name": "a", "sise": 3}, {"args.sise": "is not an argument; did you mean 'size'?"}),
        ({"name": "a", "size": "3"}, {"args.size": "is the text '3'; give a whole number"}),
        ({"name": "a", "size": 3.5}, {"args.size": "is 3.5; give a whole number"}),
        ({"name": "a", "size": True}, {"args.size": "is True; give a whole number"}),
        ({"name": "a", "on": 1}, {"args.on": "is 1; give true or false"}),
        ({"name": "a", "share": "x"}, {"args.share": "is the text 'x'; give a number"}),
        ({"name": "a", "colour": "green"}, {"args.colour": "is the text 'green'; give one of 'red', 'blue'"}),
        ({"name": "a", "scaling": {"min": 1}}, {"args.scaling.max": "is required; give a whole number"}),
        ({"name": "a", "scaling": 4}, {"args.scaling": "is 4; give a mapping with the keys 'min', 'max'"}),
        ({"name": "a", "labels": {"x": 1}}, {"args.labels.x": "is 1; give text"}),
        ({"name": "a", "labels": ["x"]}, {"args.labels": "is ['x']; give a mapping"}),
        ({"name": "a", "parts": [{"max": 1}, {"max": "x"}]}, {"args.parts[1].max": "is the text 'x'; give a whole number"}),
        ({"name": "a", "parts": "ab"}, {"args.parts": "is the text 'ab'; give a list"}),
        ({"name": "a", "secret": 7}, {"args.secret": "is 7; give text"}),
        (
            {"size": 1.5, "scaling": {"maxi": 1}},
            {"args.size": "", "args.name": "", "args.scaling.maxi": "", "args.scaling.max": ""},
        ),
    ],
)
def test_every_fault_is_told_by_its_path(args: Mapping[str, Any], expected: Mapping[str, str]) -> None:
    found = faults_of(args)
    assert set(found) == set(expected)
    assert {k: v for k, v in found.items() if expected[k]} == {k: v for k, v in expected.items() if v}


def test_what_is_no_mapping_is_told_with_the_keys_there_are() -> None:
    assert faults_of("x")["args"].startswith("is the text 'x'; give a mapping with the keys 'name', 'size'")


def test_what_passes_comes_back_with_whole_floats_as_integers_and_enums_as_members() -> None:
    faults = Faults("Thing")
    given = {
        "name": "a",
        "size": 2.0,
        "share": 1,
        "colour": "blue",
        "scaling": {"max": 4.0, "min": None},
        "parts": [{"max": 1.0}],
    }
    checked = check_shape(given, Thing, faults)
    assert not faults
    assert checked == {"name": "a", "size": 2, "share": 1, "colour": Colour.BLUE, "scaling": {"max": 4}, "parts": [{"max": 1}]}
    assert isinstance(checked["size"], int)


def test_outputs_pass_where_an_input_is_taken_since_their_value_is_not_known_yet() -> None:
    found: list[dict[str, str]] = []

    def program() -> None:
        made = pulumi.Output.from_input(3)
        found.append(faults_of({"name": "a", "secret": made}))
        found.append(faults_of({"name": "a", "size": made, "scaling": {"max": made}}))

    plan_program(program)
    plain = "comes from another resource; give a plain value, since the plan is checked with it"
    assert found == [{}, {"args.size": plain, "args.scaling.max": plain}]


def test_the_error_names_component_count_and_paths() -> None:
    faults = Faults("Thing")
    faults.add("size", "is -1; give 0 or more")
    faults.add("size", "is -1; give 0 or more")
    faults.add("scaling.max", "is below 'min'")
    with pytest.raises(pulumi.InputPropertiesError) as refused:
        faults.refuse("it")
    assert refused.value.message == (
        "Thing 'it' cannot be built as asked, 2 faults:\n  args.size: is -1; give 0 or more\n  args.scaling.max: is below 'min'"
    )
    assert faults.at("scaling")
    assert not faults.at("scal")
