"""What benchmarks start: processes pinned to cores, and when they are there."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import httpx
import psutil

PATH = "/v1/chat/completions"
MESSAGES = [{"role": "system", "content": "You are helpful."}, {"role": "user", "content": "What is the capital of France? " * 4}]
START_SECONDS = 60


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def two_cores() -> tuple[int, int] | tuple[None, None]:
    """The core of whatever is measured, and that of all others, which this process and its children keep to."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        return None, None
    psutil.Process().cpu_affinity([cores[1]])
    return cores[0], cores[1]


@contextlib.contextmanager
def process(command: list[str], core: int | None, **environ: str) -> Generator["subprocess.Popen[str]"]:
    """A child that ends with this block, pinned to a core."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environ},
    )
    try:
        if core is not None:
            psutil.Process(child.pid).cpu_affinity([core])
        yield child
    finally:
        child.terminate()
        child.communicate()


def wait_healthy(port: int) -> None:
    """Raises SystemExit when nothing answers on /health in time."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing healthy on port {port} within {START_SECONDS} s")


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its threads, exact to the nanosecond where the scheduler counts it."""
    spent = 0
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                spent += int((thread / "schedstat").read_text().split()[0])
    return spent / 1e9 if spent else sum(psutil.Process(pid).cpu_times()[:2])
