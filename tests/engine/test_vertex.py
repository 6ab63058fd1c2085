"""Vertex AI's models and deployments on Pulumi's real engine, on a server of the published service. Skipped where no engine is on
PATH. pulumi-gcp's own resources are not made here: the endpoint is there."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.infra.gcp.fake_vertex import FakeVertex

from slipway.gcp.vertex_client import ENDPOINT_VARIABLE

pytestmark = pytest.mark.skipif(shutil.which("pulumi") is None, reason="no Pulumi engine: there is no 'pulumi' on PATH")
ENDPOINT = "projects/p/locations/europe-west4/endpoints/77"
PROGRAM = """
import pulumi
from slipway.gcp.vertex_deployments import VertexDeployments
from slipway.gcp.vertex_model import VertexModel

image = pulumi.Config().require("image")
place = {"project": "p", "location": "europe-west4", "owner": "0a1b2c3d"}
secret = pulumi.Output.secret({"HF_TOKEN": "hf_" + "hush"})
model = VertexModel("model", {**place, "name": "chat-main", "image": image, "port": 8080, "secret_env": secret})
machine = {"machine_type": "g2-standard-12", "accelerator_type": "NVIDIA_L4", "accelerator_count": 1}
deployed = VertexDeployments("chat", {
    **place, "name": "chat", "endpoint": "77",
    "deployments": {"main": {"model": model.model_name, **machine}}, "traffic": {"main": 100},
})
pulumi.export("deployed", deployed.deployed)
"""


class Stack:
    """A project with these two resources, its state in a folder."""

    def __init__(self, folder: Path, vertex: FakeVertex) -> None:
        self.folder, self.vertex = folder / "project", vertex
        self.folder.mkdir()
        (folder / "state").mkdir()
        (self.folder / "Pulumi.yaml").write_text("name: small\nruntime: python\n")
        (self.folder / "__main__.py").write_text(PROGRAM)
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "a test's own",
            ENDPOINT_VARIABLE: vertex.address,
            "GOOGLE_APPLICATION_CREDENTIALS": vertex.key_file(folder),
        }
        self.run("stack", "init", "test")

    def image(self, tag: str) -> None:
        self.run("config", "set", "image", f"europe-west4-docker.pkg.dev/p/r/vllm:{tag}", "-s", "test")

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = ["pulumi", "--non-interactive", *words]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, *words: str, fails: bool = False) -> str:
        child = self.start(*words)
        told, _ = child.communicate(timeout=120)
        assert (child.returncode != 0) == fails, told
        return told

    def state(self) -> str:
        return self.run("stack", "export", "-s", "test")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with FakeVertex().serving() as vertex:
        vertex.endpoint(ENDPOINT)
        yield Stack(tmp_path, vertex)


def test_up_again_a_new_image_and_down(stack: Stack) -> None:
    vertex = stack.vertex
    stack.image("1")
    assert "+ 3 to create" in stack.run("preview", "-s", "test")
    assert vertex.calls == [], "a preview of what is new asks nobody"
    told = stack.run("up", "-s", "test", "--yes")
    assert "+ 3 created" in told
    assert "deploying chat-main on g2-standard-12: done" in told
    first = json.loads(stack.run("stack", "output", "--json", "-s", "test"))["deployed"]["main"]
    assert dict(vertex.endpoints[ENDPOINT].traffic_split) == {first: 100}
    assert "3 unchanged" in stack.run("refresh", "-s", "test", "--yes", "--expect-no-changes")

    # What would be made the same again is made first and deleted then: nothing may be taken away.
    urns = [r["urn"] for r in json.loads(stack.state())["deployment"]["resources"] if r["urn"].endswith(("::model", "::chat"))]
    assert "2 replaced" in stack.run("up", "-s", "test", "--yes", *(word for urn in urns for word in ("--replace", urn)))
    assert (list(vertex.deployed(ENDPOINT)), len(vertex.models)) == ([first], 1)

    stack.image("2")
    told = stack.run("up", "-s", "test", "--yes")
    assert "1 replaced" in told
    assert "1 updated" in told
    second = json.loads(stack.run("stack", "output", "--json", "-s", "test"))["deployed"]["main"]
    assert second != first
    assert (dict(vertex.endpoints[ENDPOINT].traffic_split), list(vertex.deployed(ENDPOINT))) == ({second: 100}, [second])
    assert len(vertex.models) == 1, "the old model goes once nothing is deployed of it"

    state = stack.state()
    key = vertex.private_key.splitlines()[1]
    assert "hf_hush" not in state
    assert key not in state
    resources: list[dict[str, Any]] = json.loads(state)["deployment"]["resources"]
    providers = [r["inputs"]["__provider"] for r in resources if "__provider" in r.get("inputs", {})]
    assert len(providers) == 2
    assert all(len(p) < 250 for p in providers), "a reference to the provider, not its code"

    assert "3 deleted" in stack.run("destroy", "-s", "test", "--yes")
    assert (vertex.models, vertex.deployed(ENDPOINT)) == ({}, {})
    assert vertex.gaps() == []


def test_what_fails_is_told_and_leaves_nothing_deployed(stack: Stack) -> None:
    vertex = stack.vertex
    stack.image("1")
    vertex.operation_errors["DeployModel"] = [(8, "The machine is out of stock.")]
    told = stack.run("up", "-s", "test", "--yes", fails=True)
    assert "deploying chat-main on g2-standard-12 failed: The machine is out of stock." in told
    assert "is undeployed again, so nothing new is billed" in told
    assert vertex.deployed(ENDPOINT) == {}


def test_an_engine_that_is_killed_leaves_what_the_next_run_adopts(stack: Stack) -> None:
    vertex = stack.vertex
    stack.image("1")
    vertex.operation_seconds["DeployModel"] = 600
    child = stack.start("up", "-s", "test", "--yes")
    eventually(lambda: "DeployModel" in vertex.calls and vertex.calls[-1] == "GetOperation")
    for process in [*psutil.Process(child.pid).children(recursive=True), psutil.Process(child.pid)]:
        process.send_signal(signal.SIGKILL)
    child.communicate(timeout=30)
    assert "CancelOperation" not in vertex.calls
    (running,) = [r for r in vertex.running.values() if "/endpoints/" in r.name]
    running.until = time.monotonic() + 5
    stack.run("cancel", "-s", "test", "--yes")
    stack.run("up", "-s", "test", "--yes")
    assert vertex.calls.count("DeployModel") == 1
    assert vertex.calls.count("UploadModel") == 1
    assert len(vertex.deployed(ENDPOINT)) == 1


def test_an_engine_that_goes_and_leaves_its_provider_cancels_the_deployment(stack: Stack) -> None:
    vertex = stack.vertex
    stack.image("1")
    vertex.operation_seconds["DeployModel"] = 600
    child = stack.start("up", "-s", "test", "--yes")
    eventually(lambda: "DeployModel" in vertex.calls and vertex.calls[-1] == "GetOperation")
    below = psutil.Process(child.pid).children(recursive=True)
    child.kill()
    try:
        eventually(lambda: "UndeployModel" in vertex.calls)
        eventually(lambda: vertex.deployed(ENDPOINT) == {})
        assert "CancelOperation" in vertex.calls
    finally:
        # Python's dynamic provider outlives its engine.
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        child.communicate(timeout=30)


def test_ctrl_c_cancels_the_deployment_at_once(stack: Stack) -> None:
    vertex = stack.vertex
    stack.image("1")
    vertex.operation_seconds["DeployModel"] = 600
    command = [sys.executable, "-m", "slipway", "up", "-s", "test", "-C", str(stack.folder)]
    # In a session of its own, as behind a terminal: Ctrl-C reaches our command and the engine, but not the engine's providers.
    child = subprocess.Popen(
        command, env=stack.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    eventually(lambda: "DeployModel" in vertex.calls and vertex.calls[-1] == "GetOperation")
    os.killpg(child.pid, signal.SIGINT)
    told, _ = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "stopping: the engine cancels what goes on" in told
    assert "deploying chat-main on g2-standard-12 was cancelled" in told
    assert "Traceback" not in told
    assert "CancelOperation" in vertex.calls
    eventually(lambda: vertex.deployed(ENDPOINT) == {})


def eventually(condition: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
