"""Plans of single resources, for tests of what they cost."""

from typing import Any

from slipway.plan import Plan, Resource
from slipway.plan.billed_item import Billed
from slipway.plan.cost import cost
from slipway.prices import OwnRates, Rates


def own(**rates: Any) -> Rates:
    """Rates of one's own."""
    return Rates(OwnRates.model_validate(rates), "rates.yaml")


def resource(type_: str, name: str, **inputs: Any) -> Resource:
    """A planned resource outside of any component."""
    return Resource(f"urn:pulumi:dev::p::{type_}::{name}", type_, name, None, inputs)


def lines(*resources: Resource, rates: Rates | None = None) -> list[Billed]:
    """What of these resources is paid for."""
    return [line for part in cost(Plan("p", "dev", resources), rates or Rates()).components for line in part.lines]
