"""Machine types with GPUs, in every place that lets them: which GPUs, how many, and in which regions.

The data is in `data/accelerators.yaml`, with its sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, Field

from slipway.accelerators import Accelerator, Place, catalogue, document

_BELOW: Mapping[Place, Place] = MappingProxyType({Place.SAGEMAKER: Place.EC2, Place.VERTEX: Place.GCE})
"""On whose machines a managed service runs."""


@dataclass(frozen=True)
class Machine:
    """One machine type with one kind of GPU."""

    place: Place
    name: str
    """The place's own name, such as `ml.g6.2xlarge` or `g2-standard-12`."""
    accelerator: Accelerator
    gpus: tuple[int, ...]
    """How many it carries; several numbers where GPUs are added to a machine without."""
    accelerator_type: str | None = None
    """On Vertex AI: what it is deployed with, such as `NVIDIA_L4`."""

    @property
    def regions(self) -> frozenset[str] | None:
        """Regions that have it, `None` where that is not known.

        Of SageMaker and Vertex AI: regions that have the machine type below it. No other can have it; whether these do, only the
        service can tell.
        """
        below = _BELOW.get(self.place, self.place)
        return offered(below).get(self.name.removeprefix("ml.") if self.place is Place.SAGEMAKER else self.name)


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    machines: tuple[str, ...] = Field(min_length=1)
    regions: tuple[str, ...] = Field(min_length=1)


class Offer(BaseModel):
    """Which regions of a place have which machine types."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    place: Place
    date: date
    """The day on which that was so."""
    source: str = Field(min_length=1)
    """Who says so."""
    groups: tuple[_Group, ...]


@cache
def offers() -> tuple[Offer, ...]:
    """What is known of regions, with its sources."""
    return tuple(Offer.model_validate(o) for o in document()["offered"])


@cache
def offered(place: Place) -> MappingProxyType[str, frozenset[str]]:
    """Regions by machine type, of those that are known."""
    known = {m: frozenset(g.regions) for o in offers() if o.place is place for g in o.groups for m in g.machines}
    return MappingProxyType(known)


@cache
def regions_of(place: Place) -> frozenset[str]:
    """Regions of which it is known, by an offer or a price, that a place or what it runs on has machines there; empty where
    nothing is known."""
    below = _BELOW.get(place, place)
    priced = {p["region"] for p in document()["prices"] if p["place"] in (place.value, below.value)}
    return frozenset(r for regions in offered(below).values() for r in regions) | priced


@cache
def machines(place: Place) -> tuple[Machine, ...]:
    """Every machine type of a place that has GPUs of the catalogue, once for each kind of GPU that it takes."""
    if place is Place.VERTEX:
        return tuple(
            Machine(place, name, a, numbers, kind)
            for a in catalogue().values()
            for kind, carriers in a.vertex.items()
            for name, numbers in carriers.items()
        )
    return tuple(
        Machine(place, name, a, numbers) for a in catalogue().values() for name, numbers in a.instances.get(place, {}).items()
    )


def find(place: Place, name: str) -> tuple[Machine, ...]:
    """A place's machine type by its name: once for each kind of GPU that it takes, empty if it has none of the catalogue's."""
    return tuple(m for m in machines(place) if m.name == name)


def lacking_region(machine: Machine, region: str) -> str | None:
    """Why a region does not have a machine type, with the choice; `None` where it has, or that is not known."""
    regions = machine.regions
    if regions is None or region in regions:
        return None
    here = [m for m in machines(machine.place) if m.regions and region in m.regions]
    same = dict.fromkeys(m.name for m in here if m.accelerator.name == machine.accelerator.name)
    kinds = dict.fromkeys(m.accelerator.name for m in here)
    other = f"give {' or '.join(same)} there, or " if same else f"it has {', '.join(kinds)}; " if kinds else ""
    offer = next(o for o in offers() if o.place is _BELOW.get(machine.place, machine.place))
    return (
        f"is {machine.name!r}, which {region} does not have ({offer.source}, {offer.date}); "
        f"{other}give a region that has it: {', '.join(sorted(regions))}"
    )
