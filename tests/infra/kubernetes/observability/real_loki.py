"""Loki, nginx and the collector with the very files that a stack renders, but for folders and ports.

Neither Loki nor a collector of the distribution `contrib` is in Debian: where `loki` and `otelcol-contrib` are not on the path,
what needs them is skipped, and says so.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from tests.infra.kubernetes.observability.real_prometheus import free_port

from slipway.args import Faults
from slipway.kubernetes.observability import loki
from slipway.kubernetes.observability.logs_args import LogsSettings
from slipway.kubernetes.observability.passwords import PASSWORD_KEY, PUSH_KEY, PUSH_USERNAME, USERNAME


def program(name: str) -> str:
    """Where it is; without it the test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def logs_settings(**more: Any) -> LogsSettings:
    faults = Faults("ObservabilityStack")
    made = LogsSettings.of("watch", more, [], faults)
    assert made is not None
    assert not faults
    return made


class RealLoki:
    """Folders as the pod has them, and its two processes."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.inner, self.port, grpc = free_port(), free_port(), free_port()
        self._places = {loki.CONFIG: folder / "config", loki.AUTH: folder / "auth", "/tmp/": folder / "tmp"}
        self.data = folder / "data"
        for place in (*self._places.values(), self.data):
            place.mkdir()
        self._ports = {loki.INNER_PORT: self.inner, loki.GRPC_PORT: grpc}
        self.held = loki.credentials()
        for name in (loki.READERS, loki.WRITERS):
            (self._places[loki.AUTH] / name).write_text(self.held[name])
        for name, text in loki.configuration(logs_settings(**more)).items():
            (self._places[loki.CONFIG] / name).write_text(self._here(text))
        if os.geteuid() == 0:
            # Started by root, nginx has its worker be somebody else, who may not read these files. In the pod nobody is root.
            config = self._places[loki.CONFIG] / "nginx.conf"
            config.write_text(f"user root;\n{config.read_text()}")
        self.base = f"http://127.0.0.1:{self.port}"
        self.reader = (USERNAME, self.held[PASSWORD_KEY])
        self.writer = (PUSH_USERNAME, self.held[PUSH_KEY])

    def _here(self, text: str) -> str:
        # The places may be below the first, and of two others one's name begins with the other's.
        text = text.replace(" /tmp/", f" {self._places['/tmp/']}/").replace(f": {loki.DATA}", f": {self.data}")
        text = text.replace(loki.AUTH, str(self._places[loki.AUTH])).replace(loki.CONFIG, str(self._places[loki.CONFIG]))
        for inside, port in self._ports.items():
            text = text.replace(str(inside), str(port))
        return text.replace(f"listen {loki.PORT};", f"listen 127.0.0.1:{self.port};")

    @contextmanager
    def proxy(self) -> Generator[httpx.Client]:
        """nginx alone, and a client without a password."""
        words = [self._here(word) for word in loki.proxy_command()]
        with _running([program(words[0]), *words[1:]]) as process, httpx.Client(base_url=self.base, trust_env=False) as client:
            until(lambda: client.get("/proxy").status_code == 204, process)
            yield client

    @contextmanager
    def running(self, *more: str) -> Generator[httpx.Client]:
        """Both, once they are ready, and a client that may ask.

        Args:
            more: Words on Loki's command line.
        """
        command = [program("loki"), *(self._here(word) for word in loki.arguments()), *more]
        with _running(command) as process, self.proxy() as client:
            until(lambda: client.get("/ready").status_code == 200, process, 60)
            client.auth = self.reader
            yield client

    def push(self, client: httpx.Client, *lines: str, service: str = "api", days_ago: int = 0) -> int:
        """Send lines of a service by OTLP; the answer's status."""
        now = time.time_ns() - days_ago * 86400 * 10**9
        records = [{"timeUnixNano": str(now + i), "body": {"stringValue": line}} for i, line in enumerate(lines)]
        told = {"service.name": service, "k8s.namespace.name": "ai", "k8s.container.name": "router", "k8s.pod.name": "api-1"}
        attributes = [{"key": key, "value": {"stringValue": value}} for key, value in told.items()]
        logs = {"resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": [{"logRecords": records}]}]}
        return client.post(f"{loki.OTLP}/v1/logs", json=logs, auth=self.writer).status_code


def found(client: httpx.Client, query: str, hours: int = 1) -> list[tuple[Mapping[str, str], str]]:
    """Lines by LogQL, the oldest first, each with its labels and metadata."""
    asked: Mapping[str, Any] = {"query": query, "limit": 1000, "direction": "forward", "since": f"{hours}h"}
    answer = client.get("/loki/api/v1/query_range", params=asked)
    assert answer.status_code == 200, answer.text
    streams = cast("list[dict[str, Any]]", answer.json()["data"]["result"])
    each = [(moment, stream["stream"], line) for stream in streams for moment, line in stream["values"]]
    return [(labels, line) for _, labels, line in sorted(each, key=lambda one: one[0])]


def until(holds: Any, process: "subprocess.Popen[bytes]", seconds: float = 20) -> None:
    """Wait until something holds while a process runs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, f"{process.args} ended"
        try:
            if holds():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("it does not come to that")


@contextmanager
def running(command: Sequence[str], log: Path) -> "Generator[subprocess.Popen[bytes]]":
    """A process with its log, ended with the block."""
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(40)


@contextmanager
def _running(command: Sequence[str]) -> "Generator[subprocess.Popen[bytes]]":
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(40)
