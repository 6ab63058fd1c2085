"""What keys, limits and budgets cost a request, and whether they are exact over a real Redis for minutes on end.

    python -m bench.tenants cost [--rounds 3] [--seconds 2] [--connections 32] [--json]
    python -m bench.tenants limits [--minutes 3] [--json]
    python -m bench.tenants budget [--requests 10000] [--json]

`cost`: the same load on routers that differ in their keys alone, in interleaved rounds: no keys; a key without limits; all of it
(requests, tokens, a budget) in the router's memory; all of it in Redis. CPU time is that of the router's process.

`limits`: two routers' processes, four clients, a limit of 100 a minute: how many pass, and the most in any 60 seconds, by the
times at which Redis admitted them: its append-only file has each to the microsecond. At the backend they may be closer, as the
way there takes longer or shorter.

`budget`: requests of known usage, every second one a stream, over two routers of which one is killed (-9) on the way and
started again; what Redis has booked beside what the backend's usage comes to by hand. A request that died with its router is
booked as reserved, which is what it would have come to.

Needs redis-server.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import uvloop
from bench.load import generate
from bench.router import MESSAGES, PATH, free_port, process, wait_healthy
from bench.served import upstream
from rich.console import Console
from rich.table import Table

from slipway_router.bench.percentile import percentile

KEY = "bench-" + "k" * 40
ALL: dict[str, Any] = {"requests_per_minute": 10**9, "tokens_per_minute": 10**9, "monthly_budget": 1_000_000}
KINDS: dict[str, dict[str, Any] | None] = {"no keys": None, "a key": {}, "all, in memory": ALL, "all, in Redis": ALL}
UNITS_PER_DOLLAR = 10**12


@dataclass
class Cost:
    """One router under one kind of load."""

    router: str
    kind: str
    per_second: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    failures: int


@contextlib.contextmanager
def redis_server() -> Generator[tuple[int, Path]]:
    """One with an append-only file, as budgets want it; its port and its folder."""
    if shutil.which("redis-server") is None:
        raise SystemExit("bench.tenants: no redis-server on PATH; apt-get install redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "redis-server",
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            folder,
            "--save",
            "",
            "--appendonly",
            "yes",
        ]
        with process(command, None):
            time.sleep(0.5)
            yield port, Path(folder)


@contextlib.contextmanager
def routers(settings: list[dict[str, Any]], core: int | None = None) -> Generator[list[tuple[int, int, list[str]]]]:
    """Port, process id and command of one for each of these."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made: list[tuple[int, int, list[str]]] = []
        for i, one in enumerate(settings):
            config, port = folder / f"{i}.json", free_port()
            config.write_text(json.dumps(one))
            command = [sys.executable, "-m", "slipway_router", "--config", str(config), "--port", str(port)]
            made.append((port, stack.enter_context(process(command, core)).pid, command))
        for port, _, _ in made:
            wait_healthy(port)
        yield made


def configuration(upstream_port: int, grant: dict[str, Any] | None, redis: int | None, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "backends": [
            {
                "name": "fake",
                "url": f"http://127.0.0.1:{upstream_port}/v1",
                "model": "mock",
                "self_hosted": True,
                "cost_per_1k_tokens": 0.5,
                "max_connections": 10_000,
            }
        ]
    }
    if grant is not None:
        made["keys"] = [{"name": "bench", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), **grant}]
    if redis is not None:
        made["redis"] = {"url": f"redis://127.0.0.1:{redis}/0", **more}
    return made


def cost(rounds: int, seconds: float, connections: int) -> list[Cost]:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    own, theirs = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    if theirs is not None:
        psutil.Process().cpu_affinity([theirs])
    measured: list[Cost] = []
    with upstream(64, 0.0, 600) as fake, redis_server() as (redis, _):
        # The load takes both cores, Redis' too: that is no Redis that hangs.
        told = [
            configuration(fake, g, redis, timeout_ms=1000) if n.endswith("Redis") else configuration(fake, g, None)
            for n, g in KINDS.items()
        ]
        with routers(told, own) as made:
            for number in range(rounds + 1):
                for stream in (False, True):
                    for name, (port, pid, _) in zip(KINDS, made, strict=True):
                        one = uvloop.run(_measured(name, port, pid, stream, connections, seconds if number else 0.5))
                        measured += [one] if number else []
    return measured


