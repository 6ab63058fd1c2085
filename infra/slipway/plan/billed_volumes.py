"""Volumes that the pods of a plan claim."""

from collections.abc import Iterator, Mapping
from typing import Any

from slipway.accelerators import Place
from slipway.cluster_prices import volume
from slipway.plan.billed_item import Billed, read
from slipway.plan.inputs import mapping, mappings
from slipway.plan.plan import Resource
from slipway.prices import FILE, Rates
from slipway.quantities import parse


def volumes(resource: Resource, pods: Billed | None, rates: Rates, place: Place | None, region: str | None) -> Iterator[Billed]:
    """The claims of a resource: its own, or one of each kind for every pod.

    Args:
        resource: A PersistentVolumeClaim, or a workload.
        pods: The workload's pods.
        rates: One's own prices.
        place: Whose volumes they are, where that is known.
        region: Where.
    """
    spec = mapping(resource.inputs.get("spec"))
    if resource.type.rsplit(":", 1)[-1] == "PersistentVolumeClaim":
        yield _volume(resource, spec, (1, 1), rates, place, region)
    if pods is None:
        return
    pod = mapping(mapping(spec.get("template")).get("spec"))
    claims = [mapping(claim.get("spec")) for claim in mappings(spec.get("volumeClaimTemplates"))]
    for told in mappings(pod.get("volumes")):
        template = mapping(mapping(told.get("ephemeral")).get("volumeClaimTemplate"))
        if template:
            claims.append(mapping(template.get("spec")))
    for claim in claims:
        yield _volume(resource, claim, (pods.least, pods.most), rates, place, region)


def _volume(
    resource: Resource,
    claim: Mapping[str, Any],
    numbers: tuple[int | None, int | None],
    rates: Rates,
    place: Place | None,
    region: str | None,
) -> Billed:
    asked = mapping(mapping(claim.get("resources")).get("requests")).get("storage")
    try:
        gib = float(parse(str(asked))) / 2**30
    except ValueError:
        return Billed(resource, "a volume", *numbers, None, "its size is known only after up")
    named = claim.get("storageClassName")
    name = named if isinstance(named, str) and named else None
    found = volume(rates, place, region, name, gib)
    if found is None:
        of, there = f"class {name!r}" if name else "a volume", f" in {region}" if region else ""
        known = (
            "whose volumes they are is not known; give 'cluster'"
            if place is None
            else f"no price of {of} on {place.value}{there} is known; give volume_gib_usd_per_month"
        )
        more = " or volume_gib_usd_per_month" if place is None else ""
        return Billed(resource, f"a volume of {gib:g} GiB", *numbers, None, f"{known}{more} in {FILE}")
    price, kind = found
    return Billed(resource, f"a volume of {gib:g} GiB", *numbers, price, f"{kind}, {read(price)}" if kind else read(price))
