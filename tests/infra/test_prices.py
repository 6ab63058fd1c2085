"""Prices: every list of the catalogue has its source, and one's own go first."""

import datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from slipway.accelerators import Place
from slipway.machines import machines
from slipway.prices import OwnRates, PriceList, Rates, RatesError, price_lists


@pytest.mark.parametrize("told", price_lists(), ids=lambda p: f"{p.place}-{p.region}-{p.date}")
def test_every_list_has_a_source_a_day_and_machines_of_the_catalogue(told: PriceList) -> None:
    assert len(told.source) > 20
    assert datetime.date(2024, 1, 1) < told.date <= datetime.date(2030, 1, 1)
    known = {m.name: m for m in machines(told.place)}
    assert {*told.on_demand, *told.spot} <= known.keys()
    for name, usd in told.on_demand.items():
        # A GPU costs between a few cents and some twenty dollars an hour: a slip of a digit is seen.
        assert 0.1 < usd / max(known[name].gpus) < 25, name
        assert len(known[name].gpus) == 1, "such a price is without the GPUs"
        regions = known[name].regions
        assert regions is None or told.region in regions
    for name, usd in told.spot.items():
        regions = known[name].regions
        assert regions is None or told.region in regions
        # A tenth of the price on demand is the least that is asked, the whole of it the most.
        full = Rates().of(told.place, name, told.region)
        assert full is None or 0.09 < usd / full.usd_per_hour <= 1, name


def test_a_larger_machine_of_a_family_costs_no_less_for_each_place() -> None:
    for told in price_lists():
        for family in ("g6e", "ml.g6e", "g2-standard", "a2-ultragpu", "g7e"):
            sizes = {
                m.name: max(m.gpus) for m in machines(told.place) if m.name.startswith(f"{family}{'-' if '-' in family else '.'}")
            }
            priced = sorted((gpus, usd) for name, usd in told.on_demand.items() if (gpus := sizes.get(name)))
            most = {gpus: max(u for g, u in priced if g == gpus) for gpus, _ in priced}
            assert sorted(most.values()) == list(most.values())


@pytest.mark.parametrize(
    ("place", "machine", "region", "spot", "usd"),
    [
        (Place.SAGEMAKER, "ml.g5.xlarge", "us-east-1", False, 1.408),
        (Place.EC2, "p5.48xlarge", None, False, 55.04),
        (Place.GCE, "g2-standard-4", "us-central1", False, 0.706832),
        (Place.GCE, "g2-standard-4", "us-central1", True, 0.397336),
        (Place.EC2, "g6e.xlarge", "eu-central-1", True, 1.8407),
        (Place.EC2, "p5.48xlarge", "us-east-1", True, 19.4933),
        (Place.EC2, "p5e.48xlarge", "us-east-1", True, None),
        (Place.VERTEX, "a3-highgpu-1g", None, False, 12.625919),
        (Place.SAGEMAKER, "ml.p5.48xlarge", "us-west-2", False, 63.296),
        (Place.EC2, "g6e.xlarge", "eu-central-1", False, 2.327),
        (Place.AZURE, "Standard_NC4as_T4_v3", "eastus", False, 0.526),
        (Place.SAGEMAKER, "ml.g5.xlarge", "eu-west-1", False, None),
        (Place.SAGEMAKER, "ml.g5.xlarge", None, True, None),
        (Place.AZURE, "Standard_NC4as_T4_v3", None, True, None),
    ],
)
def test_list_prices(place: Place, machine: str, region: str | None, spot: bool, usd: float | None) -> None:
    price = Rates().of(place, machine, region, spot=spot)
    assert (price and price.usd_per_hour) == usd
    assert price is None or (price.region and price.source and price.date)


@pytest.mark.parametrize("place", [Place.EC2, Place.GCE])
def test_spot_prices_are_a_day_s_reading_of_some_regions(place: Place) -> None:
    told = [p for p in price_lists() if p.place is place and p.spot]
    assert len({p.region for p in told}) == len(told) >= 7
    assert min(p.date for p in told) >= datetime.date(2026, 8, 1)


def test_a_list_without_a_price_is_none() -> None:
    with pytest.raises(ValidationError, match="has no price; give 'on_demand', 'spot' or both"):
        PriceList(place=Place.EC2, region="r", date=datetime.date(2026, 1, 1), source="a test")


def test_without_a_region_the_cheapest_is_told_with_its_region() -> None:
    price = Rates().of(Place.GCE, "a2-highgpu-1g")
    assert price is not None
    assert price.usd_per_hour == min(p.on_demand["a2-highgpu-1g"] for p in price_lists() if "a2-highgpu-1g" in p.on_demand)


def test_of_regions_that_cost_the_same_the_one_read_last_is_told() -> None:
    price = Rates().of(Place.EC2, "g6.xlarge")
    assert price is not None
    assert (price.region, price.date) == ("us-east-1", datetime.date(2026, 7, 20))


