"""Whether limits and budgets are exact over a real Redis for minutes on end. What they cost tells `bench.overhead`.

    python -m bench.tenants limits [--minutes 3]
    python -m bench.tenants budget [--requests 10000] [--no-kill]

`limits`: two routers' processes, four clients, a limit of 100 a minute: how many pass, and the most in any 60 seconds, by the
times at which Redis admitted them: its append-only file has each to the microsecond. At the backend they may be closer, as the
way there takes longer or shorter.

`budget`: requests of known usage, every second one a stream, over two routers of which one is killed (-9) on the way and
started again; what Redis has booked beside what the backend's usage comes to by hand. A request that died with its router is
booked as reserved, which is what it would have come to.

A Redis that is late because this machine is busy counts as one that is there: it has a second to answer.

Needs redis-server.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import re
import time
from math import ceil
from pathlib import Path
from typing import Any

import httpx
import psutil
from bench.overhead import KEY, has_redis, redis_server, routers
from bench.processes import PATH, process

from bench import overhead

UNITS_PER_DOLLAR = 10**12
LIMIT = 100
"""Requests a minute."""


def configuration(upstream_port: int, grant: dict[str, Any], redis: int, **more: Any) -> dict[str, Any]:
    key = {"name": "bench", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), **grant}
    return overhead.configuration(
        f"http://127.0.0.1:{upstream_port}", {"keys": [key], "redis": {"url": f"redis://127.0.0.1:{redis}/0", **more}}
    )


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
        told = configuration(server.sockets[0].getsockname()[1], {"requests_per_minute": LIMIT}, redis, timeout_ms=1000)
        started = await asyncio.to_thread(contextlib.ExitStack)
        with started:
            made = list((await asyncio.to_thread(started.enter_context, routers({"one": told, "two": told}))).values())
            await asyncio.sleep(1)
            until = time.monotonic() + minutes * 60 - 5
            await asyncio.gather(*(_client(made[i % 2][0], until, count, passed, 0.05) for i in range(4)))
            await asyncio.to_thread(started.close)
        times = admissions(folder)
    server.close()
    most = max((sum(1 for at in times if begin <= at < begin + 60_000_000) for begin in times), default=0)
    each = [sum(1 for at in times if 0 <= at - times[0] - 60_000_000 * m < 60_000_000) for m in range(ceil(minutes))]
    figures = {"asked": count[0], "passed": passed[0], "reached_the_backend": len(came), "admitted": len(times)}
    return {**figures, "in_each_minute": each, "most_in_any_minute": most}


def admissions(folder: Path) -> list[int]:
    """When Redis admitted each request, in microseconds by its clock, as its append-only file has it."""
    pushed = re.compile(rb"RPUSH\r\n\$\d+\r\n\{slipway\}:r:bench\r\n((?:\$\d+\r\n\d+\r\n)+)", re.IGNORECASE)
    together = [values for file in folder.rglob("*.aof") for values in pushed.findall(file.read_bytes())]
    return sorted(int(at) for values in together for at in values.split(b"\r\n")[1::2])


async def budget(requests: int, *, kill: bool = True) -> dict[str, Any]:
    came: list[float] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Backend(came), "127.0.0.1", 0)
    count, passed = [0], [0]
    with redis_server() as (redis, _):
        told = configuration(server.sockets[0].getsockname()[1], {"monthly_budget": 100_000}, redis, timeout_ms=1000)
        stack = contextlib.ExitStack()
        with stack:
            made = list((await asyncio.to_thread(stack.enter_context, routers({"one": told, "two": told}))).values())
            await asyncio.sleep(1)
            until = time.monotonic() + 600
            work = [asyncio.create_task(_client(made[i % 2][0], until, count, passed, 0, requests)) for i in range(16)]
            while kill and count[0] < requests // 2:  # noqa: ASYNC110 -- counted by whoever asks
                await asyncio.sleep(0.01)
            if kill:
                psutil.Process(made[1][1]).kill()
                await asyncio.sleep(0.2)
                again = await asyncio.to_thread(stack.enter_context, process(made[1][2], None))
                assert again.poll() is None
            await asyncio.gather(*work)
            # What died counts as dead; what lives tells what it owes.
            await asyncio.sleep(33 if kill else 0.5)
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
    parser.add_argument("what", choices=("limits", "budget"))
    parser.add_argument("--minutes", type=float, default=3, help="limits: how long, 0.1 at least (default 3)")
    parser.add_argument("--requests", type=int, default=10_000, help="budget: how many (default 10,000)")
    parser.add_argument("--no-kill", action="store_true", help="budget: both routers live on, and nothing is waited for")
    asked = parser.parse_args()
    if asked.minutes < 0.1 or asked.requests < 2:
        parser.error("give at least 0.1 minutes and 2 requests")
    if not has_redis():
        raise SystemExit("no redis-server on PATH; apt-get install redis-server")
    told = asyncio.run(limits(asked.minutes) if asked.what == "limits" else budget(asked.requests, kill=not asked.no_kill))
    print(json.dumps(told, indent=2))
    if told.get("most_in_any_minute", 0) > LIMIT or told.get("difference_units"):
        raise SystemExit("not exact")


if __name__ == "__main__":
    main()
