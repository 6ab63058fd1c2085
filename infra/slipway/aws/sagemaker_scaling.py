"""How a fleet or a component's copies follow the load: `SageMakerScaling`, checked, with its defaults."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from slipway.args import Faults
from slipway.aws.sagemaker_rules import bounded

_WHEN = re.compile(r"(cron\(\S+( \S+){5}\)|at\([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\)|rate\([0-9]+ [a-z]+\))")


class Target(StrEnum):
    """What a scaling keeps to, by its argument's name."""

    INVOCATIONS = "invocations_per_instance"
    CONCURRENCY = "concurrent_requests_per_instance"
    BACKLOG = "backlog_per_instance"
    UTILIZATION = "utilization"
    """Of a serverless endpoint's provisioned concurrency."""


@dataclass(frozen=True)
class Step:
    """`SageMakerStep`."""

    above: float
    add: int


@dataclass(frozen=True)
class Schedule:
    """`SageMakerSchedule`, with its name."""

    name: str
    when: str
    timezone: str = "UTC"
    min: int | None = None
    max: int | None = None


@dataclass(frozen=True)
class Scaling:
    """`SageMakerScaling`, checked, with its defaults."""

    min: int
    max: int
    target: Target
    value: float
    scale_out_cooldown_seconds: int = 300
    scale_in_cooldown_seconds: int = 300
    steps: tuple[Step, ...] = ()
    schedules: tuple[Schedule, ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> "Scaling | None":
        """From arguments that were checked."""
        if given is None:
            return None
        target = next(t for t in Target if t.value in given)
        return cls(
            given["min"],
            given["max"],
            target,
            given[target.value],
            given.get("scale_out_cooldown_seconds", 300),
            given.get("scale_in_cooldown_seconds", 300),
            tuple(Step(s["above"], s["add"]) for s in given.get("steps", ())),
            tuple(Schedule(name, **entry) for name, entry in given.get("schedules", {}).items()),
        )


def check_scaling(
    scaling: object, path: str, faults: Faults, *, to_zero: bool = False, asynchronous: bool = False, count: object = None
) -> None:
    """Check one scaling.

    Args:
        scaling: What was given, None if nothing.
        path: Its path.
        faults: Where to tell what is wrong.
        to_zero: Whether it may go to 0.
        asynchronous: Whether requests queue.
        count: How many it begins with, if that was given.
    """
    if not isinstance(scaling, Mapping) or faults.at(path):
        return
    given = cast("Mapping[str, Any]", scaling)
    low, high = given["min"], given["max"]
    if low < (0 if to_zero else 1):
        choice = "0 or more" if to_zero else "at least 1: only asynchronous endpoints and inference components scale to 0"
        faults.add(f"{path}.min", f"is {low}; give {choice}")
    if high < max(low, 1):
        below = f", below {path}.min ({low})" if high < low else ""
        faults.add(
            f"{path}.max", f"is {high}{below}; give at least {max(low, 1)} (Application Auto Scaling: RegisterScalableTarget)"
        )
    _check_target(given, path, faults, asynchronous)
    check_cooldowns(given, path, faults)
    _check_steps(given, path, faults)
    check_schedules(given, path, 0 if to_zero else 1, faults)
    where = path.removesuffix("scaling")
    if isinstance(count, int) and not faults.at(path) and not low <= count <= high:
        key = f"{where}copies" if where.startswith("components") else f"{where}instance_count"
        faults.add(key, f"is {count}, outside of scaling ({low} to {high}); give a number within, or leave it out")


def check_cooldowns(given: Mapping[str, Any], path: str, faults: Faults) -> None:
    """Check the times between steps."""
    for key in ("scale_out_cooldown_seconds", "scale_in_cooldown_seconds"):
        if given.get(key, 0) < 0:
            faults.add(f"{path}.{key}", f"is {given[key]}; give 0 or more seconds")


def check_schedules(given: Mapping[str, Any], path: str, least: int, faults: Faults) -> None:
    """Check the schedules of a scaling, whose bounds are no less than `least`."""
    for name, entry in given.get("schedules", {}).items():
        _check_schedule(entry, f"{path}.schedules.{name}", given, least, faults)


def _check_target(given: Mapping[str, Any], path: str, faults: Faults, asynchronous: bool) -> None:
    fitting = [Target.BACKLOG] if asynchronous else [Target.INVOCATIONS, Target.CONCURRENCY]
    chosen = [t for t in Target if t.value in given]
    wrong = [t for t in chosen if t not in fitting]
    for target in wrong:
        only = "goes with 'async_inference' only" if target is Target.BACKLOG else "does not go with 'async_inference'"
        faults.add(f"{path}.{target}", f"{only}; give '{fitting[0]}' instead")
    if not chosen:
        wanted = " or ".join(f"'{t}'" for t in fitting)
        faults.add(f"{path}.{fitting[0]}", f"is required, for scaling needs a target; give {wanted}")
    if len(chosen) > 1 and not wrong:
        faults.add(
            f"{path}.{chosen[1]}", f"does not go with '{chosen[0]}': scaling keeps to one target; leave one of the two out"
        )
    for target in chosen:
        if given[target.value] <= 0 and not faults.at(f"{path}.{target}"):
            unit = "invocations per minute" if target is Target.INVOCATIONS else "requests"
            faults.add(f"{path}.{target}", f"is {given[target.value]:g}; give {unit}, above 0")


def _check_steps(given: Mapping[str, Any], path: str, faults: Faults) -> None:
    steps: Sequence[Mapping[str, Any]] = given.get("steps", ())
    if steps and Target.BACKLOG.value in given:
        faults.add(f"{path}.steps", "do not go with 'backlog_per_instance'; leave them out")
        return
    least = given.get(Target.CONCURRENCY.value, 0)
    for i, step in enumerate(steps):
        if step["above"] <= least:
            after = "the step before" if i else "the target"
            faults.add(f"{path}.steps[{i}].above", f"is {step['above']:g}, not above {after} ({least:g}); give more")
        least = step["above"]
        bounded(step, f"{path}.steps[{i}]", "add", 1, None, faults)


def _check_schedule(entry: Mapping[str, Any], path: str, given: Mapping[str, Any], least: int, faults: Faults) -> None:
    if not _WHEN.fullmatch(entry["when"]):
        faults.add(
            f"{path}.when",
            f"is {entry['when']!r}; give cron(MINUTES HOURS DAY MONTH WEEKDAY YEAR), at(yyyy-mm-ddThh:mm:ss) or rate(N UNIT)",
        )
    if "min" not in entry and "max" not in entry:
        faults.add(path, "changes nothing; give 'min', 'max' or both")
    bounded(entry, path, "min", least, None, faults)
    low, high = entry.get("min", given["min"]), entry.get("max", given["max"])
    if low > high and not faults.at(path):
        faults.add(f"{path}.max", f"would be {high}, below min ({low}); give at least {low}")
