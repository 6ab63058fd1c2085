"""A canary's share on Pulumi's real engine and a real control plane: a version that is not ready gets no more of it.

Skipped where the engine, its Kubernetes provider or the test cluster is missing. That a gateway splits by the weights is not
shown.
"""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.cases import define
from tests.cluster.cluster import Cluster, eventually
from tests.engine.test_kubernetes import absent

pytestmark = [
    pytest.mark.skipif(absent() is not None, reason=absent() or ""),
    pytest.mark.timeout(600),
]
NAMESPACE = "canary"
PROGRAM = """
import pulumi
from slipway import AiApiService, vendor

key = {"name": "api-keys", "key": "openai"}
AiApiService("api", {
    "namespace": "canary",
    "image": "slipway/router:0.1.0",
    "backends": [vendor("openai", name="gpt", model="gpt-4o-mini", api_key=key)],
    "replicas": 2,
    "rollout_seconds": 60,
    "http_route": {"hosts": ["api.example.com"], "gateway": "public"},
    "canary": {"image": "slipway/router:0.2.0", "weight": pulumi.Config().require_int("weight")},
})
"""


class Stack:
    """The program, with the engine's state beside it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        (folder / "state").mkdir(parents=True)
        (folder / "__main__.py").write_text(textwrap.dedent(PROGRAM))
        (folder / "Pulumi.yaml").write_text("name: canary\nruntime: python\n")
        self.pulumi("stack", "init", "test")

    def pulumi(self, *words: str, ends: int = 0) -> str:
        own = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "PULUMI_BACKEND_URL": (self.folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "a test's own",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
        }
        command = ["pulumi", "--non-interactive", "--color=never", *words]
        done = subprocess.run(
            command, cwd=self.folder, env={**os.environ, **own}, capture_output=True, text=True, timeout=300, check=False
        )
        assert min(done.returncode, 1) == ends, done.stdout + done.stderr
        return done.stdout + done.stderr

    def up(self, weight: int, ends: int = 0) -> str:
        self.pulumi("config", "set", "weight", str(weight), "--stack=test")
        return self.pulumi("up", "--yes", "--skip-preview", "--stack=test", ends=ends)

    def shares(self) -> dict[str, int]:
        (rule,) = self.cluster.get("httproute", "api-route", "--namespace", NAMESPACE)["spec"]["rules"]
        return {ref["name"]: ref["weight"] for ref in rule["backendRefs"]}


@pytest.fixture
def stack(cluster: Cluster, tmp_path: Path) -> Iterator[Stack]:
    define(cluster, "HTTPRoute")
    cluster.namespace(NAMESPACE)
    yield Stack(cluster, tmp_path / "project")
    cluster.run("delete", "namespace", NAMESPACE, "--wait=false")


def test_a_version_that_has_failed_gets_no_more_of_the_requests_until_it_is_back(stack: Stack) -> None:
    cluster = stack.cluster
    stack.up(10)
    assert stack.shares() == {"api": 90, "api-canary": 10}

    nodes = [node["metadata"]["name"] for node in cluster.items("nodes")]
    cluster.kubectl("cordon", *nodes)
    try:
        cluster.kubectl("delete", "pod", "--namespace", NAMESPACE, "--selector=app.kubernetes.io/instance=api-canary")
        told = stack.up(50, ends=1)
        assert "api-canary-router" in told
        assert stack.shares() == {"api": 90, "api-canary": 10}
    finally:
        cluster.kubectl("uncordon", *nodes)
    ready = ("deployment", "api-canary-router", "--namespace", NAMESPACE)
    eventually(lambda: cluster.get(*ready)["status"].get("readyReplicas") == 1)
    stack.up(50)
    assert stack.shares() == {"api": 50, "api-canary": 50}
    stack.pulumi("destroy", "--yes", "--skip-preview", "--stack=test")
    assert cluster.run("get", "httproute", "api-route", "--namespace", NAMESPACE).returncode
