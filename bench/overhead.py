"""What does the operator's side cost a request? Routers with none of it, each and all of it, asked in turn.

    python -m bench.overhead [--rounds 5] [--seconds 1] [--connections 32] [--only NAME ...] [--json]

Keys, limits by the minute and a budget in the router's memory or in a Redis, a line of JSON for each request, OpenTelemetry's
metrics, and the traces of a share of the requests. Prometheus' metrics are always on. Ratios are to the router with none of it;
how they are taken is told in `bench.side_by_side`. Redis and the collector are on the core of the load.

Redis has an append-only file, as budgets want it; without redis-server what needs it is left out.
"""

import argparse
import contextlib
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from bench.processes import free_port, process, two_cores, wait_healthy
from bench.side_by_side import Proxy, Round, compare, kit, main, options, upstream

KEY = "bench-" + "k" * 40
GRANT: dict[str, Any] = {"requests_per_minute": 10**9, "tokens_per_minute": 10**9, "monthly_budget": 1_000_000}
LOGS: dict[str, Any] = {"format": "json", "requests": True}
REDIS = "in Redis"
"""What those are called whose limits are there."""


def variants(collector: str, redis: str) -> dict[str, dict[str, Any]]:
    """What each router is told beside its backend, by name.

    Args:
        collector: OpenTelemetry's.
        redis: Address of the Redis.
    """

    def key(**grant: Any) -> dict[str, Any]:
        return {"keys": [{"name": "bench", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), **grant}]}

    def telemetry(logs: dict[str, Any] | None = None, **otel: Any) -> dict[str, Any]:
        told = {"otel": {"endpoint": collector, **otel}} if otel else {}
        return {"telemetry": told if logs is None else {"logs": logs, **told}}

    # The load takes both cores, Redis' too: that is no Redis that hangs.
    shared = {"redis": {"url": redis, "timeout_ms": 1000}}
    limited, told = key(**GRANT), telemetry(LOGS, sample=0.01)
    return {
        "off": {},
        "a key": key(),
        "limits and budget in memory": limited,
        f"limits and budget {REDIS}": {**limited, **shared},
        "logs": telemetry(LOGS),
        "OTLP metrics": telemetry(sample=0.0, traces=False),
        "traces of 1 %": telemetry(sample=0.01, metrics=False),
        "traces of 10 %": telemetry(sample=0.1, metrics=False),
        "traces of all": telemetry(sample=1.0, metrics=False),
        "logs, OTLP metrics, traces of 1 %": told,
        "all of it, in memory": {**limited, **told},
        f"all of it, {REDIS}": {**limited, **shared, **told},
    }


@contextlib.contextmanager
def redis_server() -> Generator[tuple[int, Path]]:
    """One with an append-only file, as budgets want it; its port and its folder."""
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


def has_redis() -> bool:
    return shutil.which("redis-server") is not None


@contextlib.contextmanager
def routers(settings: dict[str, dict[str, Any]], core: int | None = None) -> Generator[dict[str, tuple[int, int, list[str]]]]:
    """Port, process id and command of one for each of these configurations, by name."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made: dict[str, tuple[int, int, list[str]]] = {}
        for name, one in settings.items():
            config, port = folder / f"{len(made)}.json", free_port()
            config.write_text(json.dumps(one))
            command = [sys.executable, "-m", "slipway_router", "--config", str(config), "--port", str(port)]
            made[name] = port, stack.enter_context(process(command, core)).pid, command
        for port, _, _ in made.values():
            wait_healthy(port)
        yield made


def configuration(url: str, told: dict[str, Any]) -> dict[str, Any]:
    """Of a router before the fake upstream."""
    backend = {"name": "fake", "url": f"{url}/v1", "model": "mock", "self_hosted": True, "max_connections": 10_000}
    return {"backends": [{**backend, "cost_per_1k_tokens": 0.5}], **told}


def run(asked: argparse.Namespace) -> Sequence[Round]:
    """Measure those that are asked for."""
    built = kit()
    own, theirs = two_cores()
    with contextlib.ExitStack() as stack:
        collector = stack.enter_context(process([sys.executable, "-m", "bench.collector"], theirs))
        assert collector.stdout is not None
        to = f"http://127.0.0.1:{collector.stdout.readline().strip()}"
        redis = stack.enter_context(redis_server())[0] if has_redis() else 0
        url = stack.enter_context(upstream(built))
        told = {n: t for n, t in variants(to, f"redis://127.0.0.1:{redis}/0").items() if redis or not n.endswith(REDIS)}
        chosen = {n: configuration(url, t) for n, t in told.items() if n in asked.only or n == "off" or not asked.only}
        made = stack.enter_context(routers(chosen, own))
        keyed = {n for n in made if "keys" in told[n]}
        proxies = [Proxy(n, port, pid, KEY if n in keyed else None) for n, (port, pid, _) in made.items()]
        return compare(proxies, ("requests", "streams"), asked, built)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.overhead", description=__doc__)
    options(parser, rounds=5, seconds=1)
    parser.add_argument("--only", action="append", default=[], choices=[*variants("", "")], help="beside 'off'; several times")
    main(parser, run)
