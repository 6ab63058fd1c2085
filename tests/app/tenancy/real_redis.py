"""Debian's Redis as a process of its own, on a free port, that a test can stop, start and freeze."""

import asyncio
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="no redis-server on PATH: apt-get install redis-server"
)


class RealRedis:
    """One server. What it holds outlives `kill`: every write is in its append-only file before it is answered."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def settings(self) -> dict[str, object]:
        """For a configuration. A machine that is busy with other tests is no slow Redis."""
        return {"url": self.url, "timeout_ms": 1000}

    def start(self) -> None:
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self._folder, "save": "", "appendonly": "yes"}
        options["appendfsync"] = "no"  # what was written outlives the process, and that is all that is killed here
        command = ["redis-server", *(part for k, v in options.items() for part in (f"--{k}", str(v)))]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as asked:
                asked.sendall(b"PING\r\n")
                if asked.recv(16).startswith(b"+PONG"):
                    return
            time.sleep(0.01)
        raise AssertionError("redis-server did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Keeps its connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def redis_at(folder: Path) -> Generator[RealRedis]:
    redis = RealRedis(folder)
    redis.start()
    try:
        yield redis
    finally:
        redis.kill()


async def until(true: object, seconds: float = 10.0) -> None:
    """Wait until a call says yes."""
    assert callable(true)
    end = asyncio.get_running_loop().time() + seconds
    while not true():
        assert asyncio.get_running_loop().time() < end, "it did not come about"
        await asyncio.sleep(0.01)
