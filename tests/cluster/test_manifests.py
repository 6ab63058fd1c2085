"""Every stack and every example on a real API server, in namespaces at the restricted level of Pod Security.

It proves what the API server, the scheduler and the controllers make of the manifests. It does not prove that a container
starts: kwok plays the pods.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cluster import checks
from tests.cluster.cases import EXAMPLES, SHIPPED, WORKLOADS, Manifests, example, pods_of, prepare, roll_out, shipped
from tests.cluster.cluster import Cluster

pytestmark = pytest.mark.timeout(900)

CASES = [*(f"stack-{name}" for name in SHIPPED), *(f"example-{name}" for name in EXAMPLES)]


@pytest.fixture(scope="module", params=CASES)
def manifests(request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """Applied as `slipway render` and a user's kubectl would, and rolled out."""
    kind, _, name = str(request.param).partition("-")
    made: Callable[[str, Path], Manifests] = shipped if kind == "stack" else example
    manifests = made(name, tmp_path_factory.mktemp("case") / "rendered")
    prepare(cluster, manifests)
    cluster.apply(manifests.text)
    roll_out(cluster, manifests)
    return manifests


def test_there_are_cases() -> None:
    assert {"stack-dev", "stack-staging", "stack-prod", "example-model_on_gpus", "example-api_in_front_of_openai"} <= set(CASES)


def test_every_workload_runs_as_many_pods_as_it_asks_for_and_all_that_they_refer_to_is_there(
    cluster: Cluster, manifests: Manifests
) -> None:
    checks.complete(cluster, manifests)


def test_the_namespace_refuses_what_is_not_restricted(cluster: Cluster, manifests: Manifests) -> None:
    checks.restricted(cluster, manifests)


def test_applying_again_changes_nothing(cluster: Cluster, manifests: Manifests) -> None:
    checks.steady(cluster, manifests)


def test_every_service_has_the_pods_of_its_workload_and_no_others(cluster: Cluster, manifests: Manifests) -> None:
    checks.separate(cluster, manifests)


def test_pods_with_gpus_are_on_nodes_of_the_product_that_they_ask_for(cluster: Cluster, manifests: Manifests) -> None:
    nodes = {node["metadata"]["name"]: node["metadata"]["labels"] for node in cluster.items("nodes")}
    # Agents are on every node.
    for workload in manifests.of(*set(WORKLOADS) - {"DaemonSet"}):
        for pod in pods_of(cluster, workload):
            gpus = [c.get("resources", {}).get("limits", {}).get("nvidia.com/gpu") for c in pod["spec"]["containers"]]
            product = pod["spec"].get("nodeSelector", {}).get("nvidia.com/gpu.product")
            assert nodes[pod["spec"]["nodeName"]].get("nvidia.com/gpu.product") == product
            assert bool(product) == any(gpus)


def test_claims_are_bound(cluster: Cluster, manifests: Manifests) -> None:
    for workload in manifests.of("StatefulSet"):
        claims = cluster.items("persistentvolumeclaims", "--namespace", workload["metadata"]["namespace"])
        own = [c for c in claims if f"-{workload['metadata']['name']}-" in c["metadata"]["name"]]
        # Where an autoscaler says how many, Kubernetes begins with one.
        assert len(own) == workload["spec"].get("replicas", 1) * len(workload["spec"]["volumeClaimTemplates"])
        assert {c["status"]["phase"] for c in own} == {"Bound"}
