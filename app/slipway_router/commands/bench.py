"""`slipway-router bench`: load on any OpenAI-compatible address, and what came of it."""

import argparse
import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import uvloop
from pydantic import ValidationError

from slipway_router.bench.asking import Asker
from slipway_router.bench.chart import chart, chart_fault, write_chart
from slipway_router.bench.load import Measured, as_traced, at_once
from slipway_router.bench.report import TIMES, shown, summary, times
from slipway_router.bench.traffic import Arrival, TraceError, read_trace, scaled
from slipway_router.variables import is_key

FAILED = 1
WRONG_ARGUMENTS = 2
KEY_VARIABLE = "SLIPWAY_API_KEY"
LIMITS = {
    "requests": (1, 10_000_000),
    "concurrency": (1, 10_000),
    "seconds": (0.1, 86_400),
    "timeout": (0.1, 86_400),
    "prompt_tokens": (1, 10_000_000),
    "answer_tokens": (1, 10_000_000),
    "speedup": (0.001, 1_000_000),
    "length_scale": (0.001, 1000),
}
"""Least and most of each number."""


def main(arguments: Sequence[str]) -> int:
    """Load. 0 where every request was answered, 1 where one failed or none was sent, 2 on wrong arguments."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    key, extra, trace = _checked(parser, asked)
    measured = uvloop.run(_load(asked, key, extra, trace))
    load: dict[str, Any] = {"concurrency": asked.concurrency}
    if trace is not None:
        load |= {"trace": str(asked.trace), "speedup": asked.speedup, "length_scale": asked.length_scale}
    else:
        load |= {"prompt_tokens": asked.prompt_tokens, "answer_tokens": asked.answer_tokens}
    told = summary(measured, url=asked.url, model=asked.model, **load)
    head = f"{asked.url}, model {asked.model}: {_load_of(asked)}\n\n"
    sys.stdout.write(json.dumps(told, indent=2) + "\n" if asked.json else head + shown(told))
    if asked.chart is not None:
        panels = {label: times(measured)[name] for name, label in TIMES.items()}
        drawn = chart(f"{asked.url}, model {asked.model}: {told['requests']:,} requests, {_load_of(asked)}", panels)
        write_chart(asked.chart, drawn)
    return FAILED if told["failures"] or not told["requests"] else 0


async def _load(
    asked: argparse.Namespace, key: str | None, extra: Mapping[str, Any], trace: Sequence[Arrival] | None
) -> Measured:
    asker = _asker(asked, key, extra)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    # Whoever interrupts a run is told what came of it until then.
    loop.add_signal_handler(signal.SIGINT, stop.set)
    try:
        if trace is not None:
            return await as_traced(asker, trace, asked.concurrency, stop)
        request = Arrival(0.0, asked.prompt_tokens, asked.answer_tokens)
        return await at_once(asker, request, asked.concurrency, asked.requests, asked.seconds, stop)
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        asker.close()


def _load_of(asked: argparse.Namespace) -> str:
    if asked.trace is None:
        prompts = f"prompts of {asked.prompt_tokens:,} tokens, answers of at most {asked.answer_tokens:,}"
        return f"{asked.concurrency:,} at once, {prompts}"
    scale = "" if asked.length_scale == 1 else f", lengths times {asked.length_scale:g}"
    return f"{asked.trace.name} at {asked.speedup:g} times its speed{scale}, at most {asked.concurrency:,} at once"


def _asker(asked: argparse.Namespace, key: str | None, extra: Mapping[str, Any]) -> Asker:
    return Asker(asked.url, asked.model, key=key, timeout=asked.timeout, extra=extra)


def _checked(
    parser: argparse.ArgumentParser, asked: argparse.Namespace
) -> tuple[str | None, dict[str, Any], list[Arrival] | None]:
    """The key, more fields of the body, and what of the trace is sent. Ends the process on faults, with all of them."""
    faults = [
        f"--{name.replace('_', '-')} is {getattr(asked, name):g}; give {least} to {most:,}"
        for name, (least, most) in LIMITS.items()
        if not least <= getattr(asked, name) <= most
    ]
    key = os.environ.get(asked.key_env or KEY_VARIABLE) or None
    if asked.key_env and key is None:
        faults.append(f"--key-env names the environment variable {asked.key_env}, which is not set; set it to the key")
    elif key is not None and not is_key(key):
        faults.append(f"the environment variable {asked.key_env or KEY_VARIABLE} holds no key: only visible ASCII characters")
    try:
        extra: object = json.loads(asked.extra)
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        faults.append(f"--extra is {asked.extra!r}; give a JSON object of fields of the body")
    trace: list[Arrival] | None = None
    if asked.trace is not None:
        try:
            read = read_trace(asked.trace, max(1, asked.requests))
            trace = [r for r in scaled(read, asked.length_scale, asked.speedup) if r.at < asked.seconds] if not faults else None
        except TraceError as error:
            faults.append(f"--trace: {error}")
    try:
        # The address is checked as a backend's is.
        _asker(argparse.Namespace(url=asked.url, model=asked.model, timeout=1), None, {})
    except ValidationError as error:
        told = [f"URL {e['ctx']['error'] if 'ctx' in e else e['msg']}" for e in cast("Any", error.errors())]
        faults += [re.sub("//[^/@]*@", "//[a secret]@", fault) for fault in told]
    if asked.chart is not None and (fault := chart_fault(asked.chart)):
        faults.append(f"--chart: {fault}")
    if faults:
        parser.exit(WRONG_ARGUMENTS, "".join(f"slipway-router bench: {fault}\n" for fault in faults))
    return key, cast("dict[str, Any]", extra), trace


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slipway-router bench",
        description="Send streamed chat completions to any OpenAI-compatible address, so many at once or at the times of a trace,"
        " and tell requests per second, time to first token and time per output token. Every prompt begins differently, so that"
        " no server answers from its prefix cache, unless a trace says which begin alike."
        " Ctrl-C ends it early and tells what came of it until then.",
        epilog="Exit codes: 0 every request was answered, 1 one failed or none ended, 2 wrong arguments.",
    )
    parser.add_argument("url", metavar="URL", help="the address with its version, such as http://127.0.0.1:8000/v1")
    parser.add_argument("--model", default="auto", help="model to ask for (default %(default)s, by which a router chooses)")
    parser.add_argument("--concurrency", type=int, default=8, help="requests under way at once, at most (default %(default)s)")
    parser.add_argument("--requests", type=int, default=100, help="requests in all, at most (default %(default)s)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=60,
        help="how long requests are sent; those under way are waited for, --timeout at most (default %(default)s)",
    )
    parser.add_argument("--timeout", type=float, default=120, help="seconds a request may take (default %(default)s)")
    parser.add_argument("--prompt-tokens", type=int, default=256, help="about how long prompts are (default %(default)s)")
    parser.add_argument("--answer-tokens", type=int, default=64, help="most tokens of an answer (default %(default)s)")
    parser.add_argument(
        "--trace",
        type=Path,
        metavar="FILE",
        help="CSV with TIMESTAMP, ContextTokens and GeneratedTokens (Azure LLM inference traces), or JSON lines with timestamp in"
        " ms, input_length, output_length and hash_ids (Mooncake's): requests are sent at its times with its lengths and common"
        " prefixes, and their times count from when they were due",
    )
    parser.add_argument("--speedup", type=float, default=1, help="how much faster than the trace (default %(default)s)")
    parser.add_argument("--length-scale", type=float, default=1, help="factor on the trace's tokens (default %(default)s)")
    parser.add_argument(
        "--extra",
        default="{}",
        metavar="JSON",
        help="more fields of the body, such as '{\"ignore_eos\": true}'; null takes one away: '{\"stream_options\": null}'",
    )
    parser.add_argument(
        "--key-env", metavar="NAME", help=f"environment variable that holds the key (default {KEY_VARIABLE}, if it is set)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="write the times' percentiles as a chart: .svg, .html or .png")
    return parser
