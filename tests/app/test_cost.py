"""What the tokens of one's own hardware really cost, by a clock of the test's own and in the router."""

import json

import pytest
from tests.app.serving import CHAT, backend, serving, upstream

from slipway_router.cost import Prices, UnitCost


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_an_hour_of_gpus_over_the_tokens_that_came_out_of_it() -> None:
    clock = Clock()
    cost = UnitCost(4.0, clock)
    assert cost.per_1k is None
    cost.sample(1000, 2)
    assert cost.per_1k is None
    for minute in range(1, 31):
        clock.now = 50 + minute * 60
        cost.sample(1000 + minute * 10_000, 2)
    # Two replicas at $4 for half an hour, 300,000 tokens.
    assert cost.per_1k == pytest.approx(4.0 / 300)


def test_only_the_last_hour_counts_and_a_pool_at_zero_costs_nothing() -> None:
    clock = Clock()
    cost = UnitCost(4.0, clock)
    tokens = 0
    for minute in range(240):
        clock.now = minute * 60
        # Two hours without a token, one with, half an hour more at zero.
        tokens += 10_000 if 120 <= minute < 180 else 0
        cost.sample(tokens, 1 if minute < 210 else 0)
    # Of the last hour half was paid, and none of its tokens came in it.
    assert cost.per_1k is None
    cost = UnitCost(4.0, clock)
    for minute in range(180):
        clock.now = minute * 60
        cost.sample(10_000 * max(0, minute - 119), 1)
    assert cost.per_1k == pytest.approx(4.0 / 600, rel=0.02)


def test_nothing_is_told_of_less_than_a_minute_or_no_tokens() -> None:
    clock = Clock()
    cost = UnitCost(4.0, clock)
    cost.sample(0, 1)
    clock.now += 59
    cost.sample(1000, 1)
    assert cost.per_1k is None
    clock.now += 2
    cost.sample(1000, 1)
    assert cost.per_1k == pytest.approx(4.0 * 61 / 3600)


def test_a_price_for_a_mix_of_prompt_and_answer() -> None:
    prices = Prices(prompt=0.003, answer=0.015)
    assert (prices.per_1k(0), prices.per_1k(1), prices.per_1k()) == (0.003, 0.015, pytest.approx(0.006))


async def test_replicas_that_are_known_are_those_that_are_paid_for() -> None:
    async with upstream() as up:
        addresses = [f"127.0.0.1:{up.port}", f"localhost:{up.port}"]
        own = backend(up, replica_cost_per_hour=2, replicas={"addresses": addresses}, slots_per_replica=3)
        async with serving(own) as served:
            target = served.router.targets["one"]
            clock = Clock()
            target.status.unit_cost = UnitCost(2, clock)
            for endpoint in target.endpoints:
                endpoint.sample_cost()
            await served.chat()
            clock.now += 90
            for endpoint in target.endpoints:
                endpoint.sample_cost()
    assert (target.status.replicas_now, target.status.capacity) == (2, 6)
    assert target.status.unit_cost.per_1k == pytest.approx(2 * 2 * 90 / 3600 * 1000 / 96)


async def test_owned_and_rented_are_told_side_by_side() -> None:
    async with upstream() as up:
        own = backend(up, "own", replica_cost_per_hour=2.5, min_replicas=3, slots_per_replica=2)
        api = backend(up, "api", self_hosted=False, input_cost_per_1m_tokens=2.5, output_cost_per_1m_tokens=10)
        async with serving(own, api) as served:
            target = served.router.targets["own"]
            clock = Clock()
            target.status.unit_cost = UnitCost(2.5, clock)
            target.sample_cost()
            for _ in range(5):
                await served.chat(model="own")
            clock.now += 120
            target.sample_cost()
            metrics = (await served.client.get("/metrics")).text
            told = (await served.client.post("/v1/route", content=json.dumps({**CHAT, "max_tokens": 1}))).json()["order"]
    # 96 tokens each, as the fake reports; three replicas for two minutes.
    unit = 2.5 * 3 * 120 / 3600 * 1000 / (5 * 96)
    lines = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if "{" in line)
    assert float(lines['slipway_router_backend_unit_cost_per_1k_tokens{backend="own"}']) == pytest.approx(unit)
    assert float(lines['slipway_router_backend_cost_per_hour{backend="own"}']) == 7.5
    prices = [
        float(lines[f'slipway_router_backend_price_per_1k_tokens{{backend="api",kind="{k}"}}']) for k in ("prompt", "completion")
    ]
    assert prices == [0.0025, 0.01]
    assert 'price_per_1k_tokens{backend="own"' not in metrics
    by_name = {c["backend"]: c for c in told}
    assert by_name["own"]["unit_cost_per_1k_tokens"] == pytest.approx(unit)
    assert (by_name["own"]["cost_per_hour"], by_name["own"]["cost_per_1k_tokens"], by_name["own"]["full"]) == (7.5, 0, False)
    # One token of 'hello' and one that may be answered: half of either.
    assert by_name["api"]["cost_per_1k_tokens"] == pytest.approx(0.00625)
