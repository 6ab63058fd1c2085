"""Jobs, which end: what they cost a month is between nothing and their deadline, as often as they run."""

import re
from collections.abc import Mapping

from slipway.plan.billed_item import Billed
from slipway.plan.billed_pods import priced
from slipway.plan.inputs import mapping, whole
from slipway.plan.plan import Resource
from slipway.price import HOURS_PER_MONTH
from slipway.prices import Rates

JOBS = frozenset({"Job", "CronJob"})
_MACROS: Mapping[str, str] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_SIZES = (60, 24, 31, 12, 7)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NUMBERS: Mapping[str, int] = {**{m: i + 1 for i, m in enumerate(_MONTHS)}, **{d: i for i, d in enumerate(_WEEKDAYS)}}
_NAMES = re.compile("|".join(_NUMBERS), re.IGNORECASE)


def job(resource: Resource, kind: str, rates: Rates) -> Billed:
    """The pods of a Job, or of all the Jobs that a CronJob makes in a month."""
    spec = mapping(resource.inputs.get("spec"))
    work = mapping(mapping(spec.get("jobTemplate")).get("spec")) if kind == "CronJob" else spec
    pods = whole(work.get("parallelism", 1))
    price, what, note = priced(mapping(mapping(work.get("template")).get("spec")), rates)
    deadline = whole(work.get("activeDeadlineSeconds"))
    runs = runs_a_month(str(spec.get("schedule", ""))) if kind == "CronJob" else 1.0
    if deadline is None or runs is None:
        what_for = "its schedule is not known" if runs is None else "without activeDeadlineSeconds it may run for ever"
        return Billed(resource, what, pods, pods, price, f"{note}; {what_for}", None)
    most = min(deadline / 3600 * runs, HOURS_PER_MONTH) if kind == "CronJob" else deadline / 3600
    often = f", {runs:,.0f} runs a month" if kind == "CronJob" else ""
    return Billed(resource, what, pods, pods, price, f"{note}; at most {most:,.1f} hours, by its deadline{often}", (0.0, most))


def runs_a_month(schedule: str) -> float | None:
    """How often a cron line runs in a month of 30.4 days, on average; `None` for what is none."""
    fields = _MACROS.get(schedule.strip().lower(), schedule).split()
    if len(fields) != len(_SIZES):
        return None
    shares = [_share(field, size) for field, size in zip(fields, _SIZES, strict=True)]
    if any(share is None for share in shares):
        return None
    minutes, hours, days, months, weekdays = (share or 0.0 for share in shares)
    # Where both kinds of days are given, one of them suffices (cron's own rule).
    both = fields[2] != "*" and fields[4] != "*"
    of_days = min(1.0, days + weekdays) if both else days * weekdays
    return 60 * minutes * 24 * hours * (HOURS_PER_MONTH / 24) * of_days * months


def _share(field: str, size: int) -> float | None:
    """The share of a field's values that it names."""
    total = 0
    for part in _NAMES.sub(lambda found: str(_NUMBERS[found[0].lower()]), field).split(","):
        found = re.fullmatch(r"(?:\*|([0-9]+)(?:-([0-9]+))?)(?:/([1-9][0-9]*))?", part)
        if found is None:
            return None
        first, last, step = (None if text is None else int(text) for text in found.groups())
        values = size if first is None else last - first + 1 if last is not None else size - first if step else 1
        total += -(-values // (step or 1))
    return min(1.0, total / size)
