"""Are answers lost while the router's replicas are replaced one after the other, under load? None may be.

    python -m bench.rolling [--replicas 2] [--streams 40] [--stream-seconds 20] [--lag 2] [--json]

What Kubernetes does is modelled thus. Each replica is one process. A new one starts and counts as an endpoint once it is healthy;
then an old one gets SIGTERM, which is when Kubernetes begins to take it out of the endpoints as well. Clients learn of a change
`--lag` seconds late: so long they still open connections to the replica that is going, and send more requests on those they keep.
The router answers new requests for five seconds after SIGTERM, lets streams finish, and ends. No preStop hook, no client that
retries. What is not modelled: the Service's own balancing, node failures, a drain that takes longer than the pod's grace period.

Every client sends streams and whole answers in turn. A request is lost unless all of it came, of a stream its `[DONE]` too.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import time
from dataclasses import asdict, dataclass

import httpx
import psutil
from bench.served import Router, body, is_whole, router, upstream
from rich.console import Console

CHUNKS_PER_SECOND = 4


@dataclass
class Outcome:
    """What the clients saw."""

    requests: int = 0
    streams: int = 0
    lost: int = 0
    replaced: int = 0
    """Replicas."""
    first_loss: str = ""
    drain_seconds: float = 0.0
    """How long the slowest replica took to end after SIGTERM."""


class Endpoints:
    """Replicas that clients know of; what they learn comes late."""

    def __init__(self, lag: float) -> None:
        self._lag = lag
        self._known: list[Router] = []
        self._next = 0

    def add(self, replica: Router) -> None:
        """One that is ready."""
        self._known.append(replica)

    async def remove(self, replica: Router) -> None:
        """One that is going, once clients have heard of it."""
        await asyncio.sleep(self._lag)
        self._known.remove(replica)

    def choose(self) -> Router:
        """The next in turn."""
        self._next += 1
        return self._known[self._next % len(self._known)]


async def client(endpoints: Endpoints, outcome: Outcome, over: asyncio.Event, first: int) -> None:
    """Send requests one after the other until told to stop."""
    async with httpx.AsyncClient(timeout=60) as session:
        number = first
        while not over.is_set():
            number += 1
            stream = bool(number % 4)
            said = ""
            try:
                async with session.stream(
                    "POST",
                    endpoints.choose().url,
                    content=body(stream=stream),
                    headers={"content-type": "application/json"},
                ) as answer:
                    got = b"".join([part async for part in answer.aiter_raw()])
                if answer.status_code != 200 or not is_whole(got, stream=stream):
                    said = f"{answer.status_code} {got[-200:]!r}"
            except httpx.HTTPError as error:
                said = f"{type(error).__name__} {error}"
            outcome.requests += 1
            outcome.streams += stream
            if said:
                outcome.lost += 1
                outcome.first_loss = outcome.first_loss or said


async def ended(pid: int, most: float) -> None:
    """Wait for a process to end.

    Raises:
        TimeoutError: it does not.
    """
    async with asyncio.timeout(most):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110 -- it tells nobody
            await asyncio.sleep(0.05)


async def roll(replicas: int, clients: int, stream_seconds: float, lag: float) -> Outcome:
    """Replace every replica once while clients go on."""
    outcome, endpoints, over = Outcome(), Endpoints(lag), asyncio.Event()
    chunks = max(2, round(stream_seconds * CHUNKS_PER_SECOND))
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(upstream(chunks, stream_seconds / chunks, 3600))

        async def started() -> Router:
            # Beside the loop: clients go on.
            return await asyncio.to_thread(stack.enter_context, router(port))

        old = [await started() for _ in range(replicas)]
        for replica in old:
            endpoints.add(replica)
        sending = [asyncio.create_task(client(endpoints, outcome, over, i)) for i in range(clients)]
        await asyncio.sleep(stream_seconds / 2)
        for replica in old:
            endpoints.add(await started())
            begun = time.monotonic()
            os.kill(replica.pid, signal.SIGTERM)
            await endpoints.remove(replica)
            await ended(replica.pid, stream_seconds + 30)
            outcome.drain_seconds = max(outcome.drain_seconds, time.monotonic() - begun)
            outcome.replaced += 1
        over.set()
        await asyncio.gather(*sending)
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.rolling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicas", type=int, default=2, help="replicas, each replaced once (default 2)")
    parser.add_argument("--streams", type=int, default=40, help="clients at once (default 40)")
    parser.add_argument("--stream-seconds", type=float, default=20, help="how long a stream takes (default 20)")
    parser.add_argument("--lag", type=float, default=2, help="seconds until clients know of a change (default 2)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    if not 1 <= asked.replicas <= 10 or not 1 <= asked.streams <= 2000:
        parser.error("give 1 to 10 replicas and 1 to 2000 clients")
    if not 0.5 <= asked.stream_seconds <= 50 or not 0 <= asked.lag < 5:
        parser.error("give streams of 0.5 to 50 s, and a lag below 5 s, for so long the router takes new requests")
    outcome = asyncio.run(roll(asked.replicas, asked.streams, asked.stream_seconds, asked.lag))
    if asked.json:
        print(json.dumps(asdict(outcome)))
    else:
        Console().print(
            f"{outcome.requests} requests, {outcome.streams} of them streams of {asked.stream_seconds:g} s, while"
            f" {outcome.replaced} replicas were replaced: {outcome.lost} lost; the slowest one ended"
            f" {outcome.drain_seconds:.1f} s after SIGTERM",
            highlight=False,
            soft_wrap=True,
        )
        if outcome.lost:
            Console().print(f"the first loss: {outcome.first_loss}", highlight=False, soft_wrap=True)
    raise SystemExit(1 if outcome.lost else 0)


if __name__ == "__main__":
    main()
