"""`slipway plan` as a user runs it."""

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from slipway.cli.plan import plan

SHOP = Path(__file__).parent.parent / "plan" / "programs" / "shop"


def run(*args: str) -> Result:
    app = typer.Typer()
    app.command()(plan)
    return CliRunner().invoke(app, list(args))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The plan of the stack `prod` as a file."""
    file = tmp_path / "base.json"
    file.write_text(run("-s", "prod", "-C", str(SHOP), "--json").stdout)
    return file


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A copy of the project with more replicas, another queue and no service."""
    shop = Path(shutil.copytree(SHOP, tmp_path / "shop"))
    settings = shop / "settings" / "Pulumi.prod.yaml"
    settings.write_text(settings.read_text().replace('"3"', "5"))
    program = shop / "program" / "__main__.py"
    program.write_text(program.read_text().replace('Queue("archive"', 'Queue("store"'))
    front = shop / "program" / "front.py"
    front.write_text(front.read_text().replace("labels = ", "print('hello')\n        labels = "))
    return shop


def test_a_tree_with_counts() -> None:
    result = run("-s", "prod", "-C", str(SHOP))
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines == [
        ["Resource", "Type", "Notes"],
        ["archive", "aws:sqs/queue:Queue", "protected"],
        ["front", "shop:index:Front"],
        ["front-server", "kubernetes:apps/v1:Deployment"],
        ["front-service", "kubernetes:core/v1:Service"],
        ["shop", "kubernetes:core/v1:Namespace"],
        ["token", "kubernetes:core/v1:Secret"],
        ["prod:", "5", "resources", "in", "1", "components"],
    ]
    assert "\n  front-server " in result.stdout
    assert "environment (team/prod) is skipped" in result.stderr


def test_json_is_one_object_on_standard_output(base: Path) -> None:
    data = json.loads(base.read_text())
    assert (data["project"], data["stack"], len(data["resources"])) == ("shop", "prod", 6)


def test_no_difference(base: Path) -> None:
    result = run("-s", "prod", "-C", str(SHOP), "--against", str(base), "--exit-code")
    assert (result.exit_code, result.stdout) == (0, "prod: no change\n")


def test_differences_by_path(base: Path, changed: Path) -> None:
    result = run("-s", "prod", "-C", str(changed), "--against", str(base))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "- archive (aws:sqs/queue:Queue)",
        "+ store (aws:sqs/queue:Queue)",
        "~ front-server (kubernetes:apps/v1:Deployment)",
        "    inputs.spec.replicas: 3 -> 5",
        "~ front (shop:index:Front)",
        "    inputs.replicas: 3 -> 5",
        "prod: 1 added, 2 changed, 1 deleted",
    ]
    assert "hello" in result.stderr


def test_differences_as_json_and_as_an_exit_code(base: Path, changed: Path) -> None:
    result = run("-s", "prod", "-C", str(changed), "--against", str(base), "--json", "--exit-code")
    assert result.exit_code == 1
    changes = {c["name"]: c for c in json.loads(result.stdout)["changes"]}
    assert changes["front"]["paths"] == [{"path": "inputs.replicas", "old": 3, "new": 5}]
    assert (changes["archive"]["kind"], changes["store"]["kind"]) == ("deleted", "added")


def test_lost_data_is_said(tmp_path: Path, base: Path) -> None:
    shop = Path(shutil.copytree(SHOP, tmp_path / "shop"))
    program = shop / "program" / "__main__.py"
    program.write_text(program.read_text().replace('{"name": "shop"}', '{"name": "store"}'))
    out = run("-s", "prod", "-C", str(shop), "--against", str(base)).stdout
    assert "~ shop (kubernetes:core/v1:Namespace) is replaced and its data is lost\n" in out
    program.write_text("")
    out = run("-s", "prod", "-C", str(shop), "--against", str(base)).stdout
    assert "- shop (kubernetes:core/v1:Namespace) holds data that is lost\n" in out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["-s", "live"], "there is no stack 'live' in project 'shop'; there are dev, prod"),
        (["-s", "dev", "--exit-code"], "--exit-code goes with --against"),
        (["-s", "dev", "--against", "nowhere.json"], "nowhere.json cannot be read: No such file"),
        (["-s", "dev", "--against", str(SHOP / "Pulumi.yaml")], "Pulumi.yaml is not a plan as"),
    ],
)
def test_bad_input_is_one_clear_error(args: list[str], said: str) -> None:
    result = run(*args, "-C", str(SHOP))
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr
