"""`slipway bench-endpoint`: endpoints side by side, by latency, throughput and cost."""

import asyncio
import dataclasses
import importlib
import json
import math
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from slipway import machines
from slipway.accelerators import Place
from slipway.cli.errors import BAD_INPUT, FAILED, fail
from slipway.cli.rates import RatesOption, read_rates
from slipway.cli.stacks import JsonOption
from slipway.endpoint_bench import Endpoint, Load, Result, TokenPrice, compare
from slipway.prices import Rates
from slipway_router.bench.report import BUSY
from slipway_router.variables import is_key

NONE = "-"
"""For an endpoint that has none of what an option tells."""
_FORMATS = (".png", ".html", ".svg")
_TIMES = (("time to first token, ms", "time_to_first_token_ms"), ("total time, ms", "total_ms"))
_EACH = "Once for all endpoints, or once for each in their order"

UrlsArgument = Annotated[
    list[str], typer.Argument(metavar="URL...", help="Addresses with their version, such as http://127.0.0.1:8000/v1.")
]
NameOption = Annotated[list[str] | None, typer.Option("--name", help="What an endpoint is called; one for each.")]
ModelOption = Annotated[list[str] | None, typer.Option("--model", help=f"Model to ask for. {_EACH}. Default: auto.")]
KeyOption = Annotated[
    list[str] | None, typer.Option("--key-env", help=f"Environment variable that holds the key, '-' for none. {_EACH}.")
]
PriceOption = Annotated[
    list[str] | None, typer.Option("--price", help=f"USD an hour of all that serves it, '-' for not known. {_EACH}.")
]
MachineOption = Annotated[
    list[str] | None,
    typer.Option(
        "--machine",
        help="Or the machine that serves it, with its list price: [N*]PLACE/MACHINE[@REGION], such as sagemaker/ml.g5.xlarge or "
        f"2*gce/g2-standard-4@us-central1. {_EACH}.",
    ),
]
TokenPriceOption = Annotated[
    list[str] | None,
    typer.Option("--token-price", help=f"Or USD for a million tokens of prompt and of answer, such as 0.15/0.60. {_EACH}."),
]
RequestsOption = Annotated[int, typer.Option("--requests", help="To each endpoint, at most.")]
ConcurrencyOption = Annotated[int, typer.Option("--concurrency", help="Requests under way at once.")]
RoundsOption = Annotated[int, typer.Option("--rounds", help="Into which the requests are divided; endpoints take turns.")]
WarmUpOption = Annotated[
    int | None, typer.Option("--warm-up", help="Requests before, that do not count. Default: --concurrency.")
]
PromptOption = Annotated[int, typer.Option("--prompt-tokens", help="About how long prompts are.")]
AnswerOption = Annotated[int, typer.Option("--answer-tokens", help="Most tokens of an answer.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", help="Seconds a request may take.")]
SecondsOption = Annotated[float, typer.Option("--seconds", help="Longest time that requests are sent in one round.")]
ExtraOption = Annotated[str, typer.Option("--extra", metavar="JSON", help="More fields of the body; null takes one away.")]
ChartOption = Annotated[
    list[Path] | None, typer.Option("--chart", help="File for a chart: .png, .html or .svg. May be repeated.", dir_okay=False)
]


