"""Quantities, against figures worked out by hand."""

from decimal import Decimal

import pulumi
import pytest

from slipway.args import Faults
from slipway.kubernetes.quantity import ComputeResources, fill, parse

DEFAULTS: ComputeResources = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        (".5", "0.5"),
        ("1.", "1"),
        ("1Gi", "1073741824"),
        ("1.5Gi", "1610612736"),
        ("512Mi", "536870912"),
        ("1G", "1000000000"),
        ("1k", "1000"),
        ("1e3", "1000"),
        ("12E-1", "1.2"),
        ("3E", "3000000000000000000"),
        ("100n", "0.0000001"),
    ],
)
def test_a_quantity_is_worth(text: str, value: str) -> None:
    assert parse(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "1 Gi", "1gi", "1KI", "Gi", "-1", "+1", "1,5", "1GB", "e3", "0x1", "1\n", "²"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        parse(text)


def test_what_is_not_given_is_filled_in() -> None:
    faults = Faults("Thing")
    assert fill("resources", {"limits": {"cpu": "4"}}, DEFAULTS, faults) == {
        "requests": {"cpu": "500m", "memory": "1Gi"},
        "limits": {"cpu": "4", "memory": "4Gi"},
    }
    assert not faults


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"requests": {"cpu": "two"}}, {"args.resources.requests.cpu": "give a quantity such as '500m' or '2'"}),
        ({"limits": {"memory": "4GB"}}, {"args.resources.limits.memory": "give a quantity such as '512Mi'"}),
        (
            {"requests": {"memory": "512m"}},
            {"args.resources.requests.memory": "is '512m', which is 0.512 bytes; for MiB write 'Mi'"},
        ),
        ({"requests": {"cpu": "0"}}, {"args.resources.requests.cpu": "give more than 0"}),
        ({"requests": {"cpu": "2001m"}}, {"args.resources.limits.cpu": "is '2', below the request of '2001m'"}),
        (
            {"requests": {"cpu": "x"}, "limits": {"memory": "1023Mi"}},
            {"args.resources.requests.cpu": "is 'x'", "args.resources.limits.memory": "below the request of '1Gi'"},
        ),
    ],
)
def test_wrong_resources_are_told_by_path(given: ComputeResources, told: dict[str, str]) -> None:
    faults = Faults("Thing")
    fill("resources", given, DEFAULTS, faults)
    with pytest.raises(pulumi.InputPropertiesError) as refused:
        faults.refuse("x")
    found = {f["property_path"]: f["reason"] for f in refused.value.errors or []}
    assert found.keys() == told.keys()
    assert all(reason in found[path] for path, reason in told.items())


def test_a_limit_equal_to_its_request_is_right_however_it_is_written() -> None:
    faults = Faults("Thing")
    fill("resources", {"requests": {"memory": "4096Mi", "cpu": "2000m"}}, DEFAULTS, faults)
    assert not faults
