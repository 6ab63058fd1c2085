"""What fits where, what it costs and how fast it can be: by hand in the comments."""

from pathlib import Path
from typing import Any

import pytest

from slipway.accelerators import Place, catalogue
from slipway.model_shapes import find
from slipway.prices import Rates
from slipway.serving_options import Load, fewest_gpus, most_tokens_per_second, options
from slipway.sizing import Weights


def load(model: str = "llama-3.1-8b", billion: float = 8.03, **more: Any) -> Load:
    given: dict[str, Any] = {
        "model": model,
        "weights": Weights.of(billion, 16, "16 bits"),
        "active": Weights.of(billion, 16, "16 bits"),
        "shape": find(model),
        "context_tokens": 8192,
        "concurrency": 1,
        "kv_value_bytes": 2,
        "utilization": 0.9,
        "bfloat16": False,
        **more,
    }
    return Load(**given)


@pytest.mark.parametrize(
    ("accelerator", "requests", "gpus"),
    [
        # 15.0 weights + 1 GiB of cache + 2 = 18.0; an L4 has 22.5 x 0.9 = 20.2.
        ("l4", 1, 1),
        # 15.0 + 4 + 2 = 21: two, which share the cache's heads.
        ("l4", 4, 2),
        # A T4 has 15 x 0.9 = 13.5: 7.5 + 0.5 + 2 = 10.
        ("t4", 1, 2),
        # 15.0 + 128 + 2 = 145 of 126.
        ("h200-141gb", 128, 2),
        # 8 ranks, one for each head of the cache, each with 2,048 GiB / 8.
        ("b200", 2048, None),
    ],
)
def test_the_fewest_gpus_that_hold_a_model(accelerator: str, requests: int, gpus: int | None) -> None:
    memory = fewest_gpus(load(concurrency=requests), catalogue()[accelerator], 8)
    assert (memory and memory.gpus) == gpus


def test_heads_must_be_shared_equally() -> None:
    # 70.554 x 2 bytes = 131.4 GiB on H100s of 71.7: 2 x 65.7 + 2 leave room, and 3 would not divide 64 heads.
    memory = fewest_gpus(load("llama-3.3-70b", 70.554, context_tokens=65536), catalogue()["h100-80gb"], 8)
    assert memory is not None
    assert memory.gpus == 4
    # Of a model whose shape is not known, powers of two are taken.
    strange = fewest_gpus(load("strange", 70.554, shape=None), catalogue()["l40s"], 8)
    assert strange is not None
    assert strange.gpus == 4


def test_bfloat16_needs_a_gpu_that_has_it() -> None:
    assert fewest_gpus(load(bfloat16=True), catalogue()["t4"], 8) is None


def test_the_bound_is_bandwidth_over_what_a_step_reads() -> None:
    # 16.06e9 bytes of weights at 300e9 bytes a second are 18.68 steps.
    assert most_tokens_per_second(load(), 300, 1, 0) == pytest.approx(18.68, abs=0.01)
    # With 8,192 tokens x 131,072 bytes = 1.074e9 for each of 4: 4 x 300 / (16.06 + 4.295).
    assert most_tokens_per_second(load(), 300, 4, 8192) == pytest.approx(58.95, abs=0.01)
    # A mixture reads the experts that it asks, not all.
    mixture = load("mixtral-8x7b", 46.703, active=Weights.of(12.879, 16, "active"))
    assert most_tokens_per_second(mixture, 3350, 1, 0) == pytest.approx(130.06, abs=0.01)
    assert most_tokens_per_second(load(active=None), 300, 1, 0) is None


def test_the_cheapest_comes_first_and_the_unknown_last() -> None:
    found = options(load(), Rates(), tuple(Place), None, spot=False)
    known = [o.price.usd_per_hour for o in found if o.price]
    assert known == sorted(known)
    assert [o.price is None for o in found] == sorted(o.price is None for o in found)
    assert (found[0].place, found[0].machine) == (Place.GCE, "g2-standard-4")
    assert {str(o.place) for o in found} == {p.value for p in Place}
    # 0.704518 an hour in us-east4 x 730.
    assert found[0].usd_per_month == pytest.approx(514.30, abs=0.01)


def test_a_machine_with_more_gpus_than_needed_holds_copies() -> None:
    (p5,) = [o for o in options(load(), Rates(), (Place.EC2,), None, spot=False) if o.machine == "p5.48xlarge"]
    assert (p5.gpus, p5.memory.gpus, p5.copies) == (8, 1, 8)
    # 55.04 / (8 copies x 3350 / (16.06 + 1.074) tokens/s x 3600) x 1e6
    assert p5.usd_per_million_tokens == pytest.approx(9.775, abs=0.001)


def test_a_region_has_its_own_prices_and_only_its_machines() -> None:
    tokyo = options(load(), Rates(), tuple(Place), "asia-northeast1", spot=False)
    assert {o.place for o in tokyo} == {Place.GCE, Place.VERTEX}
    assert all(o.price.region == "asia-northeast1" for o in tokyo if o.price)
    assert not [o for o in options(load(), Rates(), (Place.EC2,), "af-south-1", spot=False) if o.machine == "p5.48xlarge"]


def test_a_machine_that_gpus_are_added_to_takes_as_few_as_will_do_and_has_no_price_of_its_own() -> None:
    found = [o for o in options(load(), Rates(), (Place.VERTEX,), None, spot=False) if o.machine == "n1-standard-4"]
    assert {(o.accelerator_type, o.gpus) for o in found} == {("NVIDIA_TESLA_T4", 2), ("NVIDIA_TESLA_V100", 2)}
    assert all(o.price is None for o in found)


def test_ones_own_gpus_are_a_place(tmp_path: Path) -> None:
    file = tmp_path / "rates.yaml"
    file.write_text("gpus: {a10: 0.35, l40s: 0.8}\n")
    found = options(load(concurrency=4), Rates.read(file), ("own",), None, spot=False)
    assert [(o.machine, o.price.usd_per_hour if o.price else None) for o in found] == [("a10:2", 0.7), ("l40s:1", 0.8)]
