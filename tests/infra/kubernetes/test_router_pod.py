"""The pod's container against the real router: its command line, its configuration, its variables and what its probes ask.

The process runs here, on loopback; that kubelet runs it the same way is proven on a cluster, not here.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway import AiApiService
from slipway.plan import plan_program


def planned(**more: Any) -> tuple[dict[str, Any], str]:
    """The container and the configuration of a service in front of a backend where nobody listens."""
    backend: Any = {
        "name": "llama",
        "url": "http://127.0.0.1:9/v1",
        "model": "llama",
        "timeouts": {"total": 30},
        "api_key_env": "LLAMA_KEY",
        "api_key": {"name": "api-keys", "key": "llama"},
        "egress": {"port": 9, "cidr": "127.0.0.1/32"},
    }
    args: Any = {"image": "router:1.2.3", "namespace": "ai", "backends": [backend], **more}
    plan = plan_program(lambda: AiApiService("ai-api", args))
    (container,) = plan["ai-api-router"].inputs["spec"]["template"]["spec"]["containers"]
    return container, plan["ai-api-config"].inputs["data"]["router.json"]


@contextmanager
def running(folder: Path, container: dict[str, Any], config: str) -> Generator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """Start what the image's entry point starts, with the container's arguments, the file elsewhere and loopback only."""
    mount = container["volumeMounts"][0]["mountPath"]
    (folder / "router.json").write_text(config)
    arguments = [a.replace(mount, str(folder)) for a in container["args"]]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "slipway_router", *arguments, "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, **{variable["name"]: "hush" for variable in container["env"]}}
    with subprocess.Popen(command, env=environment) as process, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        try:
            yield process, client
        finally:
            process.kill()


def status(client: httpx.Client, path: str) -> int:
    try:
        return client.get(path, timeout=5).status_code
    except httpx.ConnectError:
        return 0


def test_the_router_starts_as_the_container_says_and_answers_its_probes(tmp_path: Path) -> None:
    container, config = planned()
    startup = container["startupProbe"]
    with running(tmp_path, container, config) as (process, client):
        for _ in range(startup["failureThreshold"]):
            if status(client, startup["httpGet"]["path"]) == 200:
                break
            time.sleep(startup["periodSeconds"] / 4)
        assert status(client, container["livenessProbe"]["httpGet"]["path"]) == 200
        # Alive, and not ready: there is no backend to reach.
        assert status(client, container["readinessProbe"]["httpGet"]["path"]) == 503
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) == 0


def test_without_the_variable_that_the_secret_fills_the_router_says_so(tmp_path: Path) -> None:
    container, config = planned()
    (tmp_path / "router.json").write_text(config)
    assert [v["name"] for v in container["env"]] == ["LLAMA_KEY"]
    command = [
        sys.executable,
        "-m",
        "slipway_router",
        "--config",
        str(tmp_path / "router.json"),
        "--host",
        "127.0.0.1",
        "--port",
        "0",
    ]
    environment = {k: v for k, v in os.environ.items() if k != "LLAMA_KEY"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode != 0
    assert "LLAMA_KEY" in ended.stderr


@pytest.mark.parametrize("setting", ["priority_class", "node_selector", "image_pull_secrets"])
def test_what_is_not_asked_for_is_not_sent(setting: str) -> None:
    args: Any = {"image": "r:1", "namespace": "ai", "replicas": 1, "backends": []}
    args["backends"] = [{"name": "a", "url": "https://example.com/v1", "model": "a"}]
    key = {"priority_class": "priorityClassName", "node_selector": "nodeSelector", "image_pull_secrets": "imagePullSecrets"}[
        setting
    ]
    spec = plan_program(lambda: AiApiService("x", args))["x-router"].inputs["spec"]["template"]["spec"]
    assert key not in spec
