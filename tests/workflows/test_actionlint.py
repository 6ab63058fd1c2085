"""The workflows by actionlint, which knows GitHub's syntax, its contexts and the types of its expressions."""

import subprocess
from pathlib import Path

import pytest
from tests.cluster import tools

WORKFLOWS = sorted((Path(__file__).parents[2] / ".github" / "workflows").glob("*.y*ml"))
WRONG = """
on: push
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - run: echo ${{ github.evnt.number }}
"""

pytestmark = pytest.mark.skipif(tools.missing() is not None, reason=tools.missing() or "")


def lint(*files: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(tools.folder() / "actionlint"), "-no-color", "-shellcheck=", "-pyflakes=", *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_it_finds_nothing() -> None:
    assert WORKFLOWS
    done = lint(*WORKFLOWS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_would_find_a_context_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(WRONG)
    done = lint(tmp_path / "wrong.yaml")
    assert done.returncode == 1
    assert 'property "evnt" is not defined' in done.stdout
