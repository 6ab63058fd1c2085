"""Where the price of a machine is from, or why there is none."""

from slipway import machines
from slipway.accelerators import Place
from slipway.plan.billed_item import read
from slipway.prices import FILE, Price, Rates


def note(rates: Rates, price: Price | None, machine: str, place: Place, region: str | None, *, spot: bool = False) -> str:
    """In words, with how to give one."""
    if price is not None:
        return read(price)
    known = f"no {'spot ' if spot else ''}price of {machine}{f' in {region}' if region else ''} is known"
    if not machines.find(place, machine):
        return f"{known}: it is not in the catalogue"
    elsewhere = rates.of(place, machine, spot=spot) if region else None
    hint = f" (in {elsewhere.region} it is ${elsewhere.usd_per_hour:,.2f} an hour)" if elsewhere else ""
    return f"{known}{hint}; give it under 'machines' in {FILE}"
