"""Which machines can serve a model, what that costs, and how fast they can be at most."""

from dataclasses import dataclass

from slipway.accelerators import Accelerator, Place, catalogue
from slipway.gpu_memory import GpuMemory
from slipway.machines import Machine, machines, regions_of
from slipway.model_shapes import ModelShape
from slipway.prices import HOURS_PER_MONTH, OWN, Price, Rates
from slipway.sizing import Weights

OWN_COUNTS = (1, 2, 4, 8)
"""GPUs of one's own in one machine."""


@dataclass(frozen=True)
class Load:
    """A model, and what it is asked."""

    model: str
    weights: Weights
    active: Weights | None
    """What of the weights is read for each token: all, but of a mixture of experts; `None` where that is not known."""
    shape: ModelShape | None
    context_tokens: int
    concurrency: int
    kv_value_bytes: int
    utilization: float
    bfloat16: bool
    """Whether it must be computed in bfloat16."""

    @property
    def kv_gib(self) -> float | None:
        """Keys and values of every request at its full context, over all GPUs."""
        return None if self.shape is None else self.shape.kv_bytes_per_token(self.kv_value_bytes) * self.tokens / 2**30

    @property
    def tokens(self) -> int:
        """Tokens whose keys and values are kept at a time."""
        return self.context_tokens * self.concurrency


@dataclass(frozen=True)
class Option:
    """A machine on which a model fits."""

    place: Place | str
    machine: str
    accelerator: Accelerator
    gpus: int
    """That the machine carries."""
    memory: GpuMemory
    """Of the fewest GPUs of it that hold the model."""
    price: Price | None
    accelerator_type: str | None
    tokens_per_second: float | None
    """Of all requests together, at most; see `most_tokens_per_second`."""
    tokens_per_second_stream: float | None
    """Of one request alone, before its context grows, at most."""

    @property
    def copies(self) -> int:
        """Servers of this model that one machine can hold beside each other."""
        return self.gpus // self.memory.gpus

    @property
    def usd_per_month(self) -> float | None:
        """Of the whole machine, for 730 hours."""
        return None if self.price is None else self.price.usd_per_hour * HOURS_PER_MONTH

    @property
    def usd_per_million_tokens(self) -> float | None:
        """Of output, at least: the machine's price over the tokens of all its copies at the bound."""
        if self.price is None or not self.tokens_per_second:
            return None
        return self.price.usd_per_hour / (self.tokens_per_second * self.copies * 3600) * 1e6


def most_tokens_per_second(load: Load, bandwidth_gbs: float, requests: int, context_tokens: int) -> float | None:
    """What no server can exceed, as its memory is not faster: requests x bandwidth / (active weights + their keys and values).

    A step makes one token of every request, and reads the weights once and all their keys and values (Pope et al., "Efficiently
    Scaling Transformer Inference", 2022, section 2.1). Computing, exchange between GPUs and the reading of prompts come on top.

    Args:
        load: The model.
        bandwidth_gbs: Of all its GPUs together, in GB/s.
        requests: Under way at once.
        context_tokens: That each has.
    """
    if load.active is None:
        return None
    kept = load.shape.kv_bytes_per_token(load.kv_value_bytes) * context_tokens * requests if load.shape else 0
    return requests * bandwidth_gbs * 1e9 / (load.active.size_bytes + kept)


def fewest_gpus(load: Load, accelerator: Accelerator, most: int) -> GpuMemory | None:
    """The fewest GPUs of one machine that hold the model, or `None`."""
    if load.bfloat16 and not accelerator.supports_bfloat16:
        return None
    return next((m for n in range(1, most + 1) if (m := _memory(load, accelerator, n)) is not None), None)


def options(load: Load, rates: Rates, places: tuple[Place | str, ...], region: str | None, *, spot: bool) -> list[Option]:
    """Every machine that can serve the model, the cheapest first, and those without a known price last.

    Args:
        load: The model and what it is asked.
        rates: Where prices are looked up.
        places: Which places count; 'own' are GPUs of one's own.
        region: Only machines that are not known to lack there, at its prices; `None`: anywhere, at the lowest.
        spot: At spot prices.
    """
    found: list[Option] = []
    for place in places:
        if isinstance(place, Place):
            if region is None or region in regions_of(place):
                for machine in machines(place):
                    if region is None or machine.regions is None or region in machine.regions:
                        found += _on(load, machine, rates, region, spot)
        elif place == OWN:
            for name, usd in rates.own.gpus.items():
                for count in OWN_COUNTS:
                    memory = fewest_gpus(load, catalogue()[name], count)
                    # A machine with more GPUs than one server needs is no other choice where every GPU costs the same.
                    if memory and memory.gpus == count:
                        found.append(_option(load, memory, OWN, f"{name}:{count}", count, Price(usd * count, None, rates.source)))
    return sorted(found, key=lambda o: (o.price is None, o.price.usd_per_hour if o.price else 0, o.gpus, o.machine, str(o.place)))


def _on(load: Load, machine: Machine, rates: Rates, region: str | None, spot: bool) -> list[Option]:
    memory = fewest_gpus(load, machine.accelerator, max(machine.gpus))
    if memory is None:
        return []
    gpus = min(n for n in machine.gpus if n >= memory.gpus)
    # The list price of a machine that GPUs are added to is without them.
    price = rates.of(machine.place, machine.name, region, spot=spot) if len(machine.gpus) == 1 else None
    return [_option(load, memory, machine.place, machine.name, gpus, price, machine.accelerator_type)]


def _option(
    load: Load, memory: GpuMemory, place: Place | str, machine: str, gpus: int, price: Price | None, kind: str | None = None
) -> Option:
    bandwidth = memory.accelerator.memory_bandwidth_gbs * memory.gpus
    return Option(
        place=place,
        machine=machine,
        accelerator=memory.accelerator,
        gpus=gpus,
        memory=memory,
        price=price,
        accelerator_type=kind,
        tokens_per_second=most_tokens_per_second(load, bandwidth, load.concurrency, load.context_tokens),
        tokens_per_second_stream=most_tokens_per_second(load, bandwidth, 1, 0),
    )


def _memory(load: Load, accelerator: Accelerator, gpus: int) -> GpuMemory | None:
    """Memory of so many GPUs in tensor parallel, if the model can be split so and fits."""
    if load.shape and load.shape.split_fault(gpus):
        return None
    if load.shape is None and gpus & (gpus - 1):
        return None  # heads are nearly always a multiple of a power of two
    memory = GpuMemory(
        asked=f"{accelerator.name}:{gpus}",
        nodes=1,
        accelerator=accelerator,
        gpus=gpus,
        tensor=gpus,
        pipeline=1,
        utilization=load.utilization,
        weights=load.weights,
        shape=load.shape,
        kv_value_bytes=load.kv_value_bytes,
    )
    fits = memory.weights_fault() is None and memory.cache_fault(load.tokens) is None
    return memory if fits else None
