"""kube-score and checkov on manifests: what they find, and why one of them cannot be asked.

kube-score is built by `make cluster`, at the version that tools/lint pins; checkov has an environment of its own, made by
`make policy` from requirements.txt, since it wants other versions than we do of much that we use.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from tests.cluster.tools import folder

HERE = Path(__file__).parent
CHECKOV = HERE / ".venv" / "bin" / "checkov"
CRITICAL = 1
"""kube-score's grade of what it calls critical."""
WAIVERS: Mapping[str, Mapping[str, str]] = yaml.safe_load((HERE / "waivers.yaml").read_text())
Findings = dict[str, set[str]]
"""By the check's name: what it was found of."""


def missing() -> str | None:
    """Why there is nothing to ask, and what to do."""
    if not kube_score().exists():
        return "kube-score is not built: run `make cluster` first"
    return None if CHECKOV.exists() else "checkov is not installed: run `make policy` first"


def kube_score() -> Path:
    return folder() / "kube-score"


def scored(text: str) -> Findings:
    """What kube-score finds critical. Custom resources it does not know, and passes over."""
    done = subprocess.run(
        [str(kube_score()), "score", "--output-format=json", "-"],
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found: Findings = {}
    for scored_object in cast("list[dict[str, Any]]", json.loads(done.stdout)):
        for check in scored_object["checks"]:
            if check["grade"] == CRITICAL and not check["skipped"]:
                found.setdefault(check["check"]["id"], set()).add(scored_object["object_name"])
    return found


def checked(texts: Mapping[str, str]) -> Findings:
    """What checkov finds wrong of several manifests, by one run: it takes longer to start than to look."""
    with tempfile.TemporaryDirectory() as directory:
        for name, text in texts.items():
            (Path(directory) / f"{name}.yaml").write_text(text)
        command = [
            str(CHECKOV),
            "--directory",
            directory,
            "--framework",
            "kubernetes",
            "--quiet",
            "--compact",
            "--output",
            "json",
        ]
        done = subprocess.run(
            # It would ask its maker's service for guides and severities.
            [*command, "--skip-download"],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "LOG_LEVEL": "ERROR"},
        )
        report = json.loads(done.stdout)
    found: Findings = {}
    for failed in report["results"]["failed_checks"]:
        found.setdefault(failed["check_id"], set()).add(f"{Path(failed['file_path']).stem}: {failed['resource']}")
    return found


def unwaived(scanner: str, findings: Findings) -> Findings:
    """Without what is meant."""
    return {check: where for check, where in findings.items() if check not in WAIVERS[scanner]}
