"""Does a client notice that a backend is broken? Two backends, the preferred one of them at fault in every way there is.

    python -m bench.faults [--requests 1000 | --full] [--beside litellm-fallback,litellm-pool] [--connections 32] [--json]

Every other connection asks for streams. A request has failed unless it ends with 200 and the healthy backend's whole answer, of a
stream its last event included. For each fault the router starts anew. `--full` sends 20,000 requests for each.

Where a stream is cut after its first token, no router could hide it: there, each stream must end with an error event and without
`[DONE]`, or be whole.

`--beside` puts LiteLLM beside it, as its guide configures fail-over: `litellm-fallback` with the broken backend first and the
well one as its fallback, `litellm-pool` with both in one pool. It has the same deadlines for the broken backend, and a twentieth
of the requests, being so much slower. `python -m bench.peers install --peers litellm` installs it.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import cast

import httptools
import httpx
import uvloop
from bench.faulty import MODES
from bench.peers.catalogue import FAIL_OVER
from bench.peers.environments import MissingError
from bench.peers.gateway import running
from bench.processes import MESSAGES, PATH, free_port, process, wait_healthy
from rich.console import Console
from rich.table import Table

from slipway_router.bench.percentile import percentile

FULL = 20_000
CUT = "cut after a token"
FAULTS = ("none", "refuse", *MODES)
TIMEOUTS = {"connect": 0.5, "first_byte": 0.5, "between_chunks": 0.5, "total": 1.5}
"""Of the broken backend. Half a second is what the slowest of its failures costs a client."""
OURS = "router"
FEWER = 20
"""Times fewer requests go to LiteLLM."""
CLIENT_SECONDS = 20.0
"""After which a request that has no answer has failed."""


@dataclass
class Outcome:
    """What clients saw of one fault."""

    fault: str
    gateway: str = OURS
    requests: int = 0
    failed: int = 0
    told: int = 0
    """Streams that ended with an error event."""
    stopped: int = 0
    """Streams that were cut and ended as if they were whole."""
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list[float])
    attempts: int = 0
    """Requests that reached the broken backend."""


class _Client(asyncio.Protocol):
    """One connection: sends a request, judges the answer, sends the next, until there are no more to send or it is closed."""

    def __init__(self, outcome: Outcome, left: Iterator[int], message: bytes, stream: bool) -> None:
        self._outcome = outcome
        self._left = left
        self._message = message
        self._stream = stream
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._body: list[bytes] = []
        self._sent = 0.0
        self._waiting = False
        self._late: asyncio.TimerHandle | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.more = True
        """Whether there may be more to send."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio gives it
        self._no_longer_late()
        if self._waiting:
            self._outcome.requests += 1
            self._outcome.failed += 1
        if not self.over.done():
            self.over.set_result(None)

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        self._waiting = False
        self._no_longer_late()
        outcome, body = self._outcome, b"".join(self._body)
        self._body.clear()
        outcome.requests += 1
        outcome.latencies.append(perf_counter() - self._sent)
        if not whole(self._parser.get_status_code(), body, self._stream):
            if outcome.fault == CUT and self._stream and told(body):
                outcome.told += 1
            else:
                outcome.failed += 1
                outcome.stopped += self._stream and b"[DONE]" in body and b'"error"' not in body
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        if next(self._left, None) is None:
            self.more = False
            self._transport.close()
            return
        self._waiting = True
        self._sent = perf_counter()
        self._late = asyncio.get_running_loop().call_later(CLIENT_SECONDS, self._transport.abort)
        self._transport.write(self._message)

    def _no_longer_late(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def whole(status: int, body: bytes, stream: bool) -> bool:
    """Whether this is the healthy backend's whole answer."""
    if status != 200:
        return False
    if not stream:
        return b'"usage"' in body and body.endswith(b"}")
    return body.endswith(b"data: [DONE]\n\n") and body.count(b'" token"') == 64 and b'"error"' not in body


def told(body: bytes) -> bool:
    """Whether a stream says itself that it broke off."""
    last = body.removesuffix(b"\n\n").rpartition(b"\n\n")[2]
    return b"[DONE]" not in body and last.startswith(b"data: {") and "error" in json.loads(last.removeprefix(b"data: "))


async def generate(
    port: int, fault: str, requests: int, connections: int, *, gateway: str = OURS, headers: Sequence[str] = (), slow: float = 1
) -> Outcome:
    """Send so many requests over so many connections; one that is closed is opened again.

    Args:
        port: Where to.
        fault: Of the preferred backend.
        requests: How many.
        connections: At once.
        gateway: Who listens there.
        headers: More lines of the requests' heads.
        slow: How many times longer than the router it may take.

    Raises:
        OSError: nobody listens there.
        TimeoutError: some answer does not come.
    """
    outcome, left = Outcome(fault, gateway), iter(range(requests))
    loop = asyncio.get_running_loop()
    lines = "".join(f"{h}\r\n" for h in ("host: 127.0.0.1", "content-type: application/json", *headers))

    async def send(stream: bool) -> None:
        body = json.dumps({"model": "mock", "messages": MESSAGES, "stream": stream}).encode()
        message = f"POST {PATH} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body
        more = True
        while more:
            client = _Client(outcome, left, message, stream)
            await loop.create_connection(lambda client=client: client, "127.0.0.1", port)
            await client.over
            more = client.more

    begun = perf_counter()
    async with asyncio.timeout((requests / 200 + CLIENT_SECONDS) * slow):
        await asyncio.gather(*(send(bool(i % 2)) for i in range(connections)))
    outcome.seconds = perf_counter() - begun
    return outcome


@contextlib.contextmanager
def backends(fault: str) -> Generator[tuple[int, int]]:
    """Ports of the broken backend and of the well one."""
    with contextlib.ExitStack() as stack:

        def started(*module: str) -> int:
            child = stack.enter_context(process([sys.executable, "-m", *module], None))
            assert child.stdout is not None
            return int(child.stdout.readline())

        well = started("bench.upstream", "--seconds", "600")
        if fault in MODES:
            yield started("bench.faulty", fault, "--seconds", "600"), well
        else:
            yield free_port() if fault == "refuse" else well, well


def run(fault: str, requests: int, connections: int) -> Outcome:
    """One fault, with a router of its own."""
    with backends(fault) as (broken, well), tempfile.TemporaryDirectory() as folder:
        told = [
            {"name": name, "url": f"http://127.0.0.1:{port}/v1", "model": "mock", "self_hosted": True, **more}
            for name, port, more in (("broken", broken, {"timeouts": TIMEOUTS}), ("well", well, {}))
        ]
        policy = {"cheap": "broken", "self_hosted": "broken", "preferences": ["broken", "well"]}
        config = Path(folder) / "router.json"
        config.write_text(json.dumps({"backends": told, "policy": policy}))
        port = free_port()
        with process([sys.executable, "-m", "slipway_router", "--config", str(config), "--port", str(port)], None):
            wait_healthy(port)
            outcome = uvloop.run(generate(port, fault, requests, connections))
            metrics = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        found = next(
            (line for line in metrics.splitlines() if line.startswith('slipway_router_attempts_total{backend="broken"}')), "0"
        )
        outcome.attempts = int(float(found.split()[-1]))
        return outcome


def run_beside(name: str, fault: str, requests: int, connections: int) -> Outcome:
    """The same with LiteLLM, in one of the ways of `FAIL_OVER`.

    Raises:
        MissingError: it is not installed, or does not start.
    """
    with backends(fault) as (broken, well), running("litellm", broken, well, None, FAIL_OVER[name]) as gateway:
        return uvloop.run(generate(gateway.port, fault, requests, connections, gateway=name, headers=gateway.headers, slow=20))


def table(outcomes: list[Outcome]) -> Table:
    """A row for each fault and gateway."""
    shown = Table(
        "fault",
        "",
        "requests",
        "failed",
        "%",
        "told",
        "as if whole",
        "reached it",
        "p50 ms",
        "p99 ms",
        "slowest ms",
        "per second",
    )
    for o in outcomes:
        times = [f"{percentile(o.latencies or [0.0], share) * 1e3:,.1f}" for share in (0.5, 0.99, 1)]
        share = f"{100 * o.failed / max(o.requests, 1):.1f}"
        reached = f"{o.attempts:,}" if o.gateway == OURS else "-"
        counts = [f"{o.requests:,}", str(o.failed), share, str(o.told), str(o.stopped), reached]
        shown.add_row(o.fault, o.gateway, *counts, *times, f"{o.requests / o.seconds:,.0f}")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=1000, help="requests for each fault (default 1000)")
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} requests for each fault")
    parser.add_argument("--connections", type=int, default=32, help="connections at once (default 32)")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="only this one; may be repeated")
    parser.add_argument("--beside", default="", metavar="NAMES", help=f"some of {', '.join(FAIL_OVER)}")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    asked = parser.parse_args()
    if asked.requests < 1 or not 2 <= asked.connections <= 1000:
        parser.error("give at least 1 request, and 2 to 1000 connections")
    beside = [n for n in asked.beside.split(",") if n]
    if unknown := [n for n in beside if n not in FAIL_OVER]:
        parser.error(f"--beside: {unknown[0]!r} is none of {', '.join(FAIL_OVER)}")
    requests = FULL if asked.full else asked.requests
    faults: Sequence[str] = asked.fault or FAULTS
    outcomes = [run(fault, requests, asked.connections) for fault in faults]
    others: list[Outcome] = []
    for name in beside:
        try:
            few = max(requests // FEWER, 50)
            others += [run_beside(name, fault, few, min(asked.connections, 16)) for fault in faults]
        except MissingError as why:
            Console(stderr=True).print(f"bench.faults: {name} is skipped: {why}", highlight=False, soft_wrap=True)
    if asked.json:
        print(json.dumps([{k: v for k, v in asdict(o).items() if k != "latencies"} for o in outcomes + others], indent=2))
    else:
        console = Console()
        Console(width=None if console.is_terminal else 150).print(
            table(sorted(outcomes + others, key=lambda o: faults.index(o.fault)))
        )
    if any(o.failed or o.requests != requests for o in outcomes):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
