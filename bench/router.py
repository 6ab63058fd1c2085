"""The router beside a proxy written by hand: requests a second and CPU time per request and per streamed chunk.

    python -m bench.router [--rounds 3] [--seconds 2] [--connections 32] [--json]

How it is measured is told in `bench.side_by_side`.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.processes import free_port, process, two_cores, wait_healthy
from bench.side_by_side import Proxy, Round, compare, kit, main, options, upstream


def run(asked: argparse.Namespace) -> Sequence[Round]:
    """Measure both."""
    built = kit()
    own, _ = two_cores()
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        url = stack.enter_context(upstream(built))
        config = Path(folder) / "router.json"
        config.write_text(json.dumps({"backends": [{"name": "fake", "url": f"{url}/v1", "model": "mock", "self_hosted": True}]}))
        ports = free_port(), free_port()
        router = [sys.executable, "-m", "slipway_router", "--config", str(config), "--port", str(ports[0])]
        naive = [sys.executable, "-m", "uvicorn", "bench.naive:app", "--port", str(ports[1]), "--no-access-log"]
        proxies = [
            Proxy("router", ports[0], stack.enter_context(process(router, own)).pid),
            Proxy("FastAPI + httpx", ports[1], stack.enter_context(process(naive, own, UPSTREAM=url)).pid),
        ]
        for port in ports:
            wait_healthy(port)
        return compare(proxies, ("requests", "chunks"), asked, built)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.router", description=__doc__)
    options(parser, rounds=3, seconds=2)
    main(parser, run)
