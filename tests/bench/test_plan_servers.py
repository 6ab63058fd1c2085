"""The bench of many model servers' plans: that it measures what it says, and in small, that growth is not worse than linear."""

import time

import pytest
from bench.plan_servers import MOST_GROWTH, SERVER, growth, measure, verdict

from slipway import GpuModelServer
from slipway.plan import plan_program


def test_it_counts_every_registration_and_the_memory_that_a_plan_holds() -> None:
    found = measure(3)
    assert found["seconds"] > 0
    assert found["mib"] >= 0


@pytest.mark.parametrize(
    ("seconds", "wrong"),
    [
        ({1: 0.5, 10: 0.2, 100: 2.0, 1000: 20.0}, None),
        ({10: 0.2, 100: 2.0, 1000: 21.0}, "more than 20 s"),
        ({10: 0.1, 100: 2.0}, "costs 2.00 times as much"),
        ({1000: 1.0, 100: 1.0, 10: 1.0}, None),
    ],
)
def test_its_verdict(seconds: dict[int, float], wrong: str | None) -> None:
    told = verdict({size: {"seconds": s, "mib": 1.0} for size, s in seconds.items()})
    assert (told is None) if wrong is None else (told is not None and wrong in told)


def test_a_plan_grows_no_worse_than_linearly() -> None:
    def cost(servers: int) -> float:
        def program() -> None:
            for i in range(servers):
                GpuModelServer(f"llama-{i}", SERVER)

        start = time.process_time()
        plan_program(program)
        return time.process_time() - start

    cost(2)
    # The better of two, alternating, since others use this machine too.
    runs = [(cost(6), cost(60)) for _ in range(2)]
    few, many = (min(run[i] for run in runs) for i in (0, 1))
    assert max(growth({6: {"seconds": few}, 60: {"seconds": many}})) < MOST_GROWTH
