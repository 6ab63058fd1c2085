"""What a pull request would change, as a comment: `python -m slipway.plan.review`, run by .github/workflows/preview.yaml.

`plans` plans every stack of a checkout into a folder, `comment` compares two such folders. Neither needs a secret.
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from slipway.plan.cost import Cost, changed, cost, difference
from slipway.plan.diff import Change, Kind, compare, counted, described
from slipway.plan.foreseen import foreseen
from slipway.plan.plan import Plan, PlanError
from slipway.plan.project import Project
from slipway.prices import FILE, Rates, RatesError

MARKER = "<!-- slipway-plan -->"
"""First line of the comment, by which the next run finds it."""
LONGEST = 60_000
"""Most characters of a comment; GitHub takes 65,536."""
_PROJECT = "(project)"
_RUN = "import sys; from slipway.cli import main; sys.argv[0] = 'slipway'; main()"
# Nothing else of the environment reaches a program under review: a plan must not depend on it.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")

app = typer.Typer(help=(__doc__ or "").split("\n")[0], no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Planned:
    """The stacks of one checkout."""

    plans: Mapping[str, Plan]
    errors: Mapping[str, str]
    """Why a stack could not be planned, by its name."""
    rates: Rates = field(default_factory=Rates)
    """The checkout's own prices."""
    rates_error: str | None = None
    """Why they cannot be used."""


@app.command("plans")
def plan_all(
    checkout: Annotated[Path, typer.Argument(help="Where Pulumi.yaml is.")],
    output: Annotated[Path, typer.Argument(help="Folder for STACK.json, or STACK.error where a plan fails.")],
    timeout: Annotated[float, typer.Option(help="Longest time for one stack, in seconds.")] = 300,
) -> None:
    """Plan every stack of a checkout with the library that is in the checkout. A plan that fails is written down, not raised."""
    output.mkdir(parents=True, exist_ok=True)
    checkout = checkout.resolve()
    if not any((checkout / name).is_file() for name in ("Pulumi.yaml", "Pulumi.yml")):
        typer.echo(f"{checkout} has no Pulumi.yaml, so no stacks")
        return
    try:
        stacks = Project.read(checkout).stacks()
    except PlanError as error:
        (output / f"{_PROJECT}.error").write_text(str(error), encoding="utf-8")
        typer.echo(str(error))
        return
    if (checkout / FILE).is_file():
        shutil.copyfile(checkout / FILE, output / FILE)
    for stack in stacks:
        text, error = _plan_one(checkout, stack, timeout)
        name = f"{stack}.json" if error is None else f"{stack}.error"
        (output / name).write_text(text if error is None else error, encoding="utf-8")
        typer.echo(f"{stack}: {'planned' if error is None else 'failed'}")


@app.command("comment")
def comment_file(
    base: Annotated[Path, typer.Argument(help="Folder with the plans of what is merged into.")],
    head: Annotated[Path, typer.Argument(help="Folder with the plans of what is proposed.")],
    output: Annotated[Path, typer.Argument(help="File for the comment.")],
) -> None:
    """Write the comment. Ends with 1 where a stack of the head cannot be planned; the comment is written all the same."""
    proposed = read(head)
    output.write_text(comment(read(base), proposed), encoding="utf-8")
    if proposed.errors:
        raise typer.Exit(1)


def read(folder: Path) -> Planned:
    """What `plans` wrote."""
    plans: dict[str, Plan] = {}
    errors: dict[str, str] = {}
    for file in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            plans[file.stem] = Plan.from_json(file.read_text(encoding="utf-8"))
        except PlanError as error:
            errors[file.stem] = str(error)
    for file in sorted(folder.glob("*.error")) if folder.is_dir() else ():
        errors[file.stem] = file.read_text(encoding="utf-8")
    try:
        return Planned(plans, errors, Rates.beside(folder))
    except RatesError as error:
        return Planned(plans, errors, rates_error=str(error).replace(f"{folder}{os.sep}", ""))


