"""`slipway gpus`: which GPUs can serve a model, and what that costs."""

import difflib
import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from slipway import model_shapes, sizing
from slipway.accelerators import Place, catalogue
from slipway.cli.errors import BAD_INPUT, FAILED, fail
from slipway.cli.rates import RatesOption, read_rates
from slipway.cli.stacks import JsonOption
from slipway.machines import regions_of
from slipway.model_shapes import ModelShape
from slipway.prices import OWN
from slipway.serving_options import Load, Option, options
from slipway.sizing import Dtype, KvCacheDtype, Weights

SHOWN = 20
"""Rows of the table without --all."""
_PLACES = (*(p.value for p in Place), OWN)
_BITS = (4, 8, 16, 32)

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="The model's name on the hub, such as meta-llama/Llama-3.1-8B-Instruct.")
]
ContextOption = Annotated[int | None, typer.Option("--context", help="Tokens of prompt and answer of one request.")]
ConcurrencyOption = Annotated[int, typer.Option("--concurrency", help="Requests under way at once.")]
DtypeOption = Annotated[Dtype, typer.Option("--dtype", help="What it computes in, and its weights are held in unless quantised.")]
KvDtypeOption = Annotated[KvCacheDtype, typer.Option("--kv-cache-dtype", help="What keys and values are kept in.")]
BitsOption = Annotated[int | None, typer.Option("--weight-bits", help="Bits of one stored weight, where the name does not tell.")]
ParametersOption = Annotated[
    float | None, typer.Option("--parameters-billion", help="Size of the model, where its name does not tell it.")
]
LayersOption = Annotated[int | None, typer.Option("--layers", help="With --kv-heads and --head-dim: a shape that is not known.")]
KvHeadsOption = Annotated[int | None, typer.Option("--kv-heads", help="num_key_value_heads of its config.json.")]
HeadDimOption = Annotated[int | None, typer.Option("--head-dim", help="head_dim of its config.json.")]
UtilizationOption = Annotated[float, typer.Option("--gpu-memory-utilization", help="Share of each GPU's memory that is used.")]
PlaceOption = Annotated[list[str] | None, typer.Option("--place", help=f"Only there: {', '.join(_PLACES)}. May be repeated.")]
RegionOption = Annotated[str | None, typer.Option("--region", help="Only machines that it may have, at its prices.")]
SpotOption = Annotated[bool, typer.Option("--spot", help="At prices of machines that may be taken back at any time.")]
AllOption = Annotated[bool, typer.Option("--all", help=f"All rows, not the first {SHOWN}.")]


