"""The stacks for Kubernetes on Pulumi's real engine and a real control plane, by our command and by the engine's own.

Skipped where the engine, its Kubernetes provider or the test cluster is missing. That the containers start is not shown: kwok
plays the pods.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from tests.cluster.cases import Manifests, mounted, prepare, shipped
from tests.cluster.cluster import Cluster, eventually

ROOT = Path(__file__).parents[2]
NAMESPACES = {"dev": "ai-dev", "prod": "ai-prod"}
STACKS = [pytest.param(stack, id=stack) for stack in NAMESPACES]


def absent() -> str | None:
    """Which part of the engine is not here."""
    if shutil.which("pulumi") is None:
        return "no Pulumi engine: there is no 'pulumi' on PATH"
    installed = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi").glob("plugins/resource-kubernetes-*/pulumi-*")
    if shutil.which("pulumi-resource-kubernetes") is None and not list(installed):
        return "Pulumi's engine has no provider for Kubernetes: `pulumi plugin install resource kubernetes`"
    return None


pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(absent() is not None, reason=absent() or ""),
]


class Project:
    """A copy of the repository's program, with the engine's state in the copy."""

    def __init__(self, cluster: Cluster, folder: Path, stack: str) -> None:
        self.cluster, self.folder, self.stack, self.namespace = cluster, folder, stack, NAMESPACES[stack]
        left_out = shutil.ignore_patterns(".venv", "__pycache__", ".slipway")
        shutil.copytree(ROOT / "stacks", folder / "stacks", ignore=left_out)
        shutil.copy(ROOT / "Pulumi.yaml", folder)
        for place in (folder / ".venv", folder / "stacks" / ".venv"):
            place.symlink_to(sys.prefix)
        self.settings = folder / "stacks" / f"Pulumi.{stack}.yaml"

    def run(self, *words: str, more: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        dropped = ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_STACK")
        env = {k: v for k, v in os.environ.items() if k not in dropped}
        env |= {"KUBECONFIG": str(self.cluster.kubeconfig), "PULUMI_SKIP_UPDATE_CHECK": "1", **(more or {})}
        return subprocess.run(words, cwd=self.folder, env=env, capture_output=True, text=True, timeout=240, check=False)

    def slipway(self, command: str) -> dict[str, int]:
        """Run our command; returns what it says it did."""
        done = self.run(sys.executable, "-m", "slipway", command, "-s", self.stack, "--engine", "pulumi", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["changes"]

    def pulumi(self, *words: str) -> str:
        """Run the engine's own, with a state and a passphrase of its own."""
        state = self.folder / "state"
        state.mkdir(exist_ok=True)
        own = {"PULUMI_BACKEND_URL": state.as_uri(), "PULUMI_CONFIG_PASSPHRASE": "a test's own"}
        done = self.run("pulumi", "--non-interactive", "--color=never", *words, more=own)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def change(self) -> None:
        """Another setting of the router."""
        router = yaml.safe_load(self.settings.read_text())["config"]["slipway:router"]
        self.configure(router={**router, "settings": {**router.get("settings", {}), "max_body_mib": 16}})

    def configure(self, **settings: Any) -> None:
        """Write settings of the stack."""
        text = yaml.safe_load(self.settings.read_text())
        text["config"] |= {f"slipway:{key}": value for key, value in settings.items()}
        self.settings.write_text(yaml.safe_dump(text))

    def rendered(self, folder: Path) -> Manifests:
        return shipped(self.stack, folder)

    def configs(self) -> set[str]:
        """The router's ConfigMaps in the cluster."""
        found = self.cluster.items("configmaps", "--namespace", self.namespace, "--selector=app.kubernetes.io/instance=router")
        return {o["metadata"]["name"] for o in found}

    def router(self) -> dict[str, Any]:
        return self.cluster.get("deployment/router-router", "--namespace", self.namespace)

    def gone(self) -> None:
        """Assert that nothing is left but what the namespace's end takes along."""
        eventually(lambda: self.cluster.run("get", "namespace", self.namespace).returncode, seconds=60, what="no namespace")


