"""What a user sees once a stack is up: where it is, what is behind it, and a line to try it."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, cast

from rich.console import Console
from rich.table import Table


def show(outputs: Mapping[str, Any], console: Console) -> None:
    """Print the router's address, its backends as it sees them, and a curl line that works when pasted.

    A stack without a router, or with one that cannot be reached from here, shows its outputs.
    """
    url = str(outputs.get("url", ""))
    state = router_state(url) if url else None
    if state is None:
        for key, value in sorted(outputs.items()):
            console.print(f"{key}: {value}", highlight=False)
        return
    table = Table("backend", "state", "model", "latency", box=None, pad_edge=False)
    for backend in state:
        available = "[green]available[/]" if backend["available"] else "[red]unavailable[/]"
        latency = f"{backend['latency_ms']:.0f} ms" if backend.get("latency_ms") else "-"
        table.add_row(str(backend["name"]), available, str(backend.get("model", "")), latency)
    console.print(table)
    for key in sorted(k for k, v in outputs.items() if k.endswith("-babbles") and v):
        console.print(f"{key.removesuffix('-babbles')} is a tiny model, generated here with random weights: it babbles.")
    console.print(f"\nThe router is at {url}/v1. Try it:\n", highlight=False)
    body = json.dumps({"model": "auto", "max_tokens": 32, "messages": [{"role": "user", "content": "Hello!"}]})
    console.print(
        f"  curl {url}/v1/chat/completions -H 'content-type: application/json' -d '{body}'\n", highlight=False, soft_wrap=True
    )


def router_state(url: str) -> list[dict[str, Any]] | None:
    """The backends as the router's `/ready` tells them; None where no router answers."""
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=5) as answer:  # noqa: S310 -- an address that this stack made
            body = answer.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    except (OSError, ValueError):
        return None
    try:
        return cast("list[dict[str, Any]]", json.loads(body)["backends"])
    except (ValueError, KeyError, TypeError):
        return None
