"""What is applied to the test cluster: every stack and every example with objects of Kubernetes, and programs of a test's."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from tests.cluster.cluster import Cluster, eventually
from tests.support.crds import OUTLINES, SOURCES, definition, given_definitions

from slipway.plan import plan_program
from slipway.plan.render import render

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(p.name.split(".")[1] for p in (ROOT / "stacks").glob("Pulumi.*.yaml") if "place: kubernetes" in p.read_text())
"""Stacks that ship and run in Kubernetes."""
EXAMPLES = sorted(
    p.parent.name
    for p in (ROOT / "examples").glob("*/__main__.py")
    if any(
        component in p.read_text()
        for component in (
            "AiApiService",
            "GpuModelServer",
            "ObservabilityStack",
            "PostgresDatabase",
            "RedisCache",
            "TrainingJob",
            "WorkerPool",
            "pulumi_kubernetes",
        )
    )
)
"""Examples with objects of Kubernetes."""
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job")
Object = dict[str, Any]


@dataclass(frozen=True)
class Manifests:
    """Manifests in the order in which to apply them."""

    files: Mapping[str, str]

    @property
    def text(self) -> str:
        return "---\n".join(self.files.values())

    @property
    def objects(self) -> list[Object]:
        return [cast("Object", yaml.safe_load(text)) for text in self.files.values()]

    def of(self, *kinds: str) -> list[Object]:
        """Those of some kinds."""
        return [o for o in self.objects if o["kind"] in kinds]

    @property
    def namespaces(self) -> set[str]:
        return {o["metadata"]["namespace"] for o in self.objects if "namespace" in o["metadata"]}

    def secrets(self) -> dict[tuple[str, str], set[str]]:
        """Secrets that the pods refer to, by namespace and name, with the keys that they need."""
        found: dict[tuple[str, str], set[str]] = {}
        for workload in self.of(*WORKLOADS):
            for key, value in _walk(workload):
                namespace = workload["metadata"]["namespace"]
                if key == "secretKeyRef":
                    found.setdefault((namespace, value["name"]), set()).add(value["key"])
                elif key == "secret" and "secretName" in value:
                    keys = {item["key"] for item in value.get("items", ())}
                    found.setdefault((namespace, value["secretName"]), set()).update(keys)
        return found


def shipped(stack: str, folder: Path) -> Manifests:
    """What `slipway render` writes for a stack that ships."""
    return _rendered(ROOT, stack, folder)


def example(name: str, folder: Path) -> Manifests:
    """What `slipway render` writes for an example, in a namespace of its own where its Pulumi.yaml lets one choose: all of them
    stand in one cluster, and two may have a model server of one name."""
    project = project_of(name, folder)
    described: Object = yaml.safe_load((project / "Pulumi.yaml").read_text())
    if "namespace" in described.get("config", {}):
        chosen = {f"{described['name']}:namespace": name.replace("_", "-")}
        (project / "Pulumi.test.yaml").write_text(yaml.safe_dump({"config": chosen}))
    return _rendered(project, "test", folder / "rendered")


def project_of(name: str, folder: Path) -> Path:
    """A copy of an example, with a stack `test` of nothing but defaults."""
    copy = folder / "project"
    shutil.copytree(ROOT / "examples" / name, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "Pulumi.test.yaml").write_text("config: {}\n")
    return copy


def program(declare: Callable[[], object]) -> Manifests:
    """The manifests of a program of the test's."""
    return Manifests(render(plan_program(declare)).files)


