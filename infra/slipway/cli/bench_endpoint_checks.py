"""What `slipway bench-endpoint` is told, made into endpoints' names, keys and prices; every fault by its option."""

import importlib
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from slipway import machines
from slipway.accelerators import Place
from slipway.endpoint_bench import Endpoint, Load, TokenPrice
from slipway.prices import Rates
from slipway_router.variables import is_key

NONE = "-"
"""For an endpoint that has none of what an option tells."""
_FORMATS = (".png", ".html", ".svg")


def load_faults(load: Load) -> list[str]:
    """What is wrong with the numbers of the load."""
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


def each(option: str, given: Sequence[str] | None, count: int, faults: list[str]) -> list[str | None]:
    """A value for each endpoint; `None` where none was told."""
    if given and len(given) not in (1, count):
        faults.append(f"{option}: is given {len(given)} times for {count} endpoints; give it once, or once for each")
    values = list(given or ()) or [NONE]
    values = values * count if len(values) == 1 else (values + [NONE] * count)[:count]
    return [None if v == NONE else v for v in values]


def names_of(urls: Sequence[str], given: Sequence[str] | None, models: Sequence[str | None], faults: list[str]) -> list[str]:
    """What each endpoint is called: as told, else by its host and model."""
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


def keys_of(variables: Sequence[str | None], faults: list[str]) -> list[str | None]:
    """The key of each endpoint, from its environment variable."""
    keys: list[str | None] = []
    for variable in variables:
        key = os.environ.get(variable) if variable else None
        if variable and not key:
            faults.append(f"--key-env: names the environment variable {variable}, which is not set; set it to the key")
        elif key and not is_key(key):
            faults.append(f"--key-env: the environment variable {variable} holds no key: only visible ASCII characters")
        keys.append(key)
    return keys


def prices_of(
    count: int,
    price: Sequence[str] | None,
    machine: Sequence[str] | None,
    token_price: Sequence[str] | None,
    rates: Rates,
    faults: list[str],
) -> list[tuple[float | None, TokenPrice | None, str]]:
    """What each costs: USD an hour, USD for tokens, and where that is known from."""
    told = zip(
        *(
            each(option, given, count, faults)
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


def url_faults(endpoint: Endpoint) -> list[str]:
    """What is wrong with an endpoint's address."""
    try:
        endpoint.asker(1, {}).close()
    except ValidationError as error:
        told = [f"URL: {e['ctx']['error'] if 'ctx' in e else e['msg']}" for e in cast("Any", error.errors())]
        return [re.sub("//[^/@]*@", "//[a secret]@", fault) for fault in told]
    return []


def chart_faults(file: Path) -> list[str]:
    """What is wrong with a chart's file, before a long run and not after it."""
    if file.suffix not in _FORMATS:
        return [f"--chart: is {file}; give a name that ends in {', '.join(_FORMATS)}"]
    try:
        importlib.import_module("slipway.endpoint_chart")
    except ImportError as error:
        return [f"--chart: {error}"]
    try:
        file.open("ab").close()
    except OSError as error:
        return [f"--chart: {file} cannot be written: {(error.strerror or str(error)).lower()}"]
    return []
