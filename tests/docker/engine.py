"""A Docker engine for the tests: the one that answers, else one of our own that nothing outside the tests can reach."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class NoEngineError(Exception):
    """There is none, and why."""


class DockerError(Exception):
    """A command of Docker's client failed. The message has what it wrote."""


@dataclass(frozen=True)
class Engine:
    """An engine that builds with BuildKit, by way of a client that can."""

    client: str
    host: str | None = None
    """Address of the engine. Default: the client's own."""

    def __call__(self, *args: str, timeout: float = 60) -> str:
        """Run a command of Docker's client; returns what it wrote, on both streams.

        Raises:
            DockerError: It failed.
        """
        ran = self.run(args, timeout)
        if ran.returncode:
            raise DockerError(f"docker {' '.join(args)}: {ran.stdout}")
        return ran.stdout.strip()

    def run(self, args: Sequence[str], timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        env = {**os.environ, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
        if self.host:
            env["DOCKER_HOST"] = self.host
        return subprocess.run(
            [self.client, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
            check=False,
            timeout=timeout,
        )


@contextmanager
def engine() -> Generator[Engine]:
    """An engine, for as long as the block runs.

    Raises:
        NoEngineError: None answers, and none can be started.
    """
    clients = [str(f) for folder in os.get_exec_path() if (f := Path(folder, "docker")).is_file()]
    if not clients:
        raise NoEngineError("no Docker client is installed (Debian's package is docker.io)")
    for client in clients:
        if builds(Engine(client)):
            yield Engine(client)
            return
    with _own() as host:
        for client in clients:
            if builds(Engine(client, host)):
                yield Engine(client, host)
                return
        raise NoEngineError("no Docker client here can build with BuildKit: they need the buildx plugin")


def builds(engine: Engine) -> bool:
    """Whether it builds an image of nothing: newer clients need a plugin to speak to BuildKit."""
    with tempfile.TemporaryDirectory() as context:
        Path(context, "Dockerfile").write_text("FROM scratch\nLABEL from=slipway-tests\n")
        return engine.run(["build", "--quiet", context]).returncode == 0


@contextmanager
def _own() -> Generator[str]:
    daemon = shutil.which("dockerd") or shutil.which("dockerd", path="/usr/sbin:/sbin")
    if daemon is None:
        raise NoEngineError("no Docker engine answers, and dockerd is not installed (Debian's package is docker.io)")
    if os.geteuid() != 0:
        raise NoEngineError("no Docker engine answers, and only root can start one")
    # Not pytest's folder: a socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="slipway-docker-", ignore_cleanup_errors=True) as home:
        host = f"unix://{home}/socket"
        command = [daemon, f"--host={host}", f"--data-root={home}/data", f"--exec-root={home}/exec", f"--pidfile={home}/pid"]
        # The machine's network stays as it is: no bridge, no rules. Containers get the loopback alone, or the host's network.
        command += ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]
        log = Path(home, "log")
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            deadline = time.monotonic() + 30
            while not Path(home, "socket").exists() or "API listen on" not in log.read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise NoEngineError(f"dockerd does not start here: {' '.join(log.read_text().splitlines()[-2:])}")
                time.sleep(0.1)
            yield host
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            # A daemon that did not get to its end leaves its data mounted on itself, which os.path.ismount cannot tell.
            subprocess.run(["/bin/umount", "--quiet", f"{home}/data"], check=False, stderr=subprocess.DEVNULL)
