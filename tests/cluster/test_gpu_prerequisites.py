"""What Helm makes of NVIDIA's chart for GpuPrerequisites, applied where the component's own namespace is: taken, and rolled out.

Skipped without `helm` and the chart, as tests/infra/kubernetes/test_gpu_prerequisites_chart.py says. What the operator itself
would then make on the nodes is not shown: its pod is played.
"""

from pathlib import Path

import pytest
import yaml
from tests.cluster.cases import Manifests, program
from tests.cluster.cluster import Cluster, eventually
from tests.infra.kubernetes.test_gpu_prerequisites_chart import CHART, MISSING, chosen, templated

from slipway import GpuPrerequisites

pytestmark = [pytest.mark.skipif(MISSING is not None, reason=MISSING or ""), pytest.mark.timeout(300)]
HOME = "gpu-operator"


def test_the_charts_objects_are_taken_and_rolled_out_in_the_namespace_made_for_them(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(program(lambda: GpuPrerequisites("gpus", {"repository": "https://charts.example.com/nvidia"})).text)
    for folder in (CHART / "crds", CHART / "charts" / "node-feature-discovery" / "crds"):
        for file in sorted(folder.glob("*.yaml")):
            cluster.create(*filter(None, yaml.safe_load_all(file.read_text())))
    made = templated(tmp_path, chosen(shared_replicas=4))
    # Jobs before an upgrade and after a deletion are no part of an installation.
    installed = [o for o in made if "helm.sh/hook" not in o["metadata"].get("annotations", {})]
    text = "---\n".join(yaml.safe_dump(o) for o in installed)
    eventually(lambda: cluster.run("apply", "--server-side", "--filename=-", stdin=text).returncode == 0, seconds=60)
    workloads = Manifests({str(i): yaml.safe_dump(o) for i, o in enumerate(installed)}).of("Deployment", "DaemonSet")
    assert {w["kind"] for w in workloads} == {"Deployment", "DaemonSet"}
    for workload in workloads:
        name = f"{workload['kind'].lower()}/{workload['metadata']['name']}"
        cluster.kubectl("rollout", "status", name, "--namespace", HOME, "--timeout=90s", timeout=100)
    # Nodes with GPUs too, whose taint keeps others off.
    nodes = {pod["spec"]["nodeName"] for pod in cluster.items("pods", "--namespace", HOME)}
    assert any(node.startswith("gpu-") for node in nodes)
    assert cluster.get("clusterpolicy", "cluster-policy")["spec"]["devicePlugin"]["config"]["default"] == "whole"
    cluster.kubectl("delete", "namespace", HOME, "--wait=false")