def comment(base: Planned, head: Planned) -> str:
    """The comment as Markdown: a table of counts and costs, what loses data or asks for GPUs in vain, and every change below.

    Both sides are priced alike, by the head's own rates and the catalogue of this library: what differs is the program.
    """
    rows: list[str] = []
    details: list[tuple[str, str]] = []
    lost: list[str] = []
    waiting: list[str] = []
    for stack in sorted({*base.plans, *base.errors, *head.plans, *head.errors}):
        if stack in head.errors:
            rows.append(f"| {_code(stack)} | cannot be planned | | | |")
            details.append((f"{_code(stack)}: the error", head.errors[stack].strip()))
            continue
        if stack not in head.plans and stack in base.errors:
            continue  # a stack that could not be planned before, and is gone
        new = head.plans.get(stack)
        old = base.plans.get(stack)
        known = new or old
        assert known is not None
        empty = Plan(known.project, known.stack, ())
        changes = compare(old or empty, new or empty)
        note = " (new)" if old is None and stack not in base.errors else " (deleted)" if new is None else ""
        if stack in base.errors:
            note = " (could not be planned before)"
        counts = Counter(c.kind for c in changes)
        before, after = cost(old or empty, head.rates), cost(new or empty, head.rates)
        rows.append(f"| {_code(stack)}{note} | {' | '.join(str(counts[kind]) for kind in Kind)} | {_cost(before, after)} |")
        lost += [f"- {_code(stack)}: {_code(c.resource.name)} ({_code(c.resource.type)})" for c in changes if c.loses_data]
        waiting += [f"- {_code(stack)}: {_code(warning)}" for warning in foreseen(new or empty)]
        if changes:
            listing = "\n".join([*changed(before, after), _listing(changes)])
            details.append((f"{_code(stack)}{note}: {counted(changes)}", listing))
    head_lines = [
        MARKER,
        "### What this changes",
        "",
        "| Stack | Added | Changed | Deleted | Cost a month |",
        "| --- | --- | --- | --- | --- |",
        *rows,
    ]
    if not rows:
        head_lines = [MARKER, "### What this changes", "", "There are no stacks."]
    if head.rates_error:
        head_lines += ["", f"The own rates are left out: {_code(head.rates_error)}"]
    if lost:
        head_lines += ["", "**Data is lost:**", "", *lost]
    if waiting:
        head_lines += ["", "**GPUs are missing:**", "", *waiting]
    return _fitted("\n".join(head_lines) + "\n", details)


def _plan_one(checkout: Path, stack: str, timeout: float) -> tuple[str, str | None]:
    environment = {k: os.environ[k] for k in _ENVIRONMENT if k in os.environ}
    # Slipway's own checkout is planned by its own library; others by the one that is installed.
    own = [
        folder for package, folder in (("slipway", "infra"), ("slipway_router", "app")) if (checkout / folder / package).is_dir()
    ]
    environment["PYTHONPATH"] = os.pathsep.join(str(checkout / folder) for folder in own)
    command = [sys.executable, "-c", _RUN, "plan", "--stack", stack, "--directory", str(checkout), "--json"]
    try:
        ran = subprocess.run(  # noqa: S603 -- this very interpreter
            command, env=environment, cwd=checkout, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return "", f"not planned within {timeout:g} seconds"
    if ran.returncode == 0:
        return ran.stdout, None
    said = ran.stderr.replace(f"{checkout}{os.sep}", "").strip().splitlines()[-40:]
    return "", "\n".join(said) or f"ended with exit code {ran.returncode}"


def _cost(old: Cost, new: Cost) -> str:
    """Both totals where they differ; nothing where nothing is paid by the hour. GitHub reads formulas between two `$`."""
    return difference(old, new).replace("$", "\\$") if old.components or new.components else ""


def _listing(changes: list[Change]) -> str:
    return "\n".join(line for change in changes for line in described(change))


def _fitted(text: str, details: list[tuple[str, str]]) -> str:
    """The text with as many details as a comment takes."""
    left_out = 0
    for title, body in details:
        fence = "`" * max(3, _longest_run(body) + 1)
        block = f"\n<details><summary>{title}</summary>\n\n{fence}diff\n{body}\n{fence}\n\n</details>\n"
        if len(text) + len(block) > LONGEST:
            left_out += 1
        else:
            text += block
    return text + (
        f"\nThe details of {left_out} more are too long for a comment; the run's artifact has the plans.\n" if left_out else ""
    )


def _code(text: str) -> str:
    """Text of the program's as code, so that nothing in it is taken for Markdown, HTML or a mention."""
    plain = "".join(c if c.isprintable() and c not in "`|<>&" else "?" for c in text)
    return f"<code>{plain}</code>"


def _longest_run(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest


if __name__ == "__main__":
    app()
