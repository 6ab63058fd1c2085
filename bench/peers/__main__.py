"""The router beside other gateways: one fake upstream, a core for the gateway and one for upstream and load, rounds interleaved.

    python -m bench.peers [--peers ours,sglang,litellm] [--rounds 3] [--secs 6] [--json FILE] [--picture FILE.svg]
    python -m bench.peers install [--peers ...]
    python -m bench.peers list

A round starts every gateway anew and gives it four loads: 50 requests a second, 64 connections that send one request after
another, 64 streams as fast as they go, 64 streams of 50 chunks a second. CPU time is the kernel's own count over all threads of
the gateway's processes, so that neighbours on the machine disturb it least. What is not installed is listed as skipped; `install`
makes an environment for each.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.peers.catalogue import PEERS
from bench.peers.environments import MissingError, cache, find, installed_mb, load_kit, make
from bench.peers.gateway import Gateway, running
from bench.peers.load import Upstream, load, upstream
from bench.peers.report import DIRECT, Medians, Round, as_json, medians, picture, table, title
from rich.console import Console

CONNECTIONS = 64
RATE = 50
CHUNK_SECONDS = 0.02


def measure(gateway: Gateway, behind: Upstream, core: int | None, seconds: float) -> tuple[Round, str]:
    """One gateway in one round, and the first thing that went wrong."""
    idle = gateway.memory_mib()
    warm = load(gateway, behind, core, 0.5, connections=4, warm=0.1)
    low = load(gateway, behind, core, seconds / 2, rate=RATE)
    full = load(gateway, behind, core, seconds / 4, connections=CONNECTIONS)
    bursts = load(gateway, behind, core, seconds / 4, stream=True, connections=CONNECTIONS)
    behind.behave(chunk_delay_us=int(CHUNK_SECONDS * 1e6))
    paced = load(gateway, behind, core, seconds / 4, stream=True, connections=CONNECTIONS, warm=1.0)
    behind.behave()
    every = (warm, low, full, bursts, paced)
    made = Round(
        full.per_second,
        full.cpu_us,
        paced.cpu_us,
        bursts.cpu_us,
        low.p50_ms,
        low.p99_ms,
        gateway.start_seconds,
        idle,
        gateway.memory_mib(),
        sum(e.failed for e in every),
    )
    return made, next((e.first_error for e in every if e.failed), "")


def run(names: Sequence[str], rounds: int, seconds: float, console: Console) -> tuple[dict[str, list[Round]], dict[str, str]]:
    """All rounds, and why some peers have none.

    Raises:
        MissingError: the load kit cannot be had.
    """
    cores = sorted(os.sched_getaffinity(0))
    own, others = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    load_kit()
    measured: dict[str, list[Round]] = {DIRECT: []}
    skipped: dict[str, str] = {}
    for name in names:
        try:
            (make if name == "ours" else find)(name)
            measured[name] = []
        except MissingError as why:
            skipped[name] = str(why)
    with upstream(others) as behind:
        for number in range(rounds):
            for name in [n for n in measured if n not in skipped]:
                try:
                    if name == DIRECT:
                        direct = Gateway(DIRECT, behind.ports[0], "/v1/chat/completions", "mock", ())
                        one, wrong = measure(direct, behind, others, min(seconds, 4))
                    else:
                        with running(name, *behind.ports, own) as gateway:
                            time.sleep(0.5)
                            one, wrong = measure(gateway, behind, others, seconds)
                except MissingError as why:
                    skipped[name] = str(why)
                    continue
                measured[name].append(one)
                console.print(
                    f"round {number + 1} {title(name)}: {one.requests_per_second:,.0f}/s, {one.cpu_us_per_request:.0f} us each,"
                    f" {one.cpu_us_per_chunk:.1f} and {one.cpu_us_per_chunk_in_bursts:.1f} us a chunk, p50 {one.p50_ms:.2f} ms"
                    + (f"; failed: {wrong}" if wrong else ""),
                    highlight=False,
                )
    return {n: r for n, r in measured.items() if r}, skipped


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="?", choices=("run", "install", "list"), default="run")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"some of {', '.join(PEERS)} (default all)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--secs", type=float, default=6, help="seconds of load in a round, half of them the first (default 6)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw it as SVG there")
    asked = parser.parse_args(arguments)
    names = list(dict.fromkeys(n.strip() for n in asked.peers.split(",") if n.strip()))
    unknown = [n for n in names if n not in PEERS]
    if unknown or not names:
        parser.error(f"--peers: {', '.join(map(repr, unknown)) or 'nothing'} is no peer; there are {', '.join(PEERS)}")
    if not 1 <= asked.rounds <= 100 or not 1 <= asked.secs <= 120:
        parser.error("give 1 to 100 rounds and 1 to 120 seconds")
    console = Console()
    if asked.command == "install":
        failed = _install(names, console)
        raise SystemExit(1 if failed else 0)
    if asked.command == "list":
        for name in names:
            try:
                console.print(f"{name}: {find(name)}", highlight=False, soft_wrap=True)
            except MissingError as why:
                console.print(f"{name}: {why}", highlight=False, soft_wrap=True)
        return
    try:
        rounds, skipped = run(names, asked.rounds, asked.secs, console)
    except MissingError as why:
        console.print(f"bench.peers: skipped: {why}", highlight=False, soft_wrap=True)
        return
    done: dict[str, Medians] = {n: medians(r, None if n == DIRECT else installed_mb(n)) for n, r in rounds.items()}
    heading = f"Medians of {asked.rounds} rounds of {asked.secs:g} s, {time.strftime('%Y-%m-%d')}, {_machine()}"
    Console(width=None if console.is_terminal else 160).print(table(done, heading))
    for name, why in skipped.items():
        console.print(f"skipped {title(name)}: {why}", highlight=False, soft_wrap=True)
    about = {"date": time.strftime("%Y-%m-%d"), "machine": _machine(), "rounds": asked.rounds, "seconds": asked.secs}
    if asked.json is not None:
        asked.json.write_text(json.dumps(as_json(rounds, done, skipped, about), indent=2) + "\n")
    if asked.picture is not None:
        asked.picture.write_text(picture(done, heading))
    if any(r.failures for r in rounds.get("ours", ())):
        raise SystemExit(1)


def _install(names: Sequence[str], console: Console) -> list[str]:
    failed: list[str] = []
    for name in names:
        try:
            console.print(f"{name}: {make(name)}", highlight=False, soft_wrap=True)
        except MissingError as why:
            failed.append(name)
            console.print(f"{name}: {why}", highlight=False, soft_wrap=True)
    try:
        console.print(f"load kit: {load_kit()}", highlight=False, soft_wrap=True)
    except MissingError as why:
        console.print(f"load kit: {why}", highlight=False, soft_wrap=True)
    console.print(f"all in {cache()}", highlight=False, soft_wrap=True)
    return failed


def _machine() -> str:
    """The processor's name, its cores and the Python."""
    named = [line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    return f"{named[0] if named else platform.machine()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}"


def _cpuinfo() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.exists() else []


if __name__ == "__main__":
    main()
