"""Recorded traffic: when requests arrived, how long prompt and answer were."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
"""Of the Azure LLM inference traces (Patel et al., "Splitwise", ISCA 2024)."""


class TraceError(Exception):
    """A trace that cannot be replayed; says where and why."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One recorded request."""

    at: float
    """Seconds after the first."""
    prompt_tokens: int
    answer_tokens: int


def read_trace(path: Path, most: int) -> list[Arrival]:
    """Read the first requests of a trace in Azure's CSV format.

    Args:
        path: The file.
        most: How many requests.

    Raises:
        TraceError: it cannot be read, lacks a column, has no requests, or has a line that is no request.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            missing = [c for c in COLUMNS if c not in (rows.fieldnames or ())]
            if missing:
                raise TraceError(f"{path} has no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
            read: list[tuple[datetime, int, int]] = []
            for row in rows:
                if len(read) == most:
                    break
                read.append(_request(row, f"{path}, line {rows.line_num}"))
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path} is no CSV file: {error}") from None
    if not read:
        raise TraceError(f"{path} has no requests")
    first = min(when for when, _, _ in read)
    return sorted((Arrival((when - first).total_seconds(), p, a) for when, p, a in read), key=lambda r: r.at)


def _request(row: dict[str, str], where: str) -> tuple[datetime, int, int]:
    timestamp, prompt, answer = (row.get(c) or "" for c in COLUMNS)
    try:
        when = datetime.fromisoformat(timestamp)
    except ValueError:
        raise TraceError(f"{where}: TIMESTAMP is {timestamp!r}; give a date and time such as 2023-11-16 18:15:46.680") from None
    for column, text in zip(COLUMNS[1:], (prompt, answer), strict=True):
        if not text.isascii() or not text.isdigit():
            raise TraceError(f"{where}: {column} is {text!r}; give a whole number")
    return when.replace(tzinfo=None), int(prompt), int(answer)


def scaled(trace: Sequence[Arrival], lengths: float, speedup: float) -> list[Arrival]:
    """The same traffic with lengths multiplied by a factor, at least 1 token each, and arrival times divided by another."""
    return [
        Arrival(r.at / speedup, max(1, round(r.prompt_tokens * lengths)), max(1, round(r.answer_tokens * lengths))) for r in trace
    ]