@pytest.fixture
def project(cluster: Cluster, tmp_path: Path, stack: str) -> Iterator[Project]:
    # Another test may have applied the same stack's manifests.
    cluster.kubectl("delete", "namespace", NAMESPACES[stack], "--ignore-not-found", "--timeout=90s", timeout=100)
    made = Project(cluster, tmp_path / "project", stack)
    yield made
    cluster.run("delete", "namespace", made.namespace, "--ignore-not-found", "--wait=false")


@pytest.mark.parametrize("stack", STACKS)
def test_up_preview_change_and_down_by_our_command(project: Project, tmp_path: Path) -> None:
    cluster, manifests = project.cluster, project.rendered(tmp_path / "again")
    first = project.slipway("up")
    assert set(first) == {"create"}
    # The engine and the renderer make the same objects under the same names.
    names = {(o["kind"], o["metadata"]["name"]) for o in manifests.objects}
    live = json.loads(cluster.kubectl("get", "--filename=-", "--output=json", stdin=manifests.text))["items"]
    assert {(o["kind"], o["metadata"]["name"]) for o in live} == names
    assert project.slipway("preview") == {"same": first["create"]}
    assert project.slipway("up") == {"same": first["create"]}

    before = project.configs()
    assert len(before) == 1
    project.change()
    changed = project.slipway("up")
    assert changed["replace"] == 1, "the ConfigMap alone"
    assert changed["same"] == first["create"] - changed["replace"] - changed["update"]
    after = project.configs()
    assert before < after, "the earlier ConfigMap stays, for `kubectl rollout undo`"
    pods = cluster.items("pods", "--namespace", project.namespace, "--selector=app.kubernetes.io/instance=router")
    running = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    assert mounted(running) == after - before
    assert project.slipway("preview") == {"same": first["create"]}

    assert project.slipway("down") == {"delete": first["create"]}
    project.gone()


@pytest.mark.parametrize("stack", STACKS)
def test_the_same_by_hand_without_drift(project: Project) -> None:
    stack = ("-s", project.stack)
    project.pulumi("stack", "init", project.stack)
    project.pulumi("up", *stack, "--yes")
    project.pulumi("preview", *stack, "--expect-no-changes")
    project.pulumi("refresh", *stack, "--yes", "--expect-no-changes")
    project.pulumi("up", *stack, "--yes", "--expect-no-changes")
    project.change()
    shown = project.pulumi("preview", *stack, "--json")
    steps = cast("list[dict[str, Any]]", json.loads(shown)["steps"])
    replaced = {step["urn"].rpartition("::")[2] for step in steps if "replace" in step["op"]}
    assert replaced == {"router-config"}
    order = [step["op"] for step in steps if step["urn"].endswith("::router-config")]
    assert order[0] != "delete-replaced", "the new one comes first"
    project.pulumi("up", *stack, "--yes")
    project.pulumi("refresh", *stack, "--yes", "--expect-no-changes")
    project.pulumi("destroy", *stack, "--yes")
    project.gone()


@pytest.mark.parametrize("stack", [pytest.param("prod", id="prod")])
def test_in_a_namespace_that_was_there_with_its_secrets_and_under_an_autoscaler(project: Project, tmp_path: Path) -> None:
    cluster = project.cluster
    prepare(cluster, project.rendered(tmp_path / "rendered"))
    project.configure(createNamespace=False)
    created = project.slipway("up")["create"]
    eventually(lambda: project.router()["status"].get("readyReplicas") == 2, what="the autoscaler's two")
    # As an autoscaler does: by the scale subresource.
    cluster.kubectl("scale", "deployment/router-router", "--replicas=4", "--namespace", project.namespace)
    eventually(lambda: project.router()["status"].get("readyReplicas") == 4)
    assert project.slipway("preview") == {"same": created}
    project.change()
    project.slipway("up")
    assert project.router()["spec"]["replicas"] == 4

    project.slipway("down")
    kinds = "deployments,statefulsets,services,networkpolicies,poddisruptionbudgets,horizontalpodautoscalers"
    eventually(lambda: cluster.items(kinds, "--namespace", project.namespace) == [])
    assert len(project.configs()) == 2, "ConfigMaps are left, as the guide says"
    assert cluster.items("secrets", "--namespace", project.namespace), "what the stack did not make stays"
