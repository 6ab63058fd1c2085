"""What machines with GPUs cost an hour: list prices of the catalogue, and one's own, which go before them.

A price that is known from nowhere is `None`, never 0.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from slipway import cluster_prices, machines
from slipway.accelerators import AcceleratorError, Place, document, parse
from slipway.price import HOURS_PER_MONTH, Price, Usd

__all__ = [
    "FILE",
    "HOURS_PER_MONTH",
    "OWN",
    "ClusterRates",
    "MachineRate",
    "OwnRates",
    "Price",
    "PriceList",
    "Rates",
    "RatesError",
]

FILE = "rates.yaml"
"""Name of a project's own rates."""
OWN = "own"
"""The place of GPUs that are one's own."""


class RatesError(ValueError):
    """A file of rates that cannot be used; says every fault, with its path."""


class PriceList(BaseModel):
    """List prices of one place in one region, as they were on one day."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    place: Place
    region: str = Field(min_length=1)
    date: datetime.date
    """The day on which they were read."""
    source: str = Field(min_length=1)
    """Where."""
    on_demand: dict[str, Usd] = {}
    """USD an hour, by machine type."""
    spot: dict[str, Usd] = {}
    """Of machines that may be taken back at any time; it changes from day to day, on EC2 from hour to hour."""

    @model_validator(mode="after")
    def _has_prices(self) -> Self:
        if not self.on_demand and not self.spot:
            raise ValueError("has no price; give 'on_demand', 'spot' or both")
        return self


class MachineRate(BaseModel):
    """What an hour of a machine costs you."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    place: Place
    machine: str
    """The place's own name of it."""
    region: str | None = None
    """Where it holds. Default: anywhere."""
    kind: Literal["on_demand", "spot"] = "on_demand"
    """Which of the two it replaces."""
    usd_per_hour: Usd


class ClusterRates(BaseModel):
    """Where the nodes with GPUs of your cluster are from."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    place: Literal[Place.EC2, Place.GCE, Place.AZURE]
    """`ec2` (EKS), `gce` (GKE) or `azure` (AKS)."""
    region: str | None = None
    """Its region. Default: the cheapest whose price is known."""


def _known(gpus: dict[str, float]) -> dict[str, float]:
    for name in gpus:
        try:
            accelerator, count = parse(name)
        except AcceleratorError as error:
            raise ValueError(str(error)) from None
        if count != 1 or accelerator.part:
            raise ValueError(f"is '{name}'; give the price of one GPU, as '{accelerator.name}'")
    return gpus


class OwnRates(BaseModel):
    """A file of one's own rates."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    machines: tuple[MachineRate, ...] = ()
    """Machine types, in place of their list prices."""
    gpus: Annotated[dict[str, Usd], AfterValidator(_known)] = {}
    """USD an hour of one GPU of one's own, with its share of machine, power and people, by the catalogue's name."""
    cluster: ClusterRates | None = None
    """Where the nodes with GPUs are from. Default: what the pods' node labels tell."""
    vcpu_usd_per_hour: Usd | None = None
    """An hour of one CPU that a pod without GPUs asks for."""
    memory_gib_usd_per_hour: Usd | None = None
    """An hour of one GiB of memory that it asks for."""
    provisioned_gib_usd_per_hour: Usd | None = None
    """An hour of one GiB of a serverless endpoint that SageMaker keeps warm (provisioned concurrency)."""
    control_plane_usd_per_hour: Usd | None = None
    """An hour of a cluster, in place of its list price."""
    volume_gib_usd_per_month: Usd | None = None
    """A month of one GiB of any volume, in place of its list price."""


@cache
def price_lists() -> tuple[PriceList, ...]:
    """Every list of the catalogue, with its source."""
    return tuple(PriceList.model_validate(p) for p in document()["prices"])


@cache
def node_lists() -> tuple[PriceList, ...]:
    """List prices of machines without GPUs, for a cluster's other nodes."""
    return tuple(PriceList.model_validate(p) for p in cluster_prices.document()["nodes"])


