"""A fake model server and the router before it, in processes of their own, for benchmarks that watch one router for a while."""

import contextlib
import json
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psutil
from bench.processes import free_port, process, wait_healthy

DRAIN_SECONDS = 60
"""How long a router that is told to stop lets streams go on."""


@contextlib.contextmanager
def upstream(chunks: int, gap: float, seconds: float) -> Generator[int]:
    """A model server whose streams have so many chunks with so many seconds between them; its port."""
    command = [sys.executable, "-m", "bench.upstream", "--chunks", str(chunks), "--gap", str(gap), "--seconds", str(seconds)]
    with process(command, None) as child:
        assert child.stdout is not None
        yield int(child.stdout.readline())


class Router:
    """One router's process."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid

    @property
    def url(self) -> str:
        """Where its chat completions are."""
        return f"http://127.0.0.1:{self.port}/v1/chat/completions"


@contextlib.contextmanager
def router(upstream_port: int, **settings: Any) -> Generator[Router]:
    """A router before that server, healthy. More settings of its configuration may be given."""
    backend = {
        "name": "fake",
        "url": f"http://127.0.0.1:{upstream_port}/v1",
        "model": "mock",
        "self_hosted": True,
        "max_connections": 10_000,
    }
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "router.json"
        config.write_text(json.dumps({"backends": [backend], "drain_seconds": DRAIN_SECONDS, **settings}))
        port = free_port()
        with process([sys.executable, "-m", "slipway_router", "--config", str(config), "--port", str(port)], None) as child:
            wait_healthy(port)
            yield Router(port, child.pid)


def private_mib(pid: int) -> float:
    """Memory of a process that it shares with nobody. Its share of libraries would change with whoever else runs Python."""
    return psutil.Process(pid).memory_full_info().uss / 2**20


def body(*, stream: bool) -> bytes:
    """What clients send."""
    return json.dumps({"model": "mock", "messages": [{"role": "user", "content": "hello"}], "stream": stream}).encode()


def is_whole(answer: bytes, *, stream: bool) -> bool:
    """Whether a client got all there was: of a stream its last event, and no error."""
    if not stream:
        return b'"usage"' in answer and answer.endswith(b"}")
    return answer.endswith(b"data: [DONE]\n\n") and b'"error"' not in answer
