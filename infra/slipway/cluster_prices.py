"""What a cluster costs beside its machines with GPUs: its control plane, its volumes, its other nodes.

The data is in `data/cluster_prices.yaml`, with its sources. One's own prices go before it; what is known from nowhere is `None`.
"""

import datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from slipway.accelerators import Place
from slipway.price import HOURS_PER_MONTH, Price, Usd

if TYPE_CHECKING:
    from slipway.prices import Rates


class ControlPlane(BaseModel):
    """An hour of a cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    place: Place
    usd_per_hour: Usd
    """The same in every region."""
    date: datetime.date
    """The day on which it was read."""
    source: str = Field(min_length=1)


class VolumePrices(BaseModel):
    """Volumes of one place in one region."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    place: Place
    region: str = Field(min_length=1)
    date: datetime.date
    """The day on which they were read."""
    source: str = Field(min_length=1)
    classes: dict[str, str]
    """Kinds of disk by the names of StorageClasses; 'default' for a claim that names none."""
    usd_per_gib_month: dict[str, Usd] = Field(min_length=1)
    """USD of a GiB a month, by the kind of disk."""

    def kind(self, storage_class: str | None) -> str | None:
        """The kind of disk of a StorageClass, `None` where its name does not tell."""
        name = storage_class or "default"
        found = self.classes.get(name, name)
        return found if found in self.usd_per_gib_month else None


@cache
def document() -> dict[str, Any]:
    """The data file as it is written."""
    return yaml.safe_load((files("slipway") / "data" / "cluster_prices.yaml").read_text(encoding="utf-8"))


@cache
def control_planes() -> tuple[ControlPlane, ...]:
    """Every price of a control plane."""
    return tuple(ControlPlane.model_validate(c) for c in document()["control_planes"])


@cache
def volume_lists() -> tuple[VolumePrices, ...]:
    """Every list of volumes."""
    return tuple(VolumePrices.model_validate(v) for v in document()["volumes"])


def control_plane(rates: "Rates", place: Place) -> Price | None:
    """The price of an hour of a cluster."""
    if (own := rates.own.control_plane_usd_per_hour) is not None:
        return Price(own, None, rates.source)
    return next((Price(c.usd_per_hour, None, c.source, c.date) for c in control_planes() if c.place is place), None)


def volume(
    rates: "Rates", place: Place | None, region: str | None, storage_class: str | None, gib: float
) -> tuple[Price, str | None] | None:
    """The price of an hour of a volume, with the kind of disk that it was taken for; without a region the cheapest there is.

    Args:
        rates: One's own prices.
        place: Whose volumes they are, where that is known.
        region: Where.
        storage_class: The name of its StorageClass, `None` for the cluster's default.
        gib: Its size.
    """
    if (own := rates.own.volume_gib_usd_per_month) is not None:
        return Price(own * gib / HOURS_PER_MONTH, None, rates.source), None
    found = [
        (Price(told.usd_per_gib_month[kind] * gib / HOURS_PER_MONTH, told.region, told.source, told.date), kind)
        for told in volume_lists()
        if told.place is place and region in (None, told.region) and (kind := told.kind(storage_class))
    ]
    return min(found, key=lambda f: f[0].usd_per_hour, default=None)
