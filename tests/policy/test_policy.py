"""kube-score and checkov find nothing critical of any stack, example or component, but what waivers.yaml says is meant."""

from pathlib import Path
from typing import Any

import pytest
from tests.cluster.cases import EXAMPLES, SHIPPED, Manifests, example, shipped
from tests.cluster.components import PROGRAMS, two
from tests.policy.scanners import WAIVERS, Findings, checked, missing, scored, unwaived

pytestmark = pytest.mark.timeout(600)
LOOSE = """
apiVersion: v1
kind: Pod
metadata: {name: loose, namespace: ai}
spec: {hostNetwork: true, containers: [{name: c, image: "any:latest", securityContext: {privileged: true}}]}
"""


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifests]:
    if reason := missing():
        pytest.skip(reason)

    def place() -> Path:
        return tmp_path_factory.mktemp("case") / "rendered"

    made = {f"stack-{name}": shipped(name, place()) for name in SHIPPED}
    made |= {f"example-{name}": example(name, place()) for name in EXAMPLES}
    return made | {f"component-{i}": two(component, "ns") for i, component in enumerate(PROGRAMS)}


@pytest.fixture(scope="module")
def findings(manifests: dict[str, Manifests]) -> dict[str, Findings]:
    texts = {name: made.text for name, made in manifests.items()}
    scores: Findings = {}
    for name, text in texts.items():
        for check, where in scored(text).items():
            scores.setdefault(check, set()).update(f"{name}: {one}" for one in where)
    return {"kube-score": scores, "checkov": checked(texts)}


@pytest.mark.parametrize("scanner", WAIVERS)
def test_nothing_critical_is_found_but_what_is_meant(findings: dict[str, Findings], scanner: str) -> None:
    assert unwaived(scanner, findings[scanner]) == {}


@pytest.mark.parametrize("scanner", WAIVERS)
def test_every_waiver_is_needed_and_has_a_reason(findings: dict[str, Findings], scanner: str) -> None:
    assert WAIVERS[scanner].keys() <= findings[scanner].keys()
    assert all(len(reason) > 20 for reason in WAIVERS[scanner].values())


def test_they_find_what_is_wrong() -> None:
    if reason := missing():
        pytest.skip(reason)
    assert {"container-security-context-privileged", "container-image-tag"} <= unwaived("kube-score", scored(LOOSE)).keys()
    assert {"CKV_K8S_16", "CKV_K8S_19"} <= unwaived("checkov", checked({"loose": LOOSE})).keys()


def test_disks_are_bounded_as_the_waiver_says(manifests: dict[str, Manifests]) -> None:
    seen = 0
    for made in manifests.values():
        for workload in made.of("Deployment", "StatefulSet", "DaemonSet", "Job"):
            spec: dict[str, Any] = workload["spec"]["template"]["spec"]
            for container in [*spec.get("initContainers", []), *spec["containers"]]:
                assert container["securityContext"]["readOnlyRootFilesystem"] is True, container["name"]
            for volume in spec.get("volumes", []):
                if "emptyDir" in volume:
                    assert "sizeLimit" in volume["emptyDir"], f"{workload['metadata']['name']}: {volume['name']}"
                    seen += 1
    assert seen > 20
