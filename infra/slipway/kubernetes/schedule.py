"""Times of day or week with a least number of replicas of their own, by KEDA's cron trigger."""

import re
import zoneinfo
from collections.abc import Mapping
from typing import Any, TypedDict

from slipway.args import Faults

_TIMES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"
_DAYS = "sun mon tue wed thu fri sat"


class ScheduleWindow(TypedDict):
    """A time of day or week with a number of replicas of its own."""

    start: str
    """When it begins, as a cron line of five fields: `0 8 * * 1-5` is 8 o'clock on working days."""
    end: str
    """When it ends, as a cron line too."""
    timezone: str
    """Time zone of both, by its name in the IANA database, such as `Europe/Vienna`."""
    replicas: int
    """Fewest replicas within it: more than `min`, at most `max`. The load can ask for more."""


def check_window(path: str, window: ScheduleWindow, faults: Faults) -> None:
    """Refuse times that are none. The number is for the caller to check."""
    for key in ("start", "end"):
        check_cron(f"{path}.{key}", window[key], faults)
    if window["start"] == window["end"]:
        faults.add(f"{path}.end", f"is {window['end']!r}, when the window begins; give another time")
    check_timezone(f"{path}.timezone", window["timezone"], faults)


def check_cron(path: str, line: str, faults: Faults) -> None:
    """Refuse what is no cron line of five fields."""
    if not _is_cron(line):
        faults.add(path, f"is {line!r}; give a cron line of five fields (minute hour day month weekday), such as '0 8 * * 1-5'")


def check_timezone(path: str, name: str, faults: Faults) -> None:
    """Refuse what the IANA database does not know."""
    if not _is_timezone(name):
        faults.add(path, f"is {name!r}; give a name of the IANA database, such as 'Europe/Vienna'")


def trigger(window: ScheduleWindow) -> Mapping[str, Any]:
    """KEDA's trigger for it (KEDA, "Cron")."""
    return {
        "type": "cron",
        "metadata": {
            "timezone": window["timezone"],
            "start": window["start"],
            "end": window["end"],
            "desiredReplicas": str(window["replicas"]),
        },
    }


def _is_timezone(name: str) -> bool:
    every = zoneinfo.available_timezones()
    # A machine without the database cannot tell.
    return name in every if every else bool(re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", name))


def _is_cron(line: str) -> bool:
    fields = line.split()
    if len(fields) != len(_TIMES):
        return False
    named = [*fields[:3], _numbered(fields[3], _MONTHS, 1), _numbered(fields[4], _DAYS, 0)]
    return all(_is_cron_field(field, *bounds) for field, bounds in zip(named, _TIMES, strict=True))


def _numbered(field: str, names: str, first: int) -> str:
    for number, name in enumerate(names.split(), first):
        field = re.sub(rf"\b{name}\b", str(number), field, flags=re.IGNORECASE)
    return field


def _is_cron_field(field: str, least: int, most: int) -> bool:
    for part in field.split(","):
        shape = re.fullmatch(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,2}))?", part)
        if shape is None:
            return False
        low = int(shape[1] or least)
        if not least <= low <= int(shape[2] or shape[1] or most) <= most or shape[3] in ("0", "00"):
            return False
    return True