def _priced(place: Place, machine: str) -> bool:
    return any(machine in told.on_demand for told in node_lists() if told.place is place)


@dataclass(frozen=True)
class Rates:
    """Where prices are looked up."""

    own: OwnRates = field(default_factory=OwnRates)
    source: str = ""
    """The file that the own ones are from."""

    @classmethod
    def beside(cls, directory: Path) -> "Rates":
        """Those of `rates.yaml` in a project's directory, if there is one; see `read`."""
        file = directory / FILE
        return cls.read(file) if file.is_file() else cls()

    @classmethod
    def read(cls, file: Path) -> "Rates":
        """One's own rates, from a YAML file.

        Raises:
            RatesError: it cannot be read, or says something that is no rate; with every fault.
        """
        try:
            told: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise RatesError(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
        except yaml.YAMLError as error:
            raise RatesError(f"{file} is no YAML: {' '.join(str(error).split())}") from None
        try:
            own = OwnRates.model_validate(told if told is not None else {})
        except ValidationError as error:
            raise RatesError(_faults(file, error)) from None
        unknown = [
            f"machines.{i}.machine: is {rate.machine!r}, which {rate.place.value} does not have in the catalogue; "
            f"there are {', '.join(dict.fromkeys(m.name for m in machines.machines(rate.place)))}"
            for i, rate in enumerate(own.machines)
            if not machines.find(rate.place, rate.machine) and not _priced(rate.place, rate.machine)
        ]
        if unknown:
            raise RatesError(_listed(file, unknown))
        return cls(own, str(file))

    def of_gpus(self, accelerator: str, gpus: int, place: Place, region: str | None, *, spot: bool) -> "tuple[Price, str] | None":
        """The price of some GPUs of a machine, as their share of it, with the machine: the cheapest of those with enough."""
        found = [
            (Price(p.usd_per_hour * gpus / m.gpus[0], p.region, p.source, p.date), m.name, m.gpus[0])
            for m in machines.machines(place)
            if m.accelerator.name == accelerator and len(m.gpus) == 1 and m.gpus[0] >= gpus
            if (p := self.of(place, m.name, region, spot=spot)) is not None
        ]
        if not found:
            return None
        # Of those that cost the same but for rounding, the smallest.
        price, name, carried = min(found, key=lambda f: (round(f[0].usd_per_hour, 4), f[2], f[1]))
        return price, f"{gpus} of {carried} GPUs of {name}" if carried > gpus else name

    def of(self, place: Place, machine: str, region: str | None = None, *, spot: bool = False) -> Price | None:
        """The price of a machine: one's own, else the list's; without a region the cheapest there is."""
        kind = "spot" if spot else "on_demand"
        own = [r for r in self.own.machines if (r.place, r.machine, r.kind) == (place, machine, kind)]
        fits = [r for r in own if region is None or r.region in (region, None)]
        if fits:
            # What was said of this region goes before what was said of all.
            best = min(fits, key=lambda r: (region is not None and r.region is None, r.usd_per_hour))
            return Price(best.usd_per_hour, best.region, self.source)
        lists = [p for p in (*price_lists(), *node_lists()) if p.place is place and (region is None or p.region == region)]
        newest: dict[str, Price] = {}
        for told in sorted(lists, key=lambda p: p.date):
            prices: Mapping[str, float] = told.spot if spot else told.on_demand
            if machine in prices:
                newest[told.region] = Price(prices[machine], told.region, told.source, told.date)
        # Of regions that cost the same, the one that was read last.
        return min(newest.values(), key=lambda p: (p.usd_per_hour, -p.date.toordinal() if p.date else 0), default=None)


def _faults(file: Path, error: ValidationError) -> str:
    return _listed(file, [f"{'.'.join(map(str, e['loc'])) or '(top)'}: {e['msg']}" for e in error.errors()])


def _listed(file: Path, faults: list[str]) -> str:
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return f"{file} cannot be used, {count}:" + "".join(f"\n  {f}" for f in faults)
