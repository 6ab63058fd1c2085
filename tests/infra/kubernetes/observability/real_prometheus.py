"""A Prometheus from the system's packages with the very files that a stack renders, but for folders, ports and pods."""

import shutil
import socket
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import yaml

from slipway.kubernetes.observability.passwords import PASSWORD_KEY, USERNAME
from slipway.kubernetes.observability.prometheus import (
    AUTH,
    CONFIG,
    DATA,
    PORT,
    arguments,
    credentials,
)
from slipway.kubernetes.observability.prometheus_args import PrometheusSettings

Pods = Mapping[str, Sequence[tuple[str, str]]]
"""By job the pods that Kubernetes would tell: name, and address with the port that they really have here."""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class RealPrometheus:
    """Its folders and its process."""

    def __init__(self, folder: Path, files: Mapping[str, str], settings: PrometheusSettings, pods: Pods) -> None:
        program = shutil.which("prometheus")
        if program is None:
            pytest.skip("prometheus is not installed")
        self.port = free_port()
        places = {CONFIG: folder / "config", AUTH: folder / "auth", f"path={DATA}": folder / "data"}
        for place in places.values():
            place.mkdir()

        def here(text: str) -> str:
            for inside, place in places.items():
                option, _, _ = inside.rpartition("/")
                text = text.replace(inside, f"path={place}" if option == "path=" else str(place))
            return text

        held = credentials()
        self.password = held[PASSWORD_KEY]
        for name, text in files.items():
            (places[CONFIG] / name).write_text(here(text))
        for name, text in held.items():
            (places[AUTH] / name).write_text(text)
        self.config = places[CONFIG] / "prometheus.yml"
        self.config.write_text(found(self.config.read_text(), pods))
        words = [here(word).replace(f":{PORT}", f"127.0.0.1:{self.port}") for word in arguments(settings)]
        self.command = [program, *words]

    @contextmanager
    def running(self) -> Generator[httpx.Client]:
        """The process, and a client that knows the password."""
        process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        try:
            with httpx.Client(
                base_url=f"http://127.0.0.1:{self.port}", auth=(USERNAME, self.password), trust_env=False
            ) as client:
                _ready(client, process)
                yield client
        finally:
            process.terminate()
            _, log = process.communicate(timeout=20)
        assert process.returncode == 0, log


def found(config: str, pods: Pods) -> str:
    """The configuration with what Kubernetes would tell of pods written down: all rules about that still apply."""
    parsed: dict[str, Any] = yaml.safe_load(config)
    for job in parsed["scrape_configs"]:
        (discovery,) = job.pop("kubernetes_sd_configs")
        (namespace,) = discovery["namespaces"]["names"]
        (kept,) = (rule["regex"] for rule in job["relabel_configs"] if rule.get("action") == "keep")
        told = "__meta_kubernetes"
        job["static_configs"] = [
            {
                "targets": [address],
                "labels": {
                    f"{told}_namespace": namespace,
                    f"{told}_pod_name": pod,
                    f"{told}_pod_phase": "Running",
                    f"{told}_pod_container_port_number": port,
                },
            }
            for pod, address in pods[job["job_name"]]
            # A port of a sidecar is a target too, which must be left out.
            for port in (kept, "15020")
        ]
    return yaml.safe_dump(parsed, sort_keys=False)


def _ready(client: httpx.Client, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()[1]
        try:
            if client.get("/-/ready").status_code == 200:
                return
        except httpx.ConnectError:
            pass
        time.sleep(0.1)
    raise AssertionError("Prometheus does not become ready")


def firing(client: httpx.Client) -> set[str]:
    """Names of the alerts that fire."""
    alerts = client.get("/api/v1/alerts").json()["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


def asked(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    """The answer to a question in PromQL."""
    answer = client.get("/api/v1/query", params={"query": query}).json()
    assert answer["status"] == "success", answer
    return cast("list[dict[str, Any]]", answer["data"]["result"])


def names(client: httpx.Client) -> set[str]:
    """Every metric that it has."""
    return set(client.get("/api/v1/label/__name__/values").json()["data"])
