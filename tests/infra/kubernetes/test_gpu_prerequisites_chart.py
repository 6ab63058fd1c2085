"""GpuPrerequisites by NVIDIA's own chart, rendered by Helm: each value is one that the chart has, and does what is meant.

Neither is part of the project: `helm` must be on PATH (its Go module is helm.sh/helm/v3/cmd/helm), and GPU_OPERATOR_CHART name
the folder deployments/gpu-operator of NVIDIA/gpu-operator at the default version. What the operator then does on nodes is not
proven.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import kubernetes_validate
import pytest
import yaml
from tests.support.crds import crd_faults

from slipway.kubernetes.gpu_prerequisites import values
from slipway.kubernetes.gpu_prerequisites_args import NAME_LENGTH, GpuPrerequisitesArgs, PrerequisiteSettings

CHART = Path(os.environ.get("GPU_OPERATOR_CHART", "nonexistent"))
MISSING = next(
    (
        reason
        for found, reason in (
            (shutil.which("helm"), "no helm on PATH: build helm.sh/helm/v3/cmd/helm"),
            ((CHART / "Chart.yaml").exists(), "GPU_OPERATOR_CHART is not the folder of NVIDIA's chart"),
        )
        if not found
    ),
    None,
)
pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")
# A user's own keys of the chart, where a value has more than the chart names.
FREE = {"devicePlugin.config.data"}
LONGEST = 63
"""Of a Job's name, which is a label of its pods, and of a Service's."""


def chosen(name: str = "gpus", **more: Any) -> dict[str, Any]:
    args: Any = {"repository": "https://charts.example.com/nvidia", **more}
    return values(name, PrerequisiteSettings.of(name, cast("GpuPrerequisitesArgs", args)))


def templated(folder: Path, given: Mapping[str, Any], name: str = "gpus") -> list[dict[str, Any]]:
    """What Helm makes of the chart with these values."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(dict(given)))
    command = ["helm", "template", name, str(CHART), "--namespace", "gpu-operator", "--values", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [o for o in yaml.safe_load_all(done.stdout) if o]


def one(objects: list[dict[str, Any]], kind: str, name: str | None = None) -> dict[str, Any]:
    (found,) = [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]
    return found


def paths(given: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    """Every value with its path."""
    for key, value in given.items():
        path = f"{above}.{key}".removeprefix(".")
        if isinstance(value, Mapping) and path not in FREE:
            yield from paths(cast("Mapping[str, Any]", value), path)
        else:
            yield path, value


def test_every_value_is_one_that_the_chart_has() -> None:
    known: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    for path, value in paths(chosen(shared_replicas=4)):
        default: Any = known
        for key in path.split("."):
            assert key in default, f"{path} is not in the chart's values"
            default = default[key]
        assert type(value) is type(default), f"{path} is {value!r}, and the chart's own is {default!r}"


def test_each_argument_arrives_where_the_operator_reads_it(tmp_path: Path) -> None:
    usual = templated(tmp_path, chosen())
    policy = one(usual, "ClusterPolicy")["spec"]
    assert (policy["driver"]["enabled"], policy["toolkit"]["enabled"], policy["mig"]["strategy"]) == (True, True, "mixed")
    assert (policy["dcgmExporter"]["enabled"], policy["dcgmExporter"]["serviceMonitor"]["enabled"]) == (True, False)
    assert policy["devicePlugin"]["config"] == {"name": "gpus-device-plugin", "default": "whole"}
    # Nodes with GPUs have this taint, by which model servers alone come to them.
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in policy["daemonsets"]["tolerations"]
    told = chosen(driver=False, toolkit=False, shared_replicas=4, service_monitor=True)
    other = templated(tmp_path, told)
    policy = one(other, "ClusterPolicy")["spec"]
    assert (policy["driver"]["enabled"], policy["toolkit"]["enabled"]) == (False, False)
    assert policy["dcgmExporter"]["serviceMonitor"]["enabled"] is True
    data = one(other, "ConfigMap", "gpus-device-plugin")["data"]
    written = told["devicePlugin"]["config"]["data"]
    assert {key: yaml.safe_load(text) for key, text in data.items()} == {k: yaml.safe_load(t) for k, t in written.items()}
    assert set(one(usual, "ConfigMap", "gpus-device-plugin")["data"]) == {"whole"}


def test_kubernetes_takes_what_it_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_CRDS", str(CHART / "crds"))
    made = templated(tmp_path, chosen(shared_replicas=4, driver=False))
    policy = one(made, "ClusterPolicy")
    assert crd_faults(policy) == []
    policy["spec"]["devicePlugin"]["configuration"] = {}
    assert crd_faults(policy) != [], "the definition is not looked at"
    for other in made:
        if other["kind"] != "ClusterPolicy":
            kubernetes_validate.validate(other, "1.36", strict=True)


@pytest.mark.parametrize(("length", "fits"), [(NAME_LENGTH, True), (NAME_LENGTH + 1, False)])
def test_the_longest_name_is_the_longest_that_the_charts_jobs_can_bear(length: int, fits: bool, tmp_path: Path) -> None:
    name = "g" * length
    made = templated(tmp_path, chosen("gpus"), name)
    longest = max(len(o["metadata"]["name"]) for o in made if o["kind"] in ("Job", "Service"))
    assert (longest <= LONGEST) is fits
