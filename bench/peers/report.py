"""What was measured, as a table of medians and ratios, as JSON and as a picture."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from html import escape
from typing import Any

from bench.peers.catalogue import PEERS
from rich.table import Table

DIRECT = "direct"


@dataclass(frozen=True)
class Round:
    """One gateway in one round."""

    requests_per_second: float
    """64 connections, each sending its next request when the last is answered."""
    cpu_us_per_request: float
    cpu_us_per_chunk: float
    """64 streams of 50 chunks a second each: each chunk wakes the gateway."""
    cpu_us_per_chunk_in_bursts: float
    """64 streams as fast as they go: several chunks come at once."""
    p50_ms: float
    """At 50 requests a second."""
    p99_ms: float
    start_seconds: float
    idle_mib: float
    loaded_mib: float
    failures: int


@dataclass(frozen=True)
class Column:
    """One figure of the table."""

    title: str
    field: str
    digits: int
    more_is_better: bool = False


COLUMNS = (
    Column("requests/s", "requests_per_second", 0, more_is_better=True),
    Column("CPU us/request", "cpu_us_per_request", 0),
    Column("CPU us/chunk", "cpu_us_per_chunk", 1),
    Column("in bursts", "cpu_us_per_chunk_in_bursts", 1),
    Column("p50 ms", "p50_ms", 2),
    Column("p99 ms", "p99_ms", 2),
    Column("start s", "start_seconds", 2),
    Column("idle MiB", "idle_mib", 0),
    Column("loaded MiB", "loaded_mib", 0),
    Column("installed MB", "installed_mb", 0),
)

Medians = dict[str, float | None]


def medians(rounds: Sequence[Round], installed_mb: float | None) -> Medians:
    """Of each figure; failures are summed up."""
    values: Medians = {f.name: statistics.median(getattr(r, f.name) for r in rounds) for f in fields(Round)}
    values["failures"] = sum(r.failures for r in rounds)
    values["installed_mb"] = installed_mb
    return values


def title(name: str) -> str:
    return "(upstream alone)" if name == DIRECT else PEERS[name].title


def table(measured: Mapping[str, Medians], heading: str) -> Table:
    """Medians, and below each peer's how many times ours is better (above 1) or worse."""
    shown = Table("one core", title=heading)
    shown.columns[0].no_wrap = True
    for told in (*(c.title for c in COLUMNS), "failures"):
        shown.add_column(told, justify="right")
    ours = measured.get("ours")
    for name, values in measured.items():
        shown.add_row(title(name), *(_number(values[c.field], c.digits) for c in COLUMNS), f"{values['failures']:.0f}")
        if ours is not None and name not in ("ours", DIRECT):
            shown.add_row("  ours better by", *(_ratio(c, ours, values) for c in COLUMNS), "", style="dim")
    return shown


def as_json(
    rounds: Mapping[str, Sequence[Round]], measured: Mapping[str, Medians], skipped: Mapping[str, str], about: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything, rounds included."""
    return {
        "about": dict(about),
        "medians": dict(measured),
        "rounds": {name: [asdict(r) for r in each] for name, each in rounds.items()},
        "skipped": dict(skipped),
    }


def picture(measured: Mapping[str, Medians], heading: str) -> str:
    """Bars of every figure, as SVG. Lengths are logarithmic, for gateways differ by a factor of a thousand."""
    from math import log10

    shown = [c for c in COLUMNS if any(m[c.field] for m in measured.values())]
    rows, width, bar, panel = len(measured), 420, 16, 40 + 16 * len(measured)
    height = 40 + panel * ((len(shown) + 1) // 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * width}" height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="100%" height="100%" fill="white"/><text x="12" y="22" font-size="15">{escape(heading)}</text>',
    ]
    for number, column in enumerate(shown):
        left, top = 12 + width * (number % 2), 44 + panel * (number // 2)
        values = [(name, m[column.field]) for name, m in measured.items()]
        known = [v for _, v in values if v]
        low, high = min(known) / 2, max(known)
        better = "more is better" if column.more_is_better else "less is better"
        parts.append(f'<text x="{left}" y="{top + 10}" font-weight="bold">{escape(column.title)} ({better}, log)</text>')
        for row, (name, value) in enumerate(values):
            y = top + 18 + bar * row
            length = 170 * log10(value / low) / log10(high / low) if value else 0
            colour = "#2563eb" if name == "ours" else "#9ca3af"
            parts.append(f'<text x="{left}" y="{y + 11}">{escape(title(name))}</text>')
            parts.append(f'<rect x="{left + 150}" y="{y + 2}" width="{length:.1f}" height="{bar - 4}" fill="{colour}"/>')
            parts.append(f'<text x="{left + 155 + length:.1f}" y="{y + 11}">{_number(value, column.digits)}</text>')
    assert rows
    return "\n".join([*parts, "</svg>", ""])


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _ratio(column: Column, ours: Medians, theirs: Medians) -> str:
    mine, other = ours[column.field], theirs[column.field]
    if not mine or not other:
        return ""
    return f"x {mine / other if column.more_is_better else other / mine:.2g}"
