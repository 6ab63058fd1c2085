"""Are answers lost while the configuration changes again and again, under load? None may be, whatever half of the changes say.

    python -m bench.reloads [--reloads 1000] [--clients 16] [--json]

A router serves streams and whole answers while its file is written anew and it gets SIGHUP, so many times, each once the last was
taken or refused. Every other configuration is broken, in four places; all four must be told, by their paths, and the one before
must go on. Those that are right change what serves: the backend that all requests go to gets other deadlines, so that it begins
anew while streams are under way at the one before, and another backend comes and goes.

Every client sends streams and whole answers in turn. A request is lost unless all of it came, of a stream its `[DONE]` too.
"""

import argparse
import asyncio
import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.processes import free_port, wait_healthy
from bench.served import Router, upstream
from rich.console import Console

from bench import rolling

ANSWER_SECONDS = 30.0
"""How long the router has to take a configuration, or refuse it."""
FAULTS = ("backends[0].url", "backends[1].quality", "backends[1].name", "retries.rounds")
"""Where a broken configuration is wrong."""


@dataclass
class Outcome:
    """What was seen."""

    taken: int = 0
    refused: int = 0
    wrong: int = 0
    """Right ones that were refused, broken ones that were taken, and faults that were not told."""
    requests: int = 0
    streams: int = 0
    lost: int = 0
    first_loss: str = ""
    seconds: float = 0.0


def configuration(port: int, number: int, *, broken: bool) -> dict[str, Any]:
    """The so many-th."""
    url = f"http://127.0.0.1:{port}/v1"
    fake: dict[str, Any] = {"name": "fake", "url": url, "model": "mock", "self_hosted": True, "max_connections": 10_000}
    fake["timeouts"] = {"total": 600 + number}
    other: dict[str, Any] = {"name": f"other-{number}", "url": url, "model": f"m-{number}", "quality": "low"}
    if not broken:
        return {"backends": [fake, other], "max_body_mib": 1 + number % 64}
    bad = {**other, "name": f"Bad {number}", "quality": "best"}
    return {"backends": [{**fake, "url": "nowhere"}, bad], "retries": {"rounds": -1}}


class Process:
    """A router whose log is read."""

    def __init__(self, child: "subprocess.Popen[str]", config: Path, port: int) -> None:
        self.config = config
        self.at = Router(port, child.pid)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        assert child.stderr is not None
        self._child = child
        self._reader = threading.Thread(target=self._read, args=(child.stderr,), daemon=True)
        self._reader.start()

    def change(self, told: dict[str, Any], number: int) -> str:
        """Write another configuration and have it read; what the log says of it.

        Raises:
            TimeoutError: it says nothing.
        """
        written = self.config.with_suffix(".new")
        written.write_text(json.dumps(told))
        written.replace(self.config)
        os.kill(self.at.pid, signal.SIGHUP)
        until = time.monotonic() + ANSWER_SECONDS
        said = ""
        while time.monotonic() < until:
            with contextlib.suppress(queue.Empty):
                said += self._lines.get(timeout=0.5)
            # The faults of one configuration are several lines; the last is known by what follows, or by all of them.
            if re.search(rf"reloaded .*\bother-{number}\b", said) or (
                f"Bad {number}" in said and said.count("\n  ") >= len(FAULTS)
            ):
                return said
        raise TimeoutError(f"the router says nothing of configuration {number}: {said[-500:]}")

    def end(self) -> None:
        """Have it end, at once."""
        self._child.kill()
        self._child.wait()
        self._reader.join()
        assert self._child.stderr is not None
        self._child.stderr.close()

    def _read(self, lines: Any) -> None:
        for line in lines:
            self._lines.put(line)


@contextlib.contextmanager
def process(upstream_port: int) -> Generator[Process]:
    """A router before that server, healthy."""
    with tempfile.TemporaryDirectory() as folder:
        config, port = Path(folder) / "router.json", free_port()
        config.write_text(json.dumps(configuration(upstream_port, 0, broken=False)))
        command = [sys.executable, "-m", "slipway_router", "--config", str(config), "--port", str(port)]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        made = Process(child, config, port)
        try:
            wait_healthy(port)
            yield made
        finally:
            made.end()


async def reload(reloads: int, clients: int) -> Outcome:
    """Change the configuration so many times while clients go on."""
    outcome, over = Outcome(), asyncio.Event()
    endpoints, seen = rolling.Endpoints(0), rolling.Outcome()
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(upstream(8, 0.02, 3600))
        served = await asyncio.to_thread(stack.enter_context, process(port))
        endpoints.add(served.at)
        sending = [asyncio.create_task(rolling.client(endpoints, seen, over, i)) for i in range(clients)]
        for number in range(1, reloads + 1):
            broken = number % 2 == 0
            said = await asyncio.to_thread(served.change, configuration(port, number, broken=broken), number)
            refused = "stays as it was" in said
            outcome.refused += refused
            outcome.taken += not refused
            outcome.wrong += refused != broken or (broken and not all(f"\n  {path}: " in said for path in FAULTS))
        over.set()
        await asyncio.gather(*sending)
    outcome.requests, outcome.streams, outcome.lost, outcome.first_loss = seen.requests, seen.streams, seen.lost, seen.first_loss
    outcome.seconds = round(time.monotonic() - begun, 1)
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.reloads", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reloads", type=int, default=1000, help="configurations, every other one broken (default 1000)")
    parser.add_argument("--clients", type=int, default=16, help="clients at once (default 16)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    if not 2 <= asked.reloads <= 10_000 or not 1 <= asked.clients <= 500:
        parser.error("give 2 to 10000 reloads and 1 to 500 clients")
    outcome = asyncio.run(reload(asked.reloads, asked.clients))
    if asked.json:
        print(json.dumps(asdict(outcome)))
    else:
        Console().print(
            f"{outcome.taken} configurations taken, {outcome.refused} refused, {outcome.wrong} wrongly, in {outcome.seconds} s; "
            f"{outcome.lost} of {outcome.requests} requests lost ({outcome.streams} streams). {outcome.first_loss}"
        )
    if outcome.lost or outcome.wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
