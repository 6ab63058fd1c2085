"""`slipway plan`: what a stack would create, and what would change against another plan."""

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from slipway.cli.errors import told
from slipway.cli.rates import RatesOption, project_rates
from slipway.cli.stacks import DirectoryOption, JsonOption, StackOption
from slipway.plan import Plan, PlanError, Resource, plan_project
from slipway.plan.cost import Cost, changed, cost, to_json, words
from slipway.plan.diff import Change, Kind, compare, counted, described
from slipway.plan.foreseen import foreseen

_COLORS = {Kind.ADDED: "green", Kind.CHANGED: "yellow", Kind.DELETED: "red"}

AgainstOption = Annotated[
    Path | None,
    typer.Option("--against", help="A plan that `slipway plan --json` wrote; tells what differs from it.", dir_okay=False),
]
ExitCodeOption = Annotated[
    bool, typer.Option("--exit-code", help="With --against: end with 1 when anything differs, as `git diff` does.")
]


def plan(
    stack: StackOption,
    directory: DirectoryOption = Path(),
    as_json: JsonOption = False,
    against: AgainstOption = None,
    exit_code: ExitCodeOption = False,
    rates: RatesOption = None,
) -> None:
    """Show what a stack would create, and what it costs a month. Needs no engine, cluster, account or secret; creates nothing.

    Ends with 0; with 2 on bad input; with 1 when anything differs, where --against and --exit-code ask for it.
    """
    with told():
        if exit_code and against is None:
            raise PlanError("--exit-code goes with --against, the plan to compare with")
        old = read_plan(against, "--against") if against else None
        own = project_rates(rates, directory)
        made = planned(directory, stack)
        for warning in foreseen(made):
            typer.echo(f"warning: {warning}", err=True)
        costs = cost(made, own)
        if old is None:
            _show_plan(made, costs) if not as_json else sys.stdout.write(plan_json(made, costs))
            return
        changes, before = compare(old, made), cost(old, own)
        _show_changes(made, changes, changed(before, costs)) if not as_json else sys.stdout.write(
            changes_json(changes, before, costs)
        )
        if changes and exit_code:
            raise typer.Exit(1)


def planned(directory: Path, stack: str) -> Plan:
    """The plan of a stack. What the program prints and warns of goes to standard error, as standard output is the result's."""
    with redirect_stdout(sys.stderr):
        made = plan_project(directory, stack)
    for warning in made.warnings:
        typer.echo(warning, err=True)
    return made


def plan_json(made: Plan, costs: Cost) -> str:
    """The plan as one JSON object, with its `cost`; the same bytes on every run."""
    told = {**json.loads(made.to_json()), "cost": to_json(costs)}
    return json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def changes_json(changes: Sequence[Change], before: Cost, after: Cost) -> str:
    """Changes as one JSON object with `changes` and the `cost` of both, the same bytes for the same changes."""
    listed: list[dict[str, Any]] = [
        {
            "kind": c.kind.value,
            "urn": c.resource.urn,
            "type": c.resource.type,
            "name": c.resource.name,
            "replaced": c.replaced,
            "losesData": c.loses_data,
            "paths": [{"path": p.path, "old": p.old, "new": p.new} for p in c.paths],
        }
        for c in changes
    ]
    costs = {"before": to_json(before), "after": to_json(after)}
    return json.dumps({"changes": listed, "cost": costs}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_plan(file: Path, argument: str) -> Plan:
    """A plan from a file; `argument` is what named it.

    Raises:
        PlanError: it cannot be read, or is no plan.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{argument}: {file} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    try:
        return Plan.from_json(text)
    except PlanError as error:
        raise PlanError(f"{argument}: {file} is {error}") from None


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        # A file or a pipe has no width; a table cut at 80 columns would lose names.
        console.width = 200
    return console


def _show_plan(made: Plan, costs: Cost) -> None:
    table = Table("Resource", "Type", "Notes", box=None, pad_edge=False, header_style="bold")

    def add(resources: Sequence[Resource], depth: int) -> None:
        for resource in sorted(resources, key=lambda r: (r.name, r.type)):
            name = Text("  " * depth + resource.name, style="" if resource.custom else "bold")
            table.add_row(name, Text(resource.type), Text(_notes(resource)))
            add(below.get(resource.urn, []), depth + 1)

    below: dict[str, list[Resource]] = {}
    for resource in made:
        below.setdefault(resource.parent or "", []).append(resource)
    add(below.get("", []), 0)
    console = _console()
    console.print(table)
    components = sum(not r.custom for r in made)
    of_all = "1 component" if components == 1 else f"{components} components"
    console.print(f"{made.stack}: {len(made) - components} resources in {of_all}")
    if costs.components:
        _show_cost(costs, console)


def _show_cost(costs: Cost, console: Console) -> None:
    table = Table("Cost a month", "USD", "Of", box=None, pad_edge=False, header_style="bold")
    for component in costs.components:
        for i, line in enumerate(component.lines):
            table.add_row(Text(component.name if not i else ""), Text("" if i else str(component.total)), Text(words(line)))
    table.add_row(
        Text("total", style="bold"), Text(str(costs.total), style="bold"), Text("without traffic, requests and vendors' tokens")
    )
    console.print()
    console.print(table)


def _notes(resource: Resource) -> str:
    options = resource.options
    notes = {
        "read, not created": "read" in options,
        "protected": options.get("protect"),
        "kept on delete": options.get("retainOnDelete"),
        "imported": "import" in options,
    }
    return ", ".join(text for text, fits in notes.items() if fits)


def _show_changes(made: Plan, changes: Sequence[Change], costs: Sequence[str]) -> None:
    console = _console()
    for change in changes:
        what, *paths = described(change)
        console.print(Text(what, style="bold red" if change.loses_data else _COLORS[change.kind]))
        for path in paths:
            console.print(Text(path))
    for line in costs:
        console.print(Text(line))
    console.print(f"{made.stack}: {counted(changes)}")
