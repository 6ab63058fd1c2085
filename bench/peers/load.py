"""The fake upstream and the load generator of bench/loadkit, as the driver uses them."""

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.peers.environments import MissingError, load_kit
from bench.peers.gateway import Gateway, get
from bench.processes import free_port

MESSAGES = [
    {
        "role": "system",
        "content": "You are a helpful assistant that answers questions about routing of requests between self-hosted and cloud"
        " language models. Be brief and precise.",
    },
    {
        "role": "user",
        "content": "Explain in two sentences how a gateway should choose between a self-hosted vLLM deployment and a cloud"
        " provider when the self-hosted one is close to saturation, and what it should do when the cloud provider answers with"
        " 429 and a Retry-After header.",
    },
]


@dataclass(frozen=True)
class Load:
    """What a run of the generator saw, and what it cost the gateway."""

    per_second: float
    """Answers, or events of streams, within the time measured."""
    p50_ms: float
    p99_ms: float
    failed: int
    first_error: str
    cpu_us: float
    """CPU time of the gateway for each request, or each chunk of a stream, that reached the upstream."""


class Upstream:
    """The fake upstream, on two ports."""

    def __init__(self, ports: tuple[int, int]) -> None:
        self.ports = ports

    def behave(self, **how: int | str) -> None:
        """How it answers from here on: `mode`, `latency_us`, `chunk_delay_us`, `chunks`, `retry_after`.

        What is not given goes back to what it is at first: good answers at once, of 64 chunks.
        """
        settings = {"mode": "ok", "latency_us": 0, "chunk_delay_us": 0, "chunks": 64, **how}
        for port in self.ports:
            get(port, "/_ctl?" + "&".join(f"{k}={v}" for k, v in settings.items()))

    def counted(self) -> tuple[int, int]:
        """Requests and chunks so far."""
        stats = [json.loads(get(port, "/_stats")[1]) for port in self.ports]
        return sum(s["posts"] for s in stats), sum(s["chunks"] for s in stats)


@contextlib.contextmanager
def upstream(core: int | None) -> Generator[Upstream]:
    """Run the fake upstream while this block lasts.

    Raises:
        MissingError: it cannot be built here.
    """
    ports = (free_port(), free_port())
    child = subprocess.Popen(
        [*_pinned(core), str(load_kit() / "mock"), *map(str, ports)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 5
        while True:
            try:
                get(ports[1], "/_stats")
                break
            except OSError:
                if time.monotonic() > until or child.poll() is not None:
                    raise MissingError("the fake upstream did not come up") from None
                time.sleep(0.02)
        yield Upstream(ports)
    finally:
        child.terminate()
        child.wait()


def load(
    gateway: Gateway,
    behind: Upstream,
    core: int | None,
    seconds: float,
    *,
    stream: bool = False,
    connections: int = 64,
    rate: float | None = None,
    warm: float = 0.5,
    timeout: float = 30,
) -> Load:
    """Load a gateway.

    Args:
        gateway: Which.
        behind: What it asks.
        core: Of the generator.
        seconds: How long is measured.
        stream: Ask for streams.
        connections: At once. Without a rate each sends its next request when the last is answered.
        rate: Requests a second, sent whether or not the last are answered; latency counts from when each was due.
        warm: Seconds before measuring begins.
        timeout: Seconds after which a request has failed.
    """
    body = json.dumps({"model": gateway.model, "messages": MESSAGES, "temperature": 0.7, "max_tokens": 64, "stream": stream})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "body.json"
        file.write_text(body)
        command = [*_pinned(core), str(load_kit() / "lg"), "--port", str(gateway.port), "--path", gateway.path]
        command += ["--body", str(file), "--conc", str(connections), "--secs", str(seconds), "--warm", str(warm)]
        command += ["--timeout", str(timeout), *(["--stream"] if stream else []), *(["--rate", str(rate)] if rate else [])]
        for header in gateway.headers:
            command += ["--header", header]
        before, spent = behind.counted(), gateway.cpu_seconds()
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + warm + timeout + 20)
        spent = gateway.cpu_seconds() - spent
        after = behind.counted()
    told: dict[str, Any] = json.loads(done.stdout)
    count = after[1] - before[1] if stream else after[0] - before[0]
    times = told["lat_ms"] or {"p50": 0.0, "p99": 0.0}
    return Load(
        told["events_per_s"] if stream else told["rps"],
        times["p50"],
        times["p99"],
        told["fail"],
        str(told["first_err"])[:200],
        spent / count * 1e6 if count else 0.0,
    )


def _pinned(core: int | None) -> list[str]:
    return [] if core is None else ["taskset", "-c", str(core)]
