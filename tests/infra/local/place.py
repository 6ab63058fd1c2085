"""A project directory of a test's own, real processes in it, and the means to see that none is left."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from slipway.local.process import LocalProcessProvider
from slipway.local.record import Record
from slipway.local.spec import MARK

SERVER = """
import http.server, os, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ.get(self.path[1:], "").encode()
        self.send_response(200 if self.path == "/health" or body else 503)
        self.end_headers()
        self.wfile.write(body)
print("listening", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
"""Serves the value of the variable that the path names; without it, /health is healthy and all else is not."""


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for something that happens elsewhere."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@dataclass(frozen=True)
class Place:
    """One project, and the embedded runner's provider for it."""

    directory: Path
    provider: LocalProcessProvider

    def props(self, script: str = SERVER, name: str = "web", **more: Any) -> dict[str, Any]:
        """Inputs of a Python script that serves on a free port, as a provider gets them."""
        port = more.pop("port", None) or free_port()
        return {
            "name": name,
            "stack": "test",
            "state_dir": ".slipway/local/test",
            "command": ["{python}", "-c", script, str(port)],
            "port": port,
            "health": {"url": f"http://127.0.0.1:{port}/health", "timeout_seconds": 20},
            "stop_grace_seconds": 5,
            **more,
        }

    def home(self, name: str = "web") -> Path:
        """Where a process keeps its things."""
        return self.directory / ".slipway/local/test" / name

    def record(self, name: str = "web") -> Record:
        """Its record, which must be there."""
        found = Record.load(self.home(name))
        assert found is not None
        return found

    def alive(self) -> list[psutil.Process]:
        """Every live process that was started for this project."""
        return list(self._marked())

    def _marked(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                marked = process.environ().get(MARK, "").startswith(f"{self.directory}/")
                if marked and process.status() != psutil.STATUS_ZOMBIE:
                    yield process


@contextmanager
def serving(log: Path, *arguments: str) -> Generator[tuple["subprocess.Popen[bytes]", str]]:
    """llama.cpp's server as a process of its own, up, and its address."""
    port = free_port()
    command = [sys.executable, "-m", "slipway.local.llama_server", "--port", str(port), "--alias", "tiny", *arguments]
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, cwd=log.parent)
    try:
        until(lambda: "ready after" in log.read_text() or server.poll() is not None, 30)
        assert server.poll() is None, log.read_text()
        yield server, f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
