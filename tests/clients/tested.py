"""The page of the guide that says which clients were tried: `python -m tests.clients.tested` tries them and writes it."""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.clients.matrix import CLIENTS, COLUMNS, LLAMA, Client, Results, backends, refusal, tried, why_not
from tests.clients.stage import Stage, staged
from tests.clients.tools import missing

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
_HEAD = """# Clients

Clients as they are, against the router as a process, in front of these backends:
{backends}.
llama.cpp is itself; the vendors are fakes, which hold what they are sent against the vendors' own types and signatures. A *yes*
means that every backend was tried, and did what is meant below.

This page is written by a command, and a test compares it with what it finds:

```sh
make clients
.venv/bin/python -m tests.clients.tested
```

"""
_MEANING: Mapping[str, str] = {
    "chat": "a whole answer: its text, why it ends, and the tokens of both sides",
    "stream": "the same, streamed",
    "tools": "a tool is called, its result is answered; streamed calls too",
    "JSON schema": "the answer is an object of the schema, by the client's own means",
    "embeddings": "two texts, two vectors, however the client encodes them",
    "errors": "the class that the client has for it, with status, message and request id: a key and a model that are unknown, a "
    "vendor's refusal, its rate limit, a backend that fails, a stream that breaks off",
    "cancel": "a stream is closed in the middle: the backend's work is over within a second",
}

All = Mapping[str, Results]
"""By client's name."""


def page(stage: Stage, found: All) -> str:
    """The page that these results make."""
    notes: list[str] = []
    rows = [["Client", *COLUMNS], ["---"] * (len(COLUMNS) + 1)]
    rows += [[c.title, *(_cell(c, stage, found[c.name], column, notes) for column in COLUMNS)] for c in CLIENTS]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    listed = "".join(f"{i}. {note}\n" for i, note in enumerate(notes, 1))
    meaning = "".join(f"- *{column}*: {_MEANING[column]}.\n" for column in COLUMNS)
    names = ", ".join(["llama.cpp", *(v.title for v in stage.vendors)])
    return f"{_HEAD.format(backends=names)}{table}\n{listed}\n{meaning}"


def _cell(client: Client, stage: Stage, found: Results, column: str, notes: list[str]) -> str:
    cells = [(b, f) for b, features in backends(stage).items() for f in features if f in COLUMNS[column]]
    if any(why_not(client, stage, found, b, f) for b, f in cells):
        return "no"
    titles = {LLAMA: "llama.cpp", **{v.name: v.title for v in stage.vendors}}
    refused = {titles[b]: reason for b, f in cells if (reason := refusal(client, stage, b, f))}
    if not refused:
        return "yes"
    reasons = set(refused.values())
    if len(refused) == len({b for b, _ in cells}):
        said, note = "none", f"{reasons.pop()}."
    elif refused.keys() == {"llama.cpp"}:
        said, note = "yes", f"Not tried over llama.cpp: {reasons.pop()}."
    else:
        said, note = "yes", f"Over {', '.join(refused)} refused: they have no such task here. The client sees a 404."
    note = note[0].upper() + note[1:]
    if note not in notes:
        notes.append(note)
    return f"{said} ({notes.index(note) + 1})"


def main() -> None:
    """Write the page."""
    if reasons := {r for c in CLIENTS if (r := missing(c.script[0]))}:
        sys.exit("\n".join(reasons))
    with tempfile.TemporaryDirectory() as folder, staged(Path(folder)) as stage:
        found = {c.name: tried(c, stage) for c in CLIENTS}
        PAGE.write_text(page(stage, found))
        cells = [(c, b, f) for c in CLIENTS for b, features in backends(stage).items() for f in features]
        wrong = [f"{c.name}, {b}, {f}: {why}" for c, b, f in cells if (why := why_not(c, stage, found[c.name], b, f))]
    print(PAGE.read_text())
    sys.exit("\n".join(wrong) or None)


if __name__ == "__main__":
    main()
