"""One gateway at work, pinned to a core: its start, the CPU time and the memory of all its processes, its end."""

import contextlib
import http.client
import os
import subprocess
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from string import Template

import psutil
from bench.peers.catalogue import PEERS, Peer
from bench.peers.environments import REPOSITORY, MissingError, find, site_packages
from bench.processes import cpu_seconds, free_port

START_SECONDS = 90.0
_CONFIGS = Path(__file__).parent / "configs"


@dataclass
class Gateway:
    """Where one gateway listens, and how it is asked."""

    name: str
    port: int
    path: str
    model: str
    headers: tuple[str, ...]
    start_seconds: float = 0.0
    """From the process' start to the first 200 on its health path."""
    process: psutil.Process | None = None
    """None: the fake upstream itself."""

    def cpu_seconds(self) -> float:
        """CPU time of all its processes and their threads, exact to the nanosecond as the scheduler counts it."""
        return sum(cpu_seconds(p.pid) for p in self._family())

    def memory_mib(self) -> float:
        """Proportional set size of all its processes."""
        return sum(pss_kib(p.pid) for p in self._family()) / 1024

    def _family(self) -> list[psutil.Process]:
        return [] if self.process is None else [self.process, *self.process.children(recursive=True)]


@contextlib.contextmanager
def running(name: str, upstream: int, second: int, core: int | None, as_told: Peer | None = None) -> Generator[Gateway]:
    """Start a gateway and end it with this block.

    Args:
        name: Whose environment it is started in.
        upstream: A port of the fake upstream.
        second: Another.
        core: What it is pinned to.
        as_told: How it is started, if not as the catalogue says.

    Raises:
        MissingError: it is not installed, or does not come up.
    """
    peer, home = as_told or PEERS[name], find(name, as_told)
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
        values = {
            "port": str(free_port()),
            "spare": str(free_port()),
            "upstream": str(upstream),
            "second": str(second),
            "home": str(home),
            "site": str(site_packages(home)),
            "work": folder,
            "repository": str(REPOSITORY),
        }

        def told(text: str) -> str:
            return Template(text).substitute(values)

        for file in peer.files:
            (Path(folder) / file).write_text(told((_CONFIGS / file).read_text()))
        command = [told(part) for part in peer.command.split()]
        environ = {**os.environ, **{k: told(v) for k, v in peer.environ.items()}}
        with (Path(folder) / "log").open("wb") as log:
            begun = time.monotonic()
            child = subprocess.Popen(
                command if core is None else ["taskset", "-c", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
                cwd=folder,
            )
            gateway = Gateway(
                name,
                int(values["port"]),
                peer.path,
                peer.model,
                tuple(told(h) for h in peer.headers),
                process=psutil.Process(child.pid),
            )
            try:
                port_file = Path(told(peer.port_file)) if peer.port_file else None
                if not _healthy(gateway, child, peer, port_file, begun + START_SECONDS):
                    last = " ".join((Path(folder) / "log").read_text(errors="replace").split())[-300:]
                    raise MissingError(f"it did not come up: {last or 'it said nothing'}")
                gateway.start_seconds = time.monotonic() - begun
                yield gateway
            finally:
                _end(child)


def _healthy(gateway: Gateway, child: "subprocess.Popen[bytes]", peer: Peer, port_file: Path | None, until: float) -> bool:
    while time.monotonic() < until and child.poll() is None:
        if port_file is None or port_file.exists():
            if port_file is not None:
                gateway.port = int(port_file.read_text())
            with contextlib.suppress(OSError, http.client.HTTPException):
                if get(gateway.port, peer.health)[0] == 200 or peer.any_health:
                    return True
        time.sleep(0.005)
    return False


def get(port: int, path: str) -> tuple[int, bytes]:
    """Ask a server on this machine.

    Raises:
        OSError: it cannot be reached.
        http.client.HTTPException: it speaks no HTTP.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _end(child: "subprocess.Popen[bytes]") -> None:
    """The whole family: some gateways leave workers behind."""
    family = [child.pid]
    with contextlib.suppress(psutil.NoSuchProcess):
        family += [p.pid for p in psutil.Process(child.pid).children(recursive=True)]
    child.terminate()
    try:
        child.wait(3)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    for pid in family[1:]:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()


def pss_kib(pid: int) -> int:
    """Proportional set size of one process."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
