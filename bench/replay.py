"""Recorded traffic through a running router.

    python -m bench.replay TRACE [--url http://127.0.0.1:8000/v1] [--requests 500] [--length-scale 0.05] [--speedup 10]

Sends streamed chat completions at the recorded arrival times, with prompts and answers of the recorded lengths, both scaled by
the factors stated in the result. Times count from when a request was due, so that waiting for a free place is in them too. Ends
with 1 if a request failed.
"""

import argparse
import asyncio
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
from bench.percentile import percentile
from bench.traffic import Arrival, TraceError, read_trace, scaled
from rich.console import Console
from rich.table import Table

CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for English text; the model's own tokenizer is not known here."""
SHARES = (0.5, 0.95, 0.99)
_WORDS = "the model reads these words one by one and answers with as many of its own as it was asked for "


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one request ended."""

    first_token: float | None
    """Seconds from when it was due to the first token; None if none came."""
    total: float
    """Seconds from when it was due to its end."""
    failure: str | None = None
    """What went wrong."""


def prompt(tokens: int) -> str:
    """A text of about so many tokens."""
    size = tokens * CHARACTERS_PER_TOKEN
    return (_WORDS * (size // len(_WORDS) + 1))[:size]


async def ask(client: httpx.AsyncClient, request: Arrival, model: str, due: float) -> Outcome:
    """Send one request and read its stream to the end."""
    message = {"role": "user", "content": prompt(request.prompt_tokens)}
    body = {"model": model, "messages": [message], "max_tokens": request.answer_tokens, "stream": True}
    first: float | None = None
    failure: str | None = "the stream ended without [DONE]"
    try:
        async with client.stream("POST", "chat/completions", json=body) as answer:
            if answer.status_code != 200:
                said = (await answer.aread()).decode("utf-8", "replace")
                return Outcome(None, perf_counter() - due, f"{answer.status_code}: {said[:300]}")
            async for line in answer.aiter_lines():
                if not line.startswith("data:"):
                    continue
                data = line[5:].strip()
                if data == "[DONE]":
                    failure = None
                    continue
                event: dict[str, Any] = json.loads(data)
                if "error" in event:
                    return Outcome(first, perf_counter() - due, f"in the stream: {event['error'].get('message')}")
                if first is None and any(_text(c) for c in event.get("choices", [])):
                    first = perf_counter() - due
    except (httpx.HTTPError, ValueError) as error:
        failure = f"{type(error).__name__}: {error}"
    return Outcome(first, perf_counter() - due, failure)


def _text(choice: dict[str, Any]) -> str:
    delta: dict[str, Any] = choice.get("delta") or {}
    return delta.get("content") or delta.get("reasoning_content") or ""


async def replay(trace: Sequence[Arrival], url: str, model: str, at_once: int, key: str | None) -> list[Outcome]:
    """Send a trace, `at_once` requests under way at most."""
    places = asyncio.Semaphore(at_once)
    headers = {"authorization": f"Bearer {key}"} if key else None
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    timeout = httpx.Timeout(300, connect=10)
    base = url if url.endswith("/") else f"{url}/"
    async with httpx.AsyncClient(base_url=base, headers=headers, limits=limits, timeout=timeout) as client:
        begun = perf_counter()

        async def one(request: Arrival) -> Outcome:
            due = begun + request.at
            await asyncio.sleep(due - perf_counter())
            async with places:
                return await ask(client, request, model, due)

        return await asyncio.gather(*(one(r) for r in trace))


def summary(outcomes: Sequence[Outcome], **factors: Any) -> dict[str, Any]:
    """Counts, and percentiles of the requests that succeeded, in milliseconds."""
    good = [o for o in outcomes if o.failure is None]
    times = {
        "time_to_first_token_ms": [o.first_token * 1e3 for o in good if o.first_token is not None],
        "total_ms": [o.total * 1e3 for o in good],
    }
    return {
        **factors,
        "requests": len(outcomes),
        "failures": len(outcomes) - len(good),
        "causes": dict(Counter(o.failure for o in outcomes if o.failure is not None).most_common(5)),
        **{n: {f"p{s * 100:g}": round(percentile(v, s), 1) for s in SHARES} if v else None for n, v in times.items()},
    }


def table(told: dict[str, Any]) -> Table:
    shown = Table(
        "",
        *(f"p{s * 100:g}" for s in SHARES),
        title=f"{told['requests']} requests, {told['failures']} failures",
        caption=f"{told['trace']}: lengths x {told['length_scale']:g}, arrivals {told['speedup']:g} times as fast",
    )
    for label, name in (("time to first token, ms", "time_to_first_token_ms"), ("total time, ms", "total_ms")):
        values = told[name]
        shown.add_row(label, *(f"{v:,.1f}" for v in values.values()) if values else ["-"] * len(SHARES))
    return shown


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.replay", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "trace", type=Path, help="CSV with TIMESTAMP, ContextTokens and GeneratedTokens (Azure LLM inference traces)"
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1", help="the router's address (default %(default)s)")
    parser.add_argument("--requests", type=int, default=500, help="how many of the trace's requests (default %(default)s)")
    parser.add_argument(
        "--length-scale", type=float, default=0.05, help="factor on prompts' and answers' tokens (default %(default)s)"
    )
    parser.add_argument("--speedup", type=float, default=10, help="how much faster than recorded (default %(default)s)")
    parser.add_argument("--model", default="auto", help="model to ask for (default %(default)s)")
    parser.add_argument("--at-once", type=int, default=64, help="most requests under way (default %(default)s)")
    parser.add_argument(
        "--key-env", default="SLIPWAY_API_KEY", help="variable with the router's key, if it wants one (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    asked = parser.parse_args(arguments)
    for option in ("requests", "length_scale", "speedup", "at_once"):
        if not getattr(asked, option) > 0:
            parser.error(f"--{option.replace('_', '-')} is {getattr(asked, option)}; give more than 0")
    try:
        trace = read_trace(asked.trace, asked.requests)
    except TraceError as error:
        parser.exit(2, f"bench.replay: {error}\n")
    sent = scaled(trace, asked.length_scale, asked.speedup)
    outcomes = asyncio.run(replay(sent, asked.url, asked.model, asked.at_once, os.environ.get(asked.key_env)))
    told = summary(outcomes, trace=str(asked.trace), url=asked.url, length_scale=asked.length_scale, speedup=asked.speedup)
    if asked.json:
        print(json.dumps(told, indent=2))
    else:
        Console().print(table(told))
        for cause, count in told["causes"].items():
            print(f"{count} failed: {cause}")
    if told["failures"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