def _rendered(project: Path, stack: str, folder: Path) -> Manifests:
    command = [sys.executable, "-m", "slipway", "render", "-C", str(project), "-s", stack, "-o", str(folder), "--skip-secrets"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return Manifests({file.name: file.read_text() for file in sorted(folder.glob("*.yaml"))})


def define(cluster: Cluster, *kinds: str) -> None:
    """Make the definitions of custom resources, as their operators' installation does."""
    definitions = [definition(kind) for kind in kinds] + given_definitions()
    if definitions:
        cluster.create(*definitions)
        names = [f"crd/{d['metadata']['name']}" for d in definitions]
        # For a moment after it was made a definition has no conditions at all, which kubectl takes for a failure.
        wait = ("wait", "--for=condition=Established", *names, "--timeout=10s")
        eventually(lambda: cluster.run(*wait).returncode == 0, seconds=60, what=f"established {', '.join(names)}")


def prepare(cluster: Cluster, manifests: Manifests) -> None:
    """Make what a user makes beforehand: definitions of custom resources, namespaces at the restricted level that the manifests
    do not bring, and Secrets."""
    define(cluster, *sorted({o["kind"] for o in manifests.objects if o["apiVersion"] not in OUTLINES} & SOURCES.keys()))
    brought = {o["metadata"]["name"]: yaml.safe_dump(o) for o in manifests.of("Namespace")}
    for name in sorted(manifests.namespaces):
        if name in brought:
            cluster.apply(brought[name])
            eventually(lambda n=name: cluster.run("get", "--namespace", n, "serviceaccount/default").returncode == 0)
        else:
            cluster.namespace(name)
    for (namespace, name), keys in manifests.secrets().items():
        meta = {"name": name, "namespace": namespace}
        cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": dict.fromkeys(keys, "not-a-key")})


def roll_out(cluster: Cluster, manifests: Manifests, seconds: int = 60) -> None:
    """Wait until every workload runs what was applied, and nothing else. Jobs are waited for: kwok has their pods succeed."""
    for workload in manifests.of(*WORKLOADS):
        kind, meta = workload["kind"].lower(), workload["metadata"]
        how = ("wait", "--for=condition=Complete") if kind == "job" else ("rollout", "status")
        wait = (*how, f"{kind}/{meta['name']}", "--namespace", meta["namespace"], f"--timeout={seconds}s")
        cluster.kubectl(*wait, timeout=seconds + 10)
    for scaler in manifests.of("HorizontalPodAutoscaler"):
        # A Deployment that leaves its number to an autoscaler begins with one pod.
        spec, namespace = scaler["spec"], scaler["metadata"]["namespace"]
        target = (spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"], "--namespace", namespace)
        eventually(
            lambda t=target, n=spec["minReplicas"]: cluster.get(*t)["status"].get("readyReplicas", 0) >= n,
            seconds=seconds,
            what=f"{spec['minReplicas']} replicas by {scaler['metadata']['name']}",
        )


def pods_of(cluster: Cluster, workload: Object) -> list[Object]:
    """The pods that a workload's selector finds; Kubernetes itself makes that of a Job."""
    one_job = {"batch.kubernetes.io/job-name": workload["metadata"]["name"]}
    selected = one_job if workload["kind"] == "Job" else workload["spec"]["selector"]["matchLabels"]
    labels = ",".join(f"{key}={value}" for key, value in selected.items())
    return cluster.items("pods", "--namespace", workload["metadata"]["namespace"], f"--selector={labels}")


def mounted(pods: Iterable[Object]) -> set[str]:
    """The ConfigMaps that pods mount."""
    return {volume["configMap"]["name"] for pod in pods for volume in pod["spec"]["volumes"] if "configMap" in volume}


def missing_references(cluster: Cluster, workload: Object) -> list[str]:
    """What a workload's pods need by name and is not there: no kubelet would tell, as none runs."""
    namespace, spec = workload["metadata"]["namespace"], workload["spec"]["template"]["spec"]
    told: list[str] = []
    needs = {("serviceaccount", spec.get("serviceAccountName", "default"))}
    for key, value in _walk(spec):
        match key:
            case "secretKeyRef":
                needs.add(("secret", value["name"]))
            case "configMapKeyRef" | "configMap":
                needs.add(("configmap", value["name"]))
            case "secret" if "secretName" in value:
                needs.add(("secret", value["secretName"]))
            case "persistentVolumeClaim":
                needs.add(("persistentvolumeclaim", value["claimName"]))
            case "imagePullSecrets":
                needs |= {("secret", entry["name"]) for entry in value}
            case _:
                pass
    for kind, name in sorted(needs):
        if cluster.run("get", "--namespace", namespace, f"{kind}/{name}").returncode:
            told.append(f"{workload['metadata']['name']} needs {kind} {name}")
    return told


def _walk(value: object) -> Iterator[tuple[str, Any]]:
    """Every key with its value, however deep."""
    if isinstance(value, Mapping):
        for key, item in cast("Mapping[str, Any]", value).items():
            yield key, item
            yield from _walk(item)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _walk(item)
