"""What a plan of many model servers costs: `python -m bench.plan_servers [SERVERS ...]`.

Every figure comes from a fresh process, the best of three: CPU time of the plan without the imports, and the most memory that the
process held beyond what the imports took. It fails where a thousand take more than 20 seconds, or where ten times as many cost
more than ten times as much.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import cast

from bench.plan import peak_mib
from rich.console import Console
from rich.table import Table

from slipway import GpuModelServer
from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs
from slipway.plan import plan_program

SIZES = (1, 10, 100, 1000)
MOST_SECONDS = 20.0
"""For the largest of these."""
MOST_GROWTH = 1.5
"""Cost of one of many, beside that of one of ten times fewer: above 1 only by chance, unless growth is worse than linear."""
SERVER: GpuModelServerArgs = {
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "namespace": "ai",
    "accelerator": "l4:1",
    "context_tokens": 8192,
    "replicas": 2,
}
REGISTRATIONS = 7
"""Of each: itself, two Services, account, policy, budget and StatefulSet."""

Figures = Mapping[str, float]


def measure(servers: int) -> Figures:
    """In this process: seconds and MiB of one plan."""
    # The SDK imports what it needs on the first registration.
    plan_program(lambda: _declare(1))
    before, start = peak_mib(), time.process_time()
    count = len(plan_program(lambda: _declare(servers)))
    if count != REGISTRATIONS * servers:
        raise SystemExit(f"the plan has {count} registrations, not {REGISTRATIONS * servers}")
    return {"seconds": time.process_time() - start, "mib": peak_mib() - before}


def growth(figures: Mapping[int, Figures]) -> list[float]:
    """Seconds of one server, each time beside those of one in the next smaller plan. One server alone is no measure."""
    each = [found["seconds"] / size for size, found in sorted(figures.items()) if size > 1]
    return [more / fewer for fewer, more in pairwise(each)]


def verdict(figures: Mapping[int, Figures]) -> str | None:
    """What is wrong with these figures, if anything."""
    worst = max(growth(figures), default=0)
    if worst > MOST_GROWTH:
        return f"a server costs {worst:.2f} times as much in a larger plan; at most {MOST_GROWTH} may be chance"
    slow = {size: f["seconds"] for size, f in figures.items() if f["seconds"] > MOST_SECONDS and size <= max(SIZES)}
    return f"more than {MOST_SECONDS:g} s of CPU: {slow}" if slow else None


def _declare(servers: int) -> None:
    for i in range(servers):
        GpuModelServer(f"llama-{i}", SERVER)


def _best(servers: int, times: int) -> Figures:
    runs: list[dict[str, float]] = []
    for _ in range(times):
        command = [sys.executable, "-m", "bench.plan_servers", "--measure", str(servers)]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout
        runs.append(cast("dict[str, float]", json.loads(said)))
    return {key: min(run[key] for run in runs) for key in runs[0]}


def main() -> None:
    """Measure and print, or be one measurement."""
    parser = argparse.ArgumentParser(prog="python -m bench.plan_servers", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("servers", nargs="*", type=int, default=list(SIZES), help="how many servers; default 1 10 100 1000")
    parser.add_argument("--times", type=int, default=3, help="runs of which the best counts; default 3")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.servers[0])))
        return
    table = Table("servers", "registrations", "CPU s", "ms each", "peak MiB", "MiB each")
    figures = {size: _best(size, args.times) for size in args.servers}
    for size, found in figures.items():
        seconds, mib = found["seconds"], found["mib"]
        cells = (f"{seconds:.2f}", f"{seconds / size * 1000:.1f}", f"{mib:.1f}", f"{mib / size:.2f}")
        table.add_row(f"{size}", f"{REGISTRATIONS * size}", *cells)
    Console(width=100).print(table)
    sys.exit(verdict(figures))


if __name__ == "__main__":
    main()
