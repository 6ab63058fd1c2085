"""What a plan costs a month: from the fewest to the most replicas, by component and in all. What is unknown is never 0."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slipway.plan.billed import billed
from slipway.plan.billed_item import Billed
from slipway.plan.plan import Plan, Resource
from slipway.prices import HOURS_PER_MONTH, Rates


@dataclass(frozen=True)
class Range:
    """USD a month."""

    least: float = 0.0
    """With the fewest replicas, of what is known."""
    most: float = 0.0
    """With the most."""
    unknown: tuple[str, ...] = ()
    """Names of what is not in the sums, since its price or number is not known."""

    def __add__(self, other: "Range") -> "Range":
        return Range(self.least + other.least, self.most + other.most, self.unknown + other.unknown)

    def __str__(self) -> str:
        """Such as `$892 to $3,570`; with `+ unknown` where something is not in it."""
        if self.unknown and not self.most:
            return "unknown"
        least, most = f"${self.least:,.0f}", f"${self.most:,.0f}"
        return (least if least == most else f"{least} to {most}") + (" + unknown" if self.unknown else "")


@dataclass(frozen=True)
class ComponentCost:
    """One component of the top, or a resource outside of any."""

    name: str
    lines: tuple[Billed, ...]

    @property
    def total(self) -> Range:
        """Of all of it."""
        return sum((month(line) for line in self.lines), Range())


@dataclass(frozen=True)
class Cost:
    """A whole plan's."""

    components: tuple[ComponentCost, ...]

    @property
    def total(self) -> Range:
        """Of all of it."""
        return sum((c.total for c in self.components), Range())

    def of(self, name: str) -> Range | None:
        """A component's, `None` where it is not there or not paid by the hour."""
        return next((c.total for c in self.components if c.name == name), None)


def month(line: Billed) -> Range:
    """Of one line."""
    if line.price is None or line.least is None or line.most is None or line.hours is None:
        return Range(unknown=(line.resource.name,))
    least, most = (line.price.usd_per_hour * hours for hours in line.hours)
    return Range(least * line.least, most * line.most)


def cost(plan: Plan, rates: Rates) -> Cost:
    """What of a plan is paid by the hour or by the GiB, for a month of 730 hours.

    Args:
        plan: Made now, or read from JSON.
        rates: Where prices are looked up.
    """
    by_urn = {r.urn: r for r in plan}
    lines: dict[str, list[Billed]] = {}
    for line in billed(plan, rates):
        lines.setdefault(_top(line.resource, by_urn).name, []).append(line)
    return Cost(tuple(ComponentCost(name, tuple(told)) for name, told in sorted(lines.items())))


def changed(old: Cost, new: Cost) -> list[str]:
    """What changed, a line for each component and one for all, empty where nothing did."""
    names = sorted({c.name for c in (*old.components, *new.components)})
    told: list[str] = []
    for name in names:
        before, after = old.of(name), new.of(name)
        if before != after:
            told.append(f"cost a month of {name}: {_change(before or Range(), after or Range())}")
    return [*told, f"cost a month: {_change(old.total, new.total)}"] if told else []


def difference(old: Cost, new: Cost) -> str:
    """The totals of both, and by how much they differ; the new one alone where there was nothing before."""
    return str(new.total) if old.total == new.total or not old.components else _change(old.total, new.total)


def to_json(told: Cost) -> dict[str, Any]:
    """For programs."""
    return {
        "currency": "USD",
        "hoursPerMonth": HOURS_PER_MONTH,
        **_range(told.total),
        "components": [{"name": c.name, **_range(c.total), "lines": [_line(b) for b in c.lines]} for c in told.components],
    }


def words(line: Billed) -> str:
    """A line in words, with the source of its price or how to give one."""
    if line.least is None or line.most is None:
        return f"{line.what}: how many is known only after up"
    count = f"{line.least}" if line.least == line.most else f"{line.least} to {line.most}"
    return f"{count} x ({line.what}): {line.note}" if " x " in line.what else f"{count} x {line.what}: {line.note}"


def _change(old: Range, new: Range) -> str:
    def signed(value: float) -> str:
        return f"{'-' if value < 0 else '+'}${abs(value):,.0f}"

    least, most = signed(new.least - old.least), signed(new.most - old.most)
    by = least if least == most else f"{least} to {most}"
    return f"{old} -> {new} ({by})" if (old.least, old.most) != (new.least, new.most) else f"{old} -> {new}"


def _range(told: Range) -> dict[str, Any]:
    return {"least": round(told.least, 2), "most": round(told.most, 2), "unknown": list(told.unknown)}


def _line(line: Billed) -> Mapping[str, Any]:
    price = line.price
    return {
        "resource": line.resource.name,
        "what": line.what,
        "leastCount": line.least,
        "mostCount": line.most,
        "hoursAMonth": line.hours and [round(hours, 3) for hours in line.hours],
        "usdPerHour": None if price is None else round(price.usd_per_hour, 6),
        "region": price and price.region,
        "date": price and price.date and price.date.isoformat(),
        "source": price and price.source,
        "note": line.note,
    }


def _top(resource: Resource, by_urn: Mapping[str, Resource]) -> Resource:
    """The outermost component that a resource is in: what the program's author named."""
    above: Sequence[Resource] = [resource]
    while (parent := by_urn.get(above[-1].parent or "")) is not None and not parent.custom:
        above = [*above, parent]
    return above[-1]