async def _measured(name: str, port: int, pid: int, stream: bool, connections: int, seconds: float) -> Cost:
    body = json.dumps({"model": "mock", "messages": MESSAGES, "stream": stream}).encode()
    before = sum(psutil.Process(pid).cpu_times()[:2])
    load = await generate(port, PATH, body, connections, seconds, key=KEY)
    spent = sum(psutil.Process(pid).cpu_times()[:2]) - before
    return Cost(
        name,
        "streams" if stream else "requests",
        load.requests / load.seconds,
        spent / max(load.requests, 1) * 1e6,
        percentile(load.latencies or [0.0], 0.5) * 1e3,
        percentile(load.latencies or [0.0], 0.99) * 1e3,
        load.failures,
    )


def table(measured: list[Cost]) -> Table:
    shown = Table("", "per second", "ratio", "CPU us each", "ratio", "p50 ms", "p99 ms", title="Medians of the rounds")
    for kind in ("requests", "streams"):
        base: dict[str, float] = {}
        for name in KINDS:
            mine = [asdict(r) for r in measured if (r.router, r.kind) == (name, kind)]
            m = {f: statistics.median(r[f] for r in mine) for f in ("per_second", "cpu_us", "p50_ms", "p99_ms")}
            base = base or m
            ratios = [f"{m[f] / base[f]:.2f}" for f in ("per_second", "cpu_us")]
            cells = [f"{m['per_second']:,.0f}", ratios[0], f"{m['cpu_us']:,.0f}", ratios[1], f"{m['p50_ms']:.1f}"]
            shown.add_row(f"{name}, {kind}", *cells, f"{m['p99_ms']:.1f}")
        shown.add_section()
    return shown


class _Backend(asyncio.Protocol):
    """Tells what came, and answers with a known usage."""

    came: list[float]
    usage = b'"usage":{"prompt_tokens":1,"completion_tokens":95,"total_tokens":96}'

    def __init__(self, came: list[float]) -> None:
        self.came = came
        self._got = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or b"0") if found else 0
        if not found or len(body) < length:
            return
        self._got = b""
        if head.startswith(b"GET"):
            listed = b'{"object":"list","data":[]}'
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 27\r\n\r\n" + listed)
            return
        self.came.append(time.monotonic())
        if b'"stream":true' in body or b'"stream": true' in body:
            events = [
                b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n',
                b'data: {"choices":[],' + self.usage + b"}\n\n",
            ]
            sent = b"".join(b"%x\r\n%b\r\n" % (len(e), e) for e in (*events, b"data: [DONE]\n\n")) + b"0\r\n\r\n"
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + sent
            )
        else:
            whole = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"a"}}],' + self.usage + b"}"
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(whole)
            self._transport.write(head + whole)


async def _client(port: int, until: float, count: list[int], passed: list[int], pause: float, most: int | None = None) -> None:
    body = {"model": "mock", "max_tokens": 95, "messages": [{"role": "user", "content": "hello"}]}
    async with httpx.AsyncClient(timeout=20, headers={"authorization": f"Bearer {KEY}"}) as client:
        while time.monotonic() < until and (most is None or count[0] < most):
            count[0] += 1
            with contextlib.suppress(httpx.TransportError):
                asked = {**body, "stream": count[0] % 2 == 0}
                answer = await client.post(f"http://127.0.0.1:{port}{PATH}", json=asked)
                passed[0] += answer.status_code == 200
            await asyncio.sleep(pause)