def gpus(
    model: ModelArgument,
    context: ContextOption = None,
    concurrency: ConcurrencyOption = 1,
    dtype: DtypeOption = Dtype.AUTO,
    kv_cache_dtype: KvDtypeOption = KvCacheDtype.AUTO,
    weight_bits: BitsOption = None,
    parameters_billion: ParametersOption = None,
    layers: LayersOption = None,
    kv_heads: KvHeadsOption = None,
    head_dim: HeadDimOption = None,
    gpu_memory_utilization: UtilizationOption = 0.9,
    place: PlaceOption = None,
    region: RegionOption = None,
    spot: SpotOption = False,
    rates: RatesOption = None,
    show_all: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show which machines can serve a model, the cheapest first: weights, keys and values and overhead must fit their GPUs.

    Ends with 0; with 1 if it fits no machine there; with 2 on bad input.
    """
    faults = _faults(context, concurrency, weight_bits, parameters_billion, gpu_memory_utilization, place, region)
    shape = _shape(model, {"layers": layers, "kv-heads": kv_heads, "head-dim": head_dim}, faults)
    billion = parameters_billion or model_shapes.parameters_billion(model)
    if billion is None:
        near = difflib.get_close_matches(model.rsplit("/", 1)[-1].lower(), model_shapes.catalogue(), n=3)
        meant = f", or a model that is known, such as {', '.join(near)}" if near else ""
        faults.append(
            f"MODEL: the size of '{model}' is not known, and its name does not tell it; give --parameters-billion{meant}"
        )
    own = read_rates(rates, faults)
    if faults or billion is None:
        fail("\n".join(faults), BAD_INPUT)
        return
    tokens = context or (shape.context_tokens if shape else None) or 8192
    bits, how = (weight_bits, "--weight-bits") if weight_bits else sizing.weight_bits(model, dtype)
    load = Load(
        model=model,
        weights=Weights.of(billion, bits, how),
        active=_active(model, shape, billion, bits),
        shape=shape,
        context_tokens=tokens,
        concurrency=concurrency,
        kv_value_bytes=(kv_cache_dtype.bits or dtype.bits) // 8,
        utilization=gpu_memory_utilization,
        bfloat16=dtype is Dtype.BFLOAT16,
    )
    places: list[Place | str] = [p if p == OWN else Place(p) for p in dict.fromkeys(place or _PLACES)]
    found = options(load, own, tuple(places), region, spot=spot)
    if as_json:
        sys.stdout.write(json.dumps(_told(load, found, region, spot), indent=2, ensure_ascii=False) + "\n")
    else:
        _show(load, found, region, spot, None if show_all else SHOWN)
    if not found:
        raise typer.Exit(FAILED)


def _faults(
    context: int | None,
    concurrency: int,
    bits: int | None,
    billion: float | None,
    utilization: float,
    places: list[str] | None,
    region: str | None,
) -> list[str]:
    numbers = (
        ("--context", context, 1, 100_000_000),
        ("--concurrency", concurrency, 1, 1_000_000),
        ("--parameters-billion", billion, 0.001, 100_000),
        ("--gpu-memory-utilization", utilization, 0.1, 1),
    )
    faults = [
        f"{name}: is {value:g}; give {least:g} to {most:,}"
        for name, value, least, most in numbers
        if value is not None and not least <= value <= most
    ]
    if bits is not None and bits not in _BITS:
        faults.append(f"--weight-bits: is {bits}; give one of {', '.join(map(str, _BITS))}")
    faults += [f"--place: is '{p}'; give one of {', '.join(_PLACES)}" for p in places or () if p not in _PLACES]
    asked = [Place(p) for p in places or _PLACES if p in _PLACES and p != OWN]
    known = sorted({r for p in asked for r in regions_of(p)})
    if region is not None and known and region not in known:
        near = difflib.get_close_matches(region, known, n=3)
        choice = f"did you mean {' or '.join(near)}? " if near else ""
        faults.append(f"--region: is '{region}', which is not known; {choice}There are {', '.join(known)}")
    return faults


def _shape(model: str, told: dict[str, int | None], faults: list[str]) -> ModelShape | None:
    given = {name: value for name, value in told.items() if value is not None}
    faults += [f"--{name}: is {value}; give 1 or more" for name, value in given.items() if value < 1]
    if given and len(given) < len(told):
        missing = [f"--{name}" for name in told if name not in given]
        faults.append(f"{', '.join(missing)}: is required with --{next(iter(given))}; give all three from config.json, or none")
    if faults or not given:
        return model_shapes.find(model)
    return ModelShape(source="as given", layers=given["layers"], kv_heads=given["kv-heads"], head_dim=given["head-dim"])


def _active(model: str, shape: ModelShape | None, billion: float, bits: int) -> Weights | None:
    if shape and shape.active_billion:
        return Weights.of(shape.active_billion, bits, "active")
    # A mixture of experts that is not in the catalogue.
    return None if sizing.is_mixture(model) else Weights.of(billion, bits, "all")


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    return console


def _words(load: Load) -> list[str]:
    lines = [f"weights: {load.weights.words}"]
    if load.shape is None:
        lines.append("keys and values: not counted, as the model's shape is not known; give --layers, --kv-heads and --head-dim")
    else:
        lines.append(
            f"keys and values: {load.concurrency:,} x {load.context_tokens:,} tokens = {load.kv_gib:.1f} GiB: "
            f"{load.shape.words(load.kv_value_bytes)}"
        )
    lines.append(f"of each GPU {load.utilization:g} of its memory is used, 2 GiB of it as overhead")
    return lines


def _show(load: Load, found: list[Option], region: str | None, spot: bool, most: int | None) -> None:
    console = _console()
    console.print(f"{load.model}, {load.concurrency:,} at once with {load.context_tokens:,} tokens each")
    for line in _words(load):
        console.print(f"  {line}", soft_wrap=True)
    if not found:
        largest = max(catalogue().values(), key=lambda a: a.driver_memory_gib)
        console.print(
            f"\nIt fits no machine{f' of {region}' if region else ''} there; ask for a shorter --context, less --concurrency, "
            f"--kv-cache-dtype fp8 or quantised weights, or split it over several nodes. "
            f"The largest GPU is {largest.name} with {largest.driver_memory_gib:.0f} GiB.",
            soft_wrap=True,
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("Place", "Machine", "GPUs", "needs", "used, GiB of each"):
        table.add_column(head)
    for head in ("$/hour", "$/month", "tokens/s <=", "$/M tokens >="):
        table.add_column(head, justify="right")
    table.add_column("Price of")
    for o in found[:most]:
        price, million = o.price, o.usd_per_million_tokens
        used = o.memory.weights_gib + _kv_gib_each(load, o) + 2
        table.add_row(
            str(o.place),
            o.machine,
            f"{o.gpus} x {o.accelerator.name}",
            str(o.memory.gpus),
            f"{used:.1f} of {o.memory.usable_gib:.1f}",
            f"{price.usd_per_hour:,.2f}" if price else "unknown",
            f"{o.usd_per_month:,.0f}" if o.usd_per_month else "unknown",
            f"{o.tokens_per_second * o.copies:,.0f}" if o.tokens_per_second else "unknown",
            f"{million:,.2f}" if million else "unknown",
            " ".join(str(x) for x in ((price.region, price.date or "your own") if price else ()) if x),
        )
    console.print()
    console.print(table)
    left = len(found) - len(found[:most])
    console.print(
        f"\n{f'{left} more with --all. ' if left else ''}{'Spot' if spot else 'On-demand'} prices without tax, storage and "
        "traffic; 'unknown' is not free: --rates FILE tells yours.\n"
        "tokens/s <= is a bound: requests x memory bandwidth / (weights read + keys and values), over all the machine's GPUs; "
        "measure with `slipway bench-endpoint`.",
        soft_wrap=True,
    )


def _kv_gib_each(load: Load, o: Option) -> float:
    if load.shape is None:
        return 0.0
    return load.shape.kv_bytes_per_token(load.kv_value_bytes, tensor=o.memory.tensor) * load.tokens / sizing.GIB


def _told(load: Load, found: list[Option], region: str | None, spot: bool) -> dict[str, Any]:
    return {
        "model": load.model,
        "context": load.context_tokens,
        "concurrency": load.concurrency,
        "region": region,
        "spot": spot,
        "weightsGib": round(load.weights.gib, 3),
        "kvGib": None if load.kv_gib is None else round(load.kv_gib, 3),
        "arithmetic": _words(load),
        "options": [_row(load, o) for o in found],
    }


def _row(load: Load, o: Option) -> dict[str, Any]:
    def rounded(value: float | None, digits: int) -> float | None:
        return None if value is None else round(value, digits)

    return {
        "place": str(o.place),
        "machine": o.machine,
        "accelerator": o.accelerator.name,
        "acceleratorType": o.accelerator_type,
        "gpus": o.gpus,
        "gpusNeeded": o.memory.gpus,
        "copies": o.copies,
        "memory": {
            "usableGib": round(o.memory.usable_gib, 3),
            "weightsGib": round(o.memory.weights_gib, 3),
            "kvGib": None if load.shape is None else round(_kv_gib_each(load, o), 3),
            "overheadGib": 2.0,
            "tokensThatFit": o.memory.tokens,
        },
        "usdPerHour": rounded(o.price.usd_per_hour if o.price else None, 6),
        "usdPerMonth": rounded(o.usd_per_month, 2),
        "price": o.price
        and {"region": o.price.region, "date": o.price.date and o.price.date.isoformat(), "source": o.price.source},
        "tokensPerSecondAtMost": rounded(o.tokens_per_second * o.copies if o.tokens_per_second else None, 1),
        "tokensPerSecondOfOneRequestAtMost": rounded(o.tokens_per_second_stream, 1),
        "usdPerMillionTokensAtLeast": rounded(o.usd_per_million_tokens, 4),
    }
