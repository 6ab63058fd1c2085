"""Recorded traffic: when requests arrived, how long prompt and answer were, and which prompts begin alike."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any, TextIO, cast

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
"""Of the Azure LLM inference traces (Patel et al., "Splitwise", ISCA 2024)."""
FIELDS = ("timestamp", "input_length", "output_length")
"""Of Mooncake's traces (Qin et al., FAST 2025): milliseconds and tokens. `hash_ids` may name the prompt's blocks."""
BLOCK_TOKENS = 512
"""Of Mooncake's blocks."""


class TraceError(Exception):
    """A trace that cannot be replayed; says where and why."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One recorded request."""

    at: float
    """Seconds after the first."""
    prompt_tokens: int
    answer_tokens: int
    blocks: tuple[int, ...] = ()
    """What the prompt is made of, in order: prompts are alike as far as these are. Empty: it is like no other."""
    block_tokens: int = BLOCK_TOKENS
    """Length of each but the last."""


def read_trace(path: Path, most: int) -> list[Arrival]:
    """Read the first requests of a trace: CSV of the Azure LLM inference traces, or JSON lines of Mooncake's.

    Args:
        path: The file.
        most: How many requests.

    Raises:
        TraceError: it cannot be read, lacks a column, has no requests, or has a line that is no request.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            mooncake = file.read(1) == "{"
            file.seek(0)
            read = _mooncake(path, file, most) if mooncake else _azure(path, file, most)
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path} is neither CSV nor JSON lines: {error}") from None
    if not read:
        raise TraceError(f"{path} has no requests")
    first = min(r.at for r in read)
    return sorted((replace(r, at=r.at - first) for r in read), key=lambda r: r.at)


def _azure(path: Path, file: TextIO, most: int) -> list[Arrival]:
    rows = csv.DictReader(file)
    missing = [c for c in COLUMNS if c not in (rows.fieldnames or ())]
    if missing:
        raise TraceError(
            f"{path} has no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}, or JSON lines with {', '.join(FIELDS)}"
        )
    return [_row(row, f"{path}, line {rows.line_num}") for row in islice(rows, most)]


def _row(row: dict[str, str], where: str) -> Arrival:
    timestamp, prompt, answer = (row.get(c) or "" for c in COLUMNS)
    try:
        when = datetime.fromisoformat(timestamp)
    except ValueError:
        raise TraceError(f"{where}: TIMESTAMP is {timestamp!r}; give a date and time such as 2023-11-16 18:15:46.680") from None
    for column, text in zip(COLUMNS[1:], (prompt, answer), strict=True):
        if not text.isascii() or not text.isdigit():
            raise TraceError(f"{where}: {column} is {text!r}; give a whole number")
    return Arrival(when.replace(tzinfo=UTC).timestamp(), int(prompt), int(answer))


def _mooncake(path: Path, file: TextIO, most: int) -> list[Arrival]:
    read: list[Arrival] = []
    for number, line in enumerate(file, 1):
        if len(read) == most:
            break
        if line.strip():
            read.append(_line(line, f"{path}, line {number}"))
    return read


def _line(line: str, where: str) -> Arrival:
    try:
        given: object = json.loads(line)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise TraceError(f"{where} is no JSON object")
    told = cast("dict[str, Any]", given)
    numbers = [told.get(f) for f in FIELDS]
    for field, value in zip(FIELDS, numbers, strict=True):
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < inf:
            raise TraceError(f"{where}: {field} is {value!r}; give a number from 0 on")
    blocks: object = told.get("hash_ids", [])
    if not isinstance(blocks, list) or not all(isinstance(b, int) for b in cast("list[object]", blocks)):
        raise TraceError(f"{where}: hash_ids is {str(told['hash_ids'])[:40]!r}; give a list of whole numbers")
    at, prompt, answer = cast("list[float]", numbers)
    return Arrival(at / 1000, int(prompt), int(answer), tuple(cast("list[int]", blocks)))


def scaled(trace: Sequence[Arrival], lengths: float, speedup: float) -> list[Arrival]:
    """The same traffic with lengths multiplied by a factor, at least 1 token each, and arrival times divided by another."""

    def length(tokens: int) -> int:
        return max(1, round(tokens * lengths))

    return [
        replace(
            r,
            at=r.at / speedup,
            prompt_tokens=length(r.prompt_tokens),
            answer_tokens=length(r.answer_tokens),
            block_tokens=length(r.block_tokens),
        )
        for r in trace
    ]