async def limits(minutes: float) -> dict[str, Any]:
    came: list[float] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Backend(came), "127.0.0.1", 0)
    count, passed = [0], [0]
    with redis_server() as (redis, folder):
        told = configuration(server.sockets[0].getsockname()[1], {"requests_per_minute": 100}, redis)
        started = await asyncio.to_thread(contextlib.ExitStack)
        with started:
            made = await asyncio.to_thread(started.enter_context, routers([told, told]))
            await asyncio.sleep(1)
            until = time.monotonic() + minutes * 60 - 5
            await asyncio.gather(*(_client(made[i % 2][0], until, count, passed, 0.05) for i in range(4)))
            await asyncio.to_thread(started.close)
        times = admissions(folder)
    server.close()
    most = max(sum(1 for at in times if begin <= at < begin + 60_000_000) for begin in times)
    each = [sum(1 for at in times if 0 <= at - times[0] - 60_000_000 * m < 60_000_000) for m in range(int(minutes))]
    figures = {"asked": count[0], "passed": passed[0], "reached_the_backend": len(came), "admitted": len(times)}
    return {**figures, "in_each_minute": each, "most_in_any_minute": most}


def admissions(folder: Path) -> list[int]:
    """When Redis admitted each request, in microseconds by its clock, as its append-only file has it."""
    pushed = re.compile(rb"RPUSH\r\n\$\d+\r\n\{slipway\}:r:bench\r\n\$\d+\r\n(\d+)", re.IGNORECASE)
    return sorted(int(at) for file in folder.rglob("*.aof") for at in pushed.findall(file.read_bytes()))


async def budget(requests: int) -> dict[str, Any]:
    came: list[float] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Backend(came), "127.0.0.1", 0)
    count, passed = [0], [0]
    with redis_server() as (redis, _):
        told = configuration(server.sockets[0].getsockname()[1], {"monthly_budget": 100_000}, redis, timeout_ms=1000)
        stack = contextlib.ExitStack()
        with stack:
            made = await asyncio.to_thread(stack.enter_context, routers([told, told]))
            await asyncio.sleep(1)
            until = time.monotonic() + 600
            work = [asyncio.create_task(_client(made[i % 2][0], until, count, passed, 0, requests)) for i in range(16)]
            while count[0] < requests // 2:  # noqa: ASYNC110 -- counted by whoever asks
                await asyncio.sleep(0.01)
            psutil.Process(made[1][1]).kill()
            await asyncio.sleep(0.2)
            again = await asyncio.to_thread(stack.enter_context, process(made[1][2], None))
            assert again.poll() is None
            await asyncio.gather(*work)
            await asyncio.sleep(33)  # what died counts as dead
            from redis import Redis

            asked: Any = Redis(port=redis)
            name = next(k for k in asked.keys("{slipway}:b:bench:*"))
            booked = {k.decode(): int(v) for k, v in asked.hgetall(name).items()}
            asked.close()
            await asyncio.to_thread(stack.close)
    server.close()
    by_hand = len(came) * 96 * UNITS_PER_DOLLAR // 2000
    return {
        "asked": count[0],
        "answered": passed[0],
        "reached_the_backend": len(came),
        "booked_dollars": booked["spent"] / UNITS_PER_DOLLAR,
        "by_hand_dollars": by_hand / UNITS_PER_DOLLAR,
        "difference_units": booked["spent"] - by_hand,
        "held_units": booked.get("held", 0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.tenants", description=__doc__)
    parser.add_argument("what", choices=("cost", "limits", "budget"))
    parser.add_argument("--rounds", type=int, default=3, help="cost: rounds of each kind (default 3)")
    parser.add_argument("--seconds", type=float, default=2, help="cost: seconds a round (default 2)")
    parser.add_argument("--connections", type=int, default=32, help="cost: connections at once (default 32)")
    parser.add_argument("--minutes", type=float, default=3, help="limits: how long (default 3)")
    parser.add_argument("--requests", type=int, default=10_000, help="budget: how many (default 10,000)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    asked = parser.parse_args()
    if asked.what == "cost":
        measured = cost(asked.rounds, asked.seconds, asked.connections)
        if asked.json:
            print(json.dumps([asdict(r) for r in measured], indent=2))
        else:
            Console().print(table(measured))
        if any(r.failures for r in measured):
            raise SystemExit(1)
        return
    told = asyncio.run(limits(asked.minutes) if asked.what == "limits" else budget(asked.requests))
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
