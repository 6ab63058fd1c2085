"""The router beside a proxy written by hand: requests a second and CPU time per request and per streamed chunk.

    python -m bench.router [--rounds 3] [--seconds 2] [--connections 32] [--json]

A fake model server, the router and the hand-written proxy run as processes of their own; rounds are interleaved, so that a noisy
machine is noisy for both. The proxy under load has a core to itself where there are two. CPU time comes from the kernel's own
accounting and is steadier than requests a second.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil
import uvloop
from bench.load import generate
from rich.console import Console
from rich.table import Table

from slipway_router.bench.percentile import percentile

PATH = "/v1/chat/completions"
MESSAGES = [{"role": "system", "content": "You are helpful."}, {"role": "user", "content": "What is the capital of France? " * 4}]
LONGEST_SECONDS = 55
START_SECONDS = 60


@dataclass
class Round:
    """One proxy under one kind of load."""

    proxy: str
    kind: str
    per_second: float
    """Requests, or chunks where streams were asked for."""
    cpu_us: float
    """CPU time of the proxy for each of them, in microseconds."""
    p50_ms: float
    p99_ms: float
    failures: int


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@contextlib.contextmanager
def process(command: list[str], core: int | None, **environ: str) -> Generator["subprocess.Popen[str]"]:
    """A child that ends with this block, pinned to a core."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environ},
    )
    try:
        if core is not None:
            psutil.Process(child.pid).cpu_affinity([core])
        yield child
    finally:
        child.terminate()
        child.communicate()


def wait_healthy(port: int) -> None:
    """Raises SystemExit when nothing answers on /health in time."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                return
        time.sleep(0.05)
    raise SystemExit(f"bench.router: nothing healthy on port {port} within {START_SECONDS} s")


async def measure(proxy: str, port: int, pid: int, stream: bool, connections: int, seconds: float) -> Round:
    body = json.dumps({"model": "mock", "messages": MESSAGES, "stream": stream}).encode()
    before = sum(psutil.Process(pid).cpu_times()[:2])
    load = await generate(port, PATH, body, connections, seconds)
    spent = sum(psutil.Process(pid).cpu_times()[:2]) - before
    count = load.chunks if stream else load.requests
    return Round(
        proxy,
        "chunks" if stream else "requests",
        count / load.seconds,
        spent / max(count, 1) * 1e6,
        percentile(load.latencies or [0.0], 0.5) * 1e3,
        percentile(load.latencies or [0.0], 0.99) * 1e3,
        load.failures,
    )


def run(rounds: int, seconds: float, connections: int) -> list[Round]:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    own, theirs = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    if theirs is not None:
        psutil.Process().cpu_affinity([theirs])
    python = sys.executable
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        upstream = stack.enter_context(process([python, "-m", "bench.upstream"], theirs))
        assert upstream.stdout is not None
        url = f"http://127.0.0.1:{upstream.stdout.readline().strip()}"
        config = Path(folder) / "router.json"
        config.write_text(json.dumps({"backends": [{"name": "fake", "url": f"{url}/v1", "model": "mock", "self_hosted": True}]}))
        ports = {"router": free_port(), "FastAPI + httpx": free_port()}
        router = [python, "-m", "slipway_router", "--config", str(config), "--port", str(ports["router"])]
        naive = [python, "-m", "uvicorn", "bench.naive:app", "--port", str(ports["FastAPI + httpx"]), "--no-access-log"]
        pids = {
            "router": stack.enter_context(process(router, own)).pid,
            "FastAPI + httpx": stack.enter_context(process(naive, own, UPSTREAM=url)).pid,
        }
        for port in ports.values():
            wait_healthy(port)
        measured: list[Round] = []
        for number in range(rounds + 1):
            for stream in (False, True):
                for name, port in ports.items():
                    lasting = seconds if number else 0.3  # the first round warms up
                    one = uvloop.run(measure(name, port, pids[name], stream, connections, lasting))
                    measured += [one] if number else []
        return measured


def table(measured: list[Round]) -> Table:
    shown = Table("", "per second", "CPU us each", "p50 ms", "p99 ms", "failures", title="Medians of the rounds")
    for kind in ("requests", "chunks"):
        medians: dict[str, dict[str, float]] = {}
        for name in dict.fromkeys(r.proxy for r in measured):
            mine = [asdict(r) for r in measured if r.proxy == name and r.kind == kind]
            medians[name] = m = {f: statistics.median(r[f] for r in mine) for f in ("per_second", "cpu_us", "p50_ms", "p99_ms")}
            cells = [f"{m['per_second']:,.0f}", f"{m['cpu_us']:,.1f}", f"{m['p50_ms']:.1f}", f"{m['p99_ms']:.1f}"]
            shown.add_row(f"{name}, {kind}", *cells, str(sum(r["failures"] for r in mine)), end_section=False)
        ours, theirs = medians.values()
        ratio = [f"x {ours['per_second'] / theirs['per_second']:.1f}", f"/ {theirs['cpu_us'] / max(ours['cpu_us'], 0.01):.1f}"]
        shown.add_row(f"ratio, {kind}", *ratio, end_section=True)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.router", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each kind (default 3)")
    parser.add_argument("--seconds", type=float, default=2, help="seconds a round (default 2)")
    parser.add_argument("--connections", type=int, default=32, help="connections at once (default 32)")
    parser.add_argument("--json", action="store_true", help="print every round as JSON instead of a table")
    asked = parser.parse_args()
    if asked.rounds < 1 or asked.connections < 1 or asked.seconds < 0.2:
        parser.error("give at least 1 round, 1 connection and 0.2 seconds")
    if asked.rounds * asked.seconds * 4 > LONGEST_SECONDS - 10:
        parser.error(f"{asked.rounds} rounds of {asked.seconds:g} s, four loads each, take longer than {LONGEST_SECONDS} s")
    measured = run(asked.rounds, asked.seconds, asked.connections)
    if asked.json:
        print(json.dumps([asdict(r) for r in measured], indent=2))
    else:
        Console().print(table(measured))
    if any(r.failures for r in measured):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
