"""What do logs and traces cost? The router with none, each and all of them, side by side: CPU time per request and per chunk.

    python -m bench.telemetry [--rounds 5] [--seconds 1] [--connections 32] [--json]

Every router is a process of its own and all are asked in turn, round by round, so that a noisy machine is noisy for all. CPU time
is the whole process's, the threads that write logs and send spans included; the last column is it beside the router without any.
Where `perf` can count instructions they are told too, and compared in place of CPU time: they hardly differ from run to run.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import uvloop
from bench.router import Round, free_port, measure, process, wait_healthy
from rich.console import Console
from rich.table import Table


@dataclass
class Cost(Round):
    """One router under one kind of load."""

    instructions: float = 0.0
    """Of the process, for each request or chunk; 0 where nothing counts them."""


class Instructions:
    """Counts those of a process, while this is entered."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._perf: subprocess.Popen[str] | None = None
        self.counted = 0.0

    def __enter__(self) -> "Instructions":
        if self._pid is not None and shutil.which("perf") is not None:
            command = ["perf", "stat", "-x,", "-e", "instructions:u", "-p", str(self._pid)]
            self._perf = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            time.sleep(PERF_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        if self._perf is not None:
            time.sleep(PERF_SECONDS)
            self._perf.send_signal(signal.SIGINT)
            said = self._perf.communicate()[1].partition(",")[0]
            self.counted = float(said) if said.isdigit() else 0.0


PERF_SECONDS = 0.25
"""Until perf counts, and until what is told later is told."""
LOGS: dict[str, Any] = {"format": "json", "requests": True}


def variants(collector: str) -> dict[str, dict[str, Any]]:
    """What each router is told of telemetry, by name."""

    def otel(sample: float, **more: Any) -> dict[str, Any]:
        return {"endpoint": collector, "sample": sample, **more}

    return {
        "off": {},
        "logs": {"logs": LOGS},
        "traces, 1 %": {"otel": otel(0.01, metrics=False)},
        "traces, 10 %": {"otel": otel(0.1, metrics=False)},
        "traces, all": {"otel": otel(1.0, metrics=False)},
        "OTLP metrics": {"otel": otel(0.0, traces=False)},
        "all, 1 %": {"logs": LOGS, "otel": otel(0.01)},
        "all, 10 %": {"logs": LOGS, "otel": otel(0.1)},
    }


def run(rounds: int, seconds: float, connections: int, only: Sequence[str] = ()) -> list[Cost]:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    own, theirs = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    if theirs is not None:
        psutil.Process().cpu_affinity([theirs])
    python = sys.executable
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        upstream = stack.enter_context(process([python, "-m", "bench.upstream"], theirs))
        collector = stack.enter_context(process([python, "-m", "bench.collector"], theirs))
        assert upstream.stdout is not None
        assert collector.stdout is not None
        url, to = (f"http://127.0.0.1:{p.stdout.readline().strip()}" for p in (upstream, collector) if p.stdout is not None)
        backends = [{"name": "fake", "url": f"{url}/v1", "model": "mock", "self_hosted": True}]
        ports: dict[str, int] = {}
        pids: dict[str, int] = {}
        for name, telemetry in variants(to).items():
            if only and name not in only:
                continue
            config = Path(folder) / f"{len(ports)}.json"
            config.write_text(json.dumps({"backends": backends, "telemetry": telemetry}))
            ports[name] = free_port()
            command = [python, "-m", "slipway_router", "--config", str(config), "--port", str(ports[name])]
            pids[name] = stack.enter_context(process(command, own)).pid
            wait_healthy(ports[name])
        measured: list[Cost] = []
        for number in range(rounds + 1):
            for stream in (False, True):
                for name, port in ports.items():
                    lasting = seconds if number else 0.3  # the first round warms up
                    with Instructions(pids[name] if number else None) as perf:
                        one = uvloop.run(measure(name, port, pids[name], stream, connections, lasting))
                    count = max(1.0, one.per_second * lasting)
                    measured += [Cost(**asdict(one), instructions=perf.counted / count)] if number else []
        return measured


def table(measured: list[Cost]) -> Table:
    counts = all(r.instructions for r in measured)
    by = "instructions" if counts else "cpu_us"
    shown = Table("", "per second", "CPU us each", "instructions each", "p99 ms", "beside off", title="Medians of the rounds")
    for kind in ("requests", "chunks"):
        names = list(dict.fromkeys(r.proxy for r in measured))
        off = [asdict(r)[by] for r in measured if r.proxy == names[0] and r.kind == kind]
        for name in names:
            mine = [asdict(r) for r in measured if r.proxy == name and r.kind == kind]
            m = {f: statistics.median(r[f] for r in mine) for f in ("per_second", "cpu_us", "instructions", "p99_ms")}
            ratio = statistics.median(r[by] / o for r, o in zip(mine, off, strict=True))
            told = f"{m['instructions']:,.0f}" if counts else "-"
            cells = [f"{m['per_second']:,.0f}", f"{m['cpu_us']:,.1f}", told, f"{m['p99_ms']:.1f}", f"x {ratio:.2f}"]
            shown.add_row(f"{name}, {kind}", *cells, end_section=name == names[-1])
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.telemetry", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each kind (default 5)")
    parser.add_argument("--seconds", type=float, default=1, help="seconds a round (default 1)")
    parser.add_argument("--connections", type=int, default=32, help="connections at once (default 32)")
    parser.add_argument("--only", action="append", choices=[*variants("")], help="one of the routers; several times")
    parser.add_argument("--json", action="store_true", help="print every round as JSON instead of a table")
    asked = parser.parse_args()
    if asked.rounds < 1 or asked.connections < 1 or asked.seconds < 0.2:
        parser.error("give at least 1 round, 1 connection and 0.2 seconds")
    measured = run(asked.rounds, asked.seconds, asked.connections, asked.only or ())
    if asked.json:
        print(json.dumps([asdict(r) for r in measured], indent=2))
    else:
        Console().print(table(measured))
    if any(r.failures for r in measured):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
