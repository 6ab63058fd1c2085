"""The workflows: valid, safe by zizmor's rules, and calling what is there."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from slipway.plan.review import MARKER, app

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))


def steps(name: str) -> list[dict[str, Any]]:
    data = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    return [step for job in data["jobs"].values() for step in job["steps"]]


def commands(name: str) -> list[str]:
    return [step["run"] for step in steps(name) if "run" in step]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda f: f.name)
def test_every_action_is_pinned_by_commit_and_every_job_has_a_limit(file: Path) -> None:
    data = yaml.safe_load(file.read_text())
    assert data["permissions"] in ({}, {"contents": "read"})
    for job in data["jobs"].values():
        assert job["timeout-minutes"] <= 30
        for step in job["steps"]:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step.get("uses", "a/b@" + "0" * 40))


def test_zizmor_finds_nothing() -> None:
    zizmor = Path(sys.executable).parent / "zizmor"
    done = subprocess.run([zizmor, "--offline", "--quiet", ROOT / ".github"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ci_runs_the_test_command_of_the_readme_on_every_python() -> None:
    data = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yaml").read_text())
    assert data["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert ".ci/run" in commands("ci.yaml")
    assert "exec make test" in (ROOT / ".ci" / "run").read_text()
    assert re.search(r"^make test\b", (ROOT / "README.md").read_text(), re.MULTILINE)


def test_the_workflow_without_secrets_has_none_and_the_one_with_rights_runs_no_foreign_code() -> None:
    preview = yaml.safe_load((ROOT / ".github" / "workflows" / "preview.yaml").read_text())
    assert "secrets." not in str(preview["jobs"]["plan"])
    (comment,) = yaml.safe_load((ROOT / ".github" / "workflows" / "comment.yaml").read_text())["jobs"].values()
    checkouts = [s["with"]["ref"] for s in comment["steps"] if s.get("uses", "").startswith("actions/checkout@")]
    assert checkouts == ["${{ github.event.repository.default_branch }}"]
    # What a stranger chooses, such as a branch's name, reaches a shell as a variable only.
    assert not any("${{" in command for name in ("ci.yaml", "preview.yaml", "comment.yaml") for command in commands(name))


def test_the_steps_of_the_preview_run(tmp_path: Path) -> None:
    """The workflow's own command lines, on this checkout as head, and on it with two of its stacks as base."""
    stacks = sorted(p.name.split(".")[1] for p in (ROOT / "stacks").glob("Pulumi.*.yaml"))
    before = ["local", "prod"]
    (tmp_path / "head").symlink_to(ROOT)
    (tmp_path / "base" / "stacks").mkdir(parents=True)
    left_out = {"stacks", *(f"Pulumi.{name}.yaml" for name in stacks if name not in before)}
    for entry in (*ROOT.iterdir(), *(ROOT / "stacks").iterdir()):
        if entry.name not in left_out:
            (tmp_path / "base" / entry.relative_to(ROOT)).symlink_to(entry)
    review = [c for c in commands("preview.yaml") if "slipway.plan.review" in c]
    assert [c.split()[3] for c in review] == ["plans", "plans", "comment"]
    for command in review:
        arguments = [str(tmp_path / a) if "/" in a or a in ("base", "head") else a for a in command.split()[3:]]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    text = (tmp_path / "plans" / "comment.md").read_text()
    assert text.startswith(MARKER)
    assert re.findall(r"^\| <code>(\w+)</code> \| 0 \| 0 \| 0 \| [^|>]*\|$", text, re.MULTILINE) == before
    new = re.findall(r"^\| <code>(\w+)</code> \(new\) \| [1-9]\d* \| 0 \| 0 \|", text, re.MULTILINE)
    assert new == [name for name in stacks if name not in before]
