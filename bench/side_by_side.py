"""The frame of benchmarks that compare: proxies before one fake upstream, asked in turn, and what each costs beside the first.

Every proxy is a process of its own; rounds are interleaved, so that a noisy machine is noisy for all. They have a core to
themselves where there are two. CPU time is that of the whole process, the threads that log and send included, by the kernel's own
accounting: it is steadier than requests a second. Instructions in user space, where `perf` can count them, are steadier still.

Load and upstream are those of `bench/loadkit` where cargo can build them, since those in Python are hardly faster than what they
measure; else those.
"""

import argparse
import contextlib
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import uvloop
from bench.load import generate
from bench.peers.environments import MissingError, load_kit
from bench.processes import MESSAGES, PATH, cpu_seconds, free_port, process
from rich.console import Console
from rich.table import Table

from slipway_router.bench.percentile import percentile

Kind = Literal["requests", "streams", "chunks"]
"""What is counted: whole answers; streams; the events of streams."""
WARM_SECONDS = 0.3
PERF_SECONDS = 0.2
"""Until perf counts, and until what is told later is told."""


class Proxy(NamedTuple):
    """One of those that are compared."""

    name: str
    port: int
    pid: int
    key: str | None = None
    """What is sent to it as a bearer token."""


@dataclass
class Round:
    """One proxy under one kind of load."""

    proxy: str
    kind: str
    per_second: float
    """Of what is counted."""
    cpu_us: float
    """CPU time of the proxy for each of them, in microseconds."""
    p50_ms: float
    p99_ms: float
    failures: int
    instructions: float = 0.0
    """Of the proxy in user space, for each; 0 where nothing counts them."""


class Counted(NamedTuple):
    """What a load came to."""

    number: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failures: int


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


def kit() -> Path | None:
    """The folder of `bench/loadkit`'s programs. None where they cannot be had."""
    try:
        return load_kit()
    except MissingError:
        return None


@contextlib.contextmanager
def upstream(built: Path | None) -> Generator[str]:
    """The fake model server, whose streams have 64 events; its address."""
    if built is None:
        with process([sys.executable, "-m", "bench.upstream", "--seconds", "600"], None) as child:
            assert child.stdout is not None
            yield f"http://127.0.0.1:{child.stdout.readline().strip()}"
        return
    port = free_port()
    with process([str(built / "mock"), str(port)], None):
        time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"


def loaded(proxy: Proxy, kind: Kind, connections: int, seconds: float, built: Path | None) -> Counted:
    """Load one."""
    stream = kind != "requests"
    body = json.dumps({"model": "mock", "messages": MESSAGES, "stream": stream}).encode()
    if built is None:
        load = uvloop.run(generate(proxy.port, PATH, body, connections, seconds, proxy.key))
        count = load.chunks if kind == "chunks" else load.requests
        times = load.latencies or [0.0]
        return Counted(count, load.seconds, percentile(times, 0.5) * 1e3, percentile(times, 0.99) * 1e3, load.failures)
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        command = [str(built / "lg"), "--port", str(proxy.port), "--path", PATH, "--body", file.name, "--conc", str(connections)]
        command += ["--secs", str(seconds), "--warm", "0", *(["--stream"] if stream else [])]
        command += ["--header", f"authorization: Bearer {proxy.key}"] if proxy.key is not None else []
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60)
    told = json.loads(done.stdout)
    times = told["lat_ms"] or {"p50": 0.0, "p99": 0.0}
    return Counted(told["events"] if kind == "chunks" else told["ok"], seconds, times["p50"], times["p99"], told["fail"])


def measure(proxy: Proxy, kind: Kind, connections: int, seconds: float, built: Path | None, *, perf: bool) -> Round:
    """One round of one proxy."""
    with Instructions(proxy.pid if perf else None) as counter:
        before = cpu_seconds(proxy.pid)
        load = loaded(proxy, kind, connections, seconds, built)
        if perf:
            # What is told later costs too.
            time.sleep(PERF_SECONDS)
        spent = cpu_seconds(proxy.pid) - before
    each = max(1, load.number)
    figures = load.number / load.seconds, spent / each * 1e6, load.p50_ms, load.p99_ms, load.failures, counter.counted / each
    return Round(proxy.name, kind, *figures)


def compare(proxies: Sequence[Proxy], kinds: Sequence[Kind], asked: argparse.Namespace, built: Path | None) -> list[Round]:
    """Every round of every proxy, but for the first one, which warms them up.

    Args:
        proxies: Those there are; what the others cost is told beside the first.
        kinds: What is measured of each.
        asked: See `options`.
        built: See `kit`.
    """
    measured: list[Round] = []
    for number in range(asked.rounds + 1):
        for kind in kinds:
            for proxy in proxies:
                lasting = asked.seconds if number else WARM_SECONDS
                one = measure(proxy, kind, asked.connections, lasting, built, perf=bool(number))
                measured += [one] if number else []
    return measured


def table(measured: Sequence[Round]) -> Table:
    """Medians of the rounds, and the median ratio of each round to the first proxy's in the same one."""
    counted = all(r.instructions for r in measured)
    title = "Medians of the rounds; ratios are to the first"
    shown = Table(
        "", "per second", "ratio", "CPU us each", "ratio", "instructions each", "ratio", "p50 ms", "p99 ms", title=title
    )
    for kind in dict.fromkeys(r.kind for r in measured):
        names = list(dict.fromkeys(r.proxy for r in measured))
        rounds = {n: [asdict(r) for r in measured if (r.proxy, r.kind) == (n, kind)] for n in names}
        for name in names:
            cells: list[str] = []
            for field, digits in (("per_second", 0), ("cpu_us", 1), ("instructions", 0)):
                if field == "instructions" and not counted:
                    cells += ["-", "-"]
                    continue
                median = statistics.median(r[field] for r in rounds[name])
                pairs = zip(rounds[name], rounds[names[0]], strict=True)
                cells += [f"{median:,.{digits}f}", f"{statistics.median(r[field] / max(o[field], 1e-9) for r, o in pairs):.2f}"]
            cells += [f"{statistics.median(r[field] for r in rounds[name]):.1f}" for field in ("p50_ms", "p99_ms")]
            shown.add_row(f"{name}, {kind}", *cells, end_section=name == names[-1])
    return shown


def options(parser: argparse.ArgumentParser, *, rounds: int, seconds: float) -> None:
    """Those that all of them have.

    Args:
        parser: Of the command.
        rounds: How many there are, if nothing else is said.
        seconds: How long each takes, likewise.
    """
    parser.add_argument("--rounds", type=int, default=rounds, help=f"rounds of each kind (default {rounds})")
    parser.add_argument("--seconds", type=float, default=seconds, help=f"seconds a round (default {seconds:g})")
    parser.add_argument("--connections", type=int, default=32, help="connections at once (default 32)")
    parser.add_argument("--json", action="store_true", help="print every round as JSON instead of a table")


def main(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], Sequence[Round]]) -> None:
    """Measure and print.

    Args:
        parser: With `options`.
        run: What measures.

    Raises:
        SystemExit: 2, options that make no sense; 1, requests failed.
    """
    asked = parser.parse_args()
    if asked.rounds < 1 or asked.connections < 1 or asked.seconds < 0.2:
        parser.error("give at least 1 round, 1 connection and 0.2 seconds")
    measured = run(asked)
    if asked.json:
        print(json.dumps([asdict(r) for r in measured], indent=2))
    else:
        console = Console()
        Console(width=None if console.is_terminal else 150).print(table(measured))
    failed = sum(r.failures for r in measured)
    if failed:
        raise SystemExit(f"{failed} requests failed")