def bench_endpoint(
    urls: UrlsArgument,
    name: NameOption = None,
    model: ModelOption = None,
    key_env: KeyOption = None,
    price: PriceOption = None,
    machine: MachineOption = None,
    token_price: TokenPriceOption = None,
    rates: RatesOption = None,
    requests: RequestsOption = 100,
    concurrency: ConcurrencyOption = 8,
    rounds: RoundsOption = 4,
    warm_up: WarmUpOption = None,
    prompt_tokens: PromptOption = 256,
    answer_tokens: AnswerOption = 64,
    timeout: TimeoutOption = 120,
    seconds: SecondsOption = 60,
    extra: ExtraOption = "{}",
    chart: ChartOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare OpenAI-compatible endpoints: latency, throughput, and cost of 1,000 requests and of a million tokens.

    Each is sent the same streamed chats in turns, so that what changes meanwhile meets all. Prompts begin differently, so that no
    prefix cache answers. Ctrl-C ends it early. Ends with 0; with 1 if a request failed or none ended; with 2 on bad input.
    """
    load = Load(
        requests, concurrency, prompt_tokens, answer_tokens, rounds, concurrency if warm_up is None else warm_up, timeout, seconds
    )
    faults = _load_faults(load)
    own = read_rates(rates, faults)
    count = len(urls)
    models, keys = _each("--model", model, count, faults), _keys(_each("--key-env", key_env, count, faults), faults)
    names = _names(urls, name, models, faults)
    prices = _prices(count, price, machine, token_price, own, faults)
    try:
        told: object = json.loads(extra)
    except ValueError:
        told = None
    if isinstance(told, dict):
        load = dataclasses.replace(load, extra=cast("dict[str, Any]", told))
    else:
        faults.append(f"--extra: is {extra!r}; give a JSON object of fields of the body")
    endpoints = [Endpoint(n, u, m or "auto", k, *p) for n, u, m, k, p in zip(names, urls, models, keys, prices, strict=True)]
    for endpoint in endpoints:
        faults += _url_faults(endpoint)
    for file in chart or ():
        faults += _chart_faults(file)
    if faults:
        fail("\n".join(dict.fromkeys(faults)), BAD_INPUT)
    results = _run(endpoints, load)
    title = f"{load.requests} requests to each, {load.concurrency} at once, {load.prompt_tokens}/{load.answer_tokens} tokens"
    if as_json:
        settings = {k: v for k, v in vars(load).items() if k != "extra"}
        sys.stdout.write(json.dumps({"load": settings, "endpoints": [r.told() for r in results]}, indent=2) + "\n")
    else:
        _show(results, title)
    if any(r.rounds for r in results):
        for file in chart or ():
            from slipway.endpoint_chart import write

            write(results, title, file)
    if any(r.whole.given_up or not r.whole.outcomes or any(o.cause for o in r.whole.outcomes) for r in results):
        raise typer.Exit(FAILED)


def _run(endpoints: Sequence[Endpoint], load: Load) -> list[Result]:
    def progress(line: str) -> None:
        typer.echo(line, err=True)

    async def run() -> list[Result]:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, stop.set)
        try:
            return await compare(endpoints, load, stop, progress)
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    return asyncio.run(run())


def _load_faults(load: Load) -> list[str]:
    limits = (
        ("--requests", load.requests, 1, 10_000_000),
        ("--concurrency", load.concurrency, 1, 10_000),
        ("--rounds", load.rounds, 1, 1000),
        ("--warm-up", load.warm_up, 0, 1_000_000),
        ("--prompt-tokens", load.prompt_tokens, 1, 10_000_000),
        ("--answer-tokens", load.answer_tokens, 1, 10_000_000),
        ("--timeout", load.timeout, 0.1, 86_400),
        ("--seconds", load.seconds, 0.1, 86_400),
    )
    faults = [f"{n}: is {v:g}; give {least:g} to {most:,}" for n, v, least, most in limits if not least <= v <= most]
    if load.requests >= 1 and load.rounds > load.requests:
        faults.append(f"--rounds: is {load.rounds}, more than the {load.requests} requests; give fewer, or more --requests")
    return faults


def _each(option: str, given: Sequence[str] | None, count: int, faults: list[str]) -> list[str | None]:
    """A value for each endpoint; `None` where none was told."""
    if given and len(given) not in (1, count):
        faults.append(f"{option}: is given {len(given)} times for {count} endpoints; give it once, or once for each")
    values = list(given or ()) or [NONE]
    values = values * count if len(values) == 1 else (values + [NONE] * count)[:count]
    return [None if v == NONE else v for v in values]


def _names(urls: Sequence[str], given: Sequence[str] | None, models: Sequence[str | None], faults: list[str]) -> list[str]:
    if given:
        if len(given) != len(urls):
            faults.append(f"--name: is given {len(given)} times for {len(urls)} endpoints; give it once for each, or not at all")
        elif len(set(given)) < len(given):
            faults.append(
                f"--name: {', '.join(sorted({n for n in given if given.count(n) > 1}))} names several; give each another"
            )
        return (list(given) + list(urls))[: len(urls)]
    hosts = [re.sub(r"^https?://([^/@]*@)?|/.*$", "", url) for url in urls]
    if len(set(hosts)) == len(hosts):
        return hosts
    named = [f"{host} {model or 'auto'}" for host, model in zip(hosts, models, strict=True)]
    return named if len(set(named)) == len(named) else [f"{i}: {n}" for i, n in enumerate(named, 1)]


def _keys(variables: Sequence[str | None], faults: list[str]) -> list[str | None]:
    keys: list[str | None] = []
    for variable in variables:
        key = os.environ.get(variable) if variable else None
        if variable and not key:
            faults.append(f"--key-env: names the environment variable {variable}, which is not set; set it to the key")
        elif key and not is_key(key):
            faults.append(f"--key-env: the environment variable {variable} holds no key: only visible ASCII characters")
        keys.append(key)
    return keys


def _prices(
    count: int,
    price: Sequence[str] | None,
    machine: Sequence[str] | None,
    token_price: Sequence[str] | None,
    rates: Rates,
    faults: list[str],
) -> list[tuple[float | None, TokenPrice | None, str]]:
    told = zip(
        *(
            _each(option, given, count, faults)
            for option, given in (("--price", price), ("--machine", machine), ("--token-price", token_price))
        ),
        strict=True,
    )
    found: list[tuple[float | None, TokenPrice | None, str]] = []
    for hour, name, tokens in told:
        if sum(v is not None for v in (hour, name, tokens)) > 1:
            faults.append("--price: excludes --machine and --token-price of the same endpoint; give one, and '-' for the others")
        usd, source = (_number("--price", hour, faults), "as given") if hour else (None, "")
        if name:
            usd, source = _machine_price(name, rates, faults)
        prices = [_number("--token-price", p, faults) for p in tokens.split("/")] if tokens else []
        if tokens and len(prices) != 2:
            faults.append(f"--token-price: is '{tokens}'; give two prices, of prompt and answer, such as 0.15/0.60")
        both = TokenPrice(prices[0] or 0, prices[1] or 0) if len(prices) == 2 else None
        found.append((usd, both, "as given, by the token" if both else source))
    return found


def _number(option: str, text: str, faults: list[str]) -> float | None:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1_000_000:
        faults.append(f"{option}: is '{text}'; give USD, 0 to 1,000,000, or '-' where it is not known")
        return None
    return value


def _machine_price(text: str, rates: Rates, faults: list[str]) -> tuple[float | None, str]:
    shape = re.fullmatch(r"(?:([1-9][0-9]{0,3})\*)?([a-z0-9]+)/([^@/]+)(?:@([a-z0-9-]+))?", text)
    if shape is None or shape[2] not in (p.value for p in Place):
        places = ", ".join(p.value for p in Place)
        faults.append(f"--machine: is '{text}'; give [N*]PLACE/MACHINE[@REGION], PLACE one of {places}")
        return None, ""
    place, name, region = Place(shape[2]), shape[3], shape[4]
    if not machines.find(place, name):
        there = ", ".join(dict.fromkeys(m.name for m in machines.machines(place)))
        faults.append(f"--machine: {place.value} has no '{name}' in the catalogue; there are {there}, or give --price")
        return None, ""
    price = rates.of(place, name, region)
    if price is None:
        where = f" in {region}" if region else ""
        faults.append(f"--machine: the price of {name}{where} is not known; give --price, or --rates with it")
        return None, ""
    count = int(shape[1] or 1)
    source = f"{price.region}'s list price of {price.date}" if price.date else price.source
    return price.usd_per_hour * count, f"{text}: {source}"


def _url_faults(endpoint: Endpoint) -> list[str]:
    try:
        endpoint.asker(1, {}).close()
    except ValidationError as error:
        told = [f"URL: {e['ctx']['error'] if 'ctx' in e else e['msg']}" for e in cast("Any", error.errors())]
        return [re.sub("//[^/@]*@", "//[a secret]@", fault) for fault in told]
    return []


def _chart_faults(file: Path) -> list[str]:
    if file.suffix not in _FORMATS:
        return [f"--chart: is {file}; give a name that ends in {', '.join(_FORMATS)}"]
    try:
        importlib.import_module("slipway.endpoint_chart")
    except ImportError as error:
        return [f"--chart: {error}"]
    try:
        # Before a long run, not after it.
        file.open("ab").close()
    except OSError as error:
        return [f"--chart: {file} cannot be written: {(error.strerror or str(error)).lower()}"]
    return []


def _show(results: Sequence[Result], title: str) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    told = [r.told() for r in results]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for result in results:
        table.add_column(result.endpoint.name, justify="right")
    if len(results) == 2:
        table.add_column("ratio", justify="right")

    def row(label: str, values: Sequence[float | None], form: str) -> None:
        cells = ["unknown" if v is None else f"{v:{form}}" for v in values]
        if len(values) == 2:
            first, second = values
            cells.append(f"{second / first:.2f}" if first and second is not None else "")
        table.add_row(label, *cells)

    row("requests answered", [d["requests"] - d["failures"] for d in told], ",.0f")
    row("failures", [d["failures"] for d in told], ",.0f")
    for label, field in _TIMES:
        for share in ("p50", "p95", "p99"):
            row(f"{label}, {share}", [d[field] and d[field][share] for d in told], ",.1f")
    row("requests/s", [d["requests_per_second"] for d in told], ",.2f")
    row("output tokens/s", [d["output_tokens_per_second"] for d in told], ",.1f")
    row("USD an hour", [r.endpoint.usd_per_hour for r in results], ",.2f")
    row("USD per 1,000 requests", [d["usd_per_1000_requests"] for d in told], ",.4f")
    row("USD per million output tokens", [d["usd_per_million_output_tokens"] for d in told], ",.2f")
    console.print(title)
    console.print()
    console.print(table)
    console.print()
    for result, d in zip(results, told, strict=True):
        spread = ", ".join(f"{v:,.1f}" for v in result.median_ms_by_round)
        priced = f"; price: {result.endpoint.price_source}" if result.endpoint.price_source else ""
        console.print(f"{result.endpoint.name}: median of each round {spread or '-'} ms{priced}", soft_wrap=True)
        for cause in d["causes"]:
            console.print(f"  {cause['count']:,} failed: {cause['cause']}, such as: {cause['example']}", soft_wrap=True)
        if d["generator_cpu_share"] >= BUSY:
            share = d["generator_cpu_share"]
            console.print(
                f"  The generator itself computed {share:.0%} of the time: these figures tell more of it.", soft_wrap=True
            )
    console.print("An hour's price costs a request as much as this load left of the hour: with less load more, with more less.")