def test_the_newer_of_two_lists_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def listed(day: int, usd: float) -> PriceList:
        return PriceList(
            place=Place.EC2, region="r", date=datetime.date(2026, 1, day), source="a test", on_demand={"g5.xlarge": usd}
        )

    monkeypatch.setattr("slipway.prices.price_lists", lambda: (listed(2, 3.0), listed(1, 1.0)))
    price = Rates().of(Place.EC2, "g5.xlarge")
    assert price is not None
    assert (price.usd_per_hour, price.date) == (3.0, datetime.date(2026, 1, 2))


def test_ones_own_rates_go_first_and_those_of_a_region_before_those_of_all(tmp_path: Path) -> None:
    file = tmp_path / "rates.yaml"
    file.write_text(
        "machines:\n"
        "  - {place: sagemaker, machine: ml.g5.xlarge, usd_per_hour: 1.1}\n"
        "  - {place: sagemaker, machine: ml.g5.xlarge, region: eu-west-1, usd_per_hour: 1.3}\n"
        "  - {place: ec2, machine: g5.xlarge, kind: spot, usd_per_hour: 0.4}\n"
        "gpus: {a100-80gb: 1.9}\n"
    )
    rates = Rates.read(file)
    assert rates.own.gpus == {"a100-80gb": 1.9}

    def usd(place: Place, machine: str, region: str | None, spot: bool = False) -> float | None:
        price = rates.of(place, machine, region, spot=spot)
        return price.usd_per_hour if price else None

    assert usd(Place.SAGEMAKER, "ml.g5.xlarge", "eu-west-1") == 1.3
    assert usd(Place.SAGEMAKER, "ml.g5.xlarge", "us-east-1") == 1.1
    assert usd(Place.SAGEMAKER, "ml.g5.xlarge", None) == 1.1
    assert usd(Place.EC2, "g5.xlarge", None, spot=True) == 0.4
    assert usd(Place.EC2, "g5.xlarge", None) == 1.006
    price = rates.of(Place.SAGEMAKER, "ml.g5.xlarge")
    assert price is not None
    assert (price.source, price.date) == (str(file), None)


def test_an_empty_file_is_no_rates(tmp_path: Path) -> None:
    (tmp_path / "rates.yaml").write_text("# nothing yet\n")
    assert Rates.read(tmp_path / "rates.yaml").own == OwnRates()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gpus: {a100-80gb: 0}", "gpus.a100-80gb: Input should be greater than 0"),
        ("gpus: {a100-80gb: .inf}", "gpus.a100-80gb: Input should be"),
        ("gpus: {a100-80gb: cheap}", "gpus.a100-80gb: Input should be a valid number"),
        ("gpus: {a100: 1}", "gpus: Value error, is 'a100', and 'a100' is not in the catalogue; did you mean 'a100-40gb'"),
        ("gpus: {'a100-80gb:4': 1}", "give the price of one GPU, as 'a100-80gb'"),
        ("gpus: {a100-80gb/shared: 1}", "give the price of one GPU, as 'a100-80gb'"),
        ("vcpu_usd_per_hour: -1", "vcpu_usd_per_hour: Input should be greater than 0"),
        ("machine: []", "machine: Extra inputs are not permitted"),
        ("machines: [{place: mars, machine: x, usd_per_hour: 1}]", "machines.0.place: Input should be 'ec2', 'sagemaker'"),
        ("machines: [{place: ec2, machine: g5.xlarge}]", "machines.0.usd_per_hour: Field required"),
        (
            "machines: [{place: ec2, machine: m5.huge, usd_per_hour: 1}]",
            "machines.0.machine: is 'm5.huge', which ec2 does not have",
        ),
        ("machines: [{place: ec2, machine: g5.xlarge, kind: reserved, usd_per_hour: 1}]", "machines.0.kind: Input should be"),
        ("- 1", "(top): Input should be a valid dictionary"),
        ("a: [", "is no YAML"),
    ],
)
def test_what_is_no_rate_is_told_with_its_path(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "rates.yaml"
    file.write_text(text)
    with pytest.raises(RatesError) as refused:
        Rates.read(file)
    assert str(refused.value).startswith(str(file))
    assert says in str(refused.value)


def test_every_fault_at_once_and_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "rates.yaml"
    file.write_text("vcpu_usd_per_hour: 0\nmemory_gib_usd_per_hour: x\n")
    with pytest.raises(RatesError, match=r"cannot be used, 2 faults:\n  vcpu.*\n  memory"):
        Rates.read(file)
    with pytest.raises(RatesError, match="cannot be read: No such file"):
        Rates.read(tmp_path / "none.yaml")
    file.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(RatesError, match="cannot be read: not UTF-8"):
        Rates.read(file)
