"""The shipped stacks' manifests, as `slipway render` writes them. What a cluster makes of them is proven in tests/cluster."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from slipway.cli import app

ROOT = Path(__file__).parents[2]
VERSION = "1.36"


def rendered(stack: str, folder: Path) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["render", "-s", stack, "-o", str(folder), "-C", str(ROOT)])
    assert done.exit_code == 0, done.stderr
    return {file.name: yaml.safe_load(file.read_text()) for file in sorted(folder.glob("*.yaml"))}


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_every_manifest_passes_kubernetes_published_schema_strictly(stack: str, tmp_path: Path) -> None:
    manifests = rendered(stack, tmp_path / "out")
    assert len(manifests) >= 10
    custom = [m["kind"] for m in manifests.values() if not _published(m["apiVersion"])]
    assert custom == [], "these have their operator's schema, and are validated against that in tests/cluster"
    for manifest in manifests.values():
        assert kubernetes_validate.validate(manifest, VERSION, strict=True) == VERSION


def _published(api_version: str) -> bool:
    group = api_version.rpartition("/")[0]
    return "." not in group or group.endswith(".k8s.io")


def test_the_check_sees_a_misspelled_field(tmp_path: Path) -> None:
    deployment = next(m for m in rendered("dev", tmp_path / "out").values() if m["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 30
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSION, strict=True)


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    rendered("prod", tmp_path / "one")
    # The other in a process of its own, where sets have another order.
    command = [sys.executable, "-m", "slipway", "render", "-s", "prod", "-o", str(tmp_path / "two"), "-C", str(ROOT)]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, timeout=120, check=True)
    one = {f.name: f.read_bytes() for f in (tmp_path / "one").iterdir() if f.is_file()}
    assert one
    assert one == {f.name: f.read_bytes() for f in (tmp_path / "two").iterdir() if f.is_file()}
