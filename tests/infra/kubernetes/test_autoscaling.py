"""Replicas: one owner of the number, and the behaviour of the autoscaler in figures. That it scales is proven on a cluster."""

from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pytest

from slipway.args import Faults
from slipway.kubernetes.autoscaling import Replicas, Scaling, autoscaler, behavior


def decided(replicas: int | None = None, scaling: Mapping[str, Any] | None = None) -> tuple[Replicas, dict[str, str]]:
    faults = Faults("Thing")
    result = Replicas.of(replicas, cast("Scaling | None", scaling), faults)
    try:
        faults.refuse("x")
    except pulumi.InputPropertiesError as error:
        return result, {f["property_path"].removeprefix("args."): f["reason"] for f in error.errors or []}
    return result, {}


def test_without_a_word_it_scales_from_2_to_20() -> None:
    assert decided() == (Replicas(fixed=None, minimum=2, maximum=20, cpu_percent=70, requests_per_second=100), {})


@pytest.mark.parametrize(
    ("scaling", "low", "high"), [({"min": 30}, 30, 30), ({"max": 1}, 1, 1), ({"min": 3}, 3, 20), ({"min": 1, "max": 4}, 1, 4)]
)
def test_one_end_of_the_range_moves_the_other_only_where_it_must(scaling: Mapping[str, Any], low: int, high: int) -> None:
    replicas, faults = decided(scaling=scaling)
    assert (replicas.minimum, replicas.maximum, faults) == (low, high, {})


@pytest.mark.parametrize(
    ("replicas", "scaling", "told"),
    [
        (-1, None, {"replicas": "is -1; give 0 or more"}),
        (3, {"max": 5}, {"replicas": "cannot go with 'scaling'"}),
        (None, {"min": 5, "max": 4}, {"scaling.min": "is 5, above scaling.max = 4"}),
        (None, {"min": 0}, {"scaling.min": "is 0; give 1 or more"}),
        (None, {"max": 0}, {"scaling.max": "is 0; give 1 or more"}),
        (
            None,
            {"cpu_percent": -1, "requests_per_second": -2},
            {"scaling.cpu_percent": "is -1", "scaling.requests_per_second": "is -2"},
        ),
        (None, {"cpu_percent": 0, "requests_per_second": 0}, {"scaling": "scales on nothing"}),
        (1, {"min": 0}, {"replicas": "cannot go", "scaling.min": "is 0"}),
    ],
)
def test_every_wrong_number_is_told(replicas: int | None, scaling: Mapping[str, Any] | None, told: dict[str, str]) -> None:
    _, faults = decided(replicas, scaling)
    assert faults.keys() == told.keys()
    assert all(reason in faults[path] for path, reason in told.items())


def test_zero_stops_a_service() -> None:
    assert decided(0) == (Replicas(fixed=0), {})


def test_up_fast_down_slow_in_the_figures_that_are_meant() -> None:
    assert behavior() == {
        "scale_down": {"stabilization_window_seconds": 300, "policies": [{"type": "Percent", "value": 10, "period_seconds": 60}]},
        "scale_up": {
            "stabilization_window_seconds": 0,
            "policies": [
                {"type": "Percent", "value": 100, "period_seconds": 15},
                {"type": "Pods", "value": 4, "period_seconds": 15},
            ],
            "select_policy": "Max",
        },
    }


@pytest.mark.parametrize(
    ("replicas", "kinds"),
    [
        (Replicas(), ["Resource", "Pods"]),
        (Replicas(cpu_percent=0), ["Pods"]),
        (Replicas(requests_per_second=0), ["Resource"]),
    ],
)
def test_a_target_of_0_is_no_metric(replicas: Replicas, kinds: list[str]) -> None:
    metrics = cast("list[Mapping[str, Any]]", autoscaler("x", replicas).get("metrics"))
    assert [m["type"] for m in metrics] == kinds
