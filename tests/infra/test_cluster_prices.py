"""Prices of what a cluster has beside GPUs: each has its source, and nodes are told from machines with GPUs."""

import datetime
from pathlib import Path

import pytest

from slipway.accelerators import Place
from slipway.cluster_prices import control_plane, control_planes, volume, volume_lists
from slipway.machines import machines
from slipway.prices import Rates, node_lists


def test_every_price_has_a_source_and_a_day() -> None:
    for told in (*control_planes(), *volume_lists(), *node_lists()):
        assert len(told.source) > 20
        assert told.date > datetime.date(2026, 1, 1)
    assert {c.place for c in control_planes()} == {Place.EC2, Place.GCE}


def test_classes_are_kinds_that_have_a_price_and_kinds_are_dear_in_their_order() -> None:
    for told in volume_lists():
        assert set(told.classes.values()) <= told.usd_per_gib_month.keys()
        assert told.kind(None) == told.classes["default"]
        assert told.kind("nosuch") is None
        assert all(0.005 < usd < 0.5 for usd in told.usd_per_gib_month.values())


def test_nodes_are_no_machines_with_gpus_and_cost_by_their_size() -> None:
    for told in node_lists():
        assert not told.on_demand.keys() & {m.name for m in machines(told.place)}
        for name, usd in told.on_demand.items():
            assert 0.02 < usd < 3, name
            assert told.spot.get(name, 0) < usd


def test_without_a_region_the_cheapest_is_told() -> None:
    found = volume(Rates(), Place.GCE, None, "premium-rwo", 73)
    assert found is not None
    assert (found[0].usd_per_hour, found[0].region, found[1]) == (pytest.approx(0.017), "us-central1", "pd-ssd")
    assert volume(Rates(), Place.GCE, "mars-north1", None, 1) is None
    assert control_plane(Rates(), Place.AZURE) is None


def test_a_node_s_price_can_be_one_s_own(tmp_path: Path) -> None:
    file = tmp_path / "rates.yaml"
    file.write_text("machines:\n  - {place: gce, machine: e2-standard-4, usd_per_hour: 0.1}\n")
    price = Rates.read(file).of(Place.GCE, "e2-standard-4", "europe-west4")
    assert price is not None
    assert price.usd_per_hour == 0.1
