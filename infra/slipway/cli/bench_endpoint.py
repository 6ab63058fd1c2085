"""`slipway bench-endpoint`: endpoints side by side, by latency, throughput and cost."""

import asyncio
import dataclasses
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from slipway.cli.bench_endpoint_checks import chart_faults, each, keys_of, load_faults, names_of, prices_of, url_faults
from slipway.cli.bench_endpoint_table import show
from slipway.cli.errors import BAD_INPUT, FAILED, fail
from slipway.cli.rates import RatesOption, read_rates
from slipway.cli.stacks import JsonOption
from slipway.endpoint_bench import Endpoint, Load, Result, compare

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
    faults = load_faults(load)
    own = read_rates(rates, faults)
    count = len(urls)
    models, keys = each("--model", model, count, faults), keys_of(each("--key-env", key_env, count, faults), faults)
    names = names_of(urls, name, models, faults)
    prices = prices_of(count, price, machine, token_price, own, faults)
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
        faults += url_faults(endpoint)
    for file in chart or ():
        faults += chart_faults(file)
    if faults:
        fail("\n".join(dict.fromkeys(faults)), BAD_INPUT)
    results = _run(endpoints, load)
    title = f"{load.requests} requests to each, {load.concurrency} at once, {load.prompt_tokens}/{load.answer_tokens} tokens"
    if as_json:
        settings = {k: v for k, v in vars(load).items() if k != "extra"}
        sys.stdout.write(json.dumps({"load": settings, "endpoints": [r.told() for r in results]}, indent=2) + "\n")
    else:
        show(results, title)
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
