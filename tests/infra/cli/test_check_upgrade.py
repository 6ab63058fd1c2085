"""`slipway check-upgrade` as a user runs it."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from slipway.cli import app

SHOP = Path(__file__).parent.parent / "plan" / "programs" / "shop"


def run(*args: str) -> Result:
    return CliRunner().invoke(app, ["check-upgrade", *args])


@pytest.fixture
def released(tmp_path: Path) -> str:
    file = tmp_path / "released.json"
    file.write_text(CliRunner().invoke(app, ["plan", "-s", "prod", "-C", str(SHOP), "--json"]).stdout)
    return str(file)


@pytest.fixture
def renamed(tmp_path: Path) -> str:
    """A copy of the project whose Service has another logical name."""
    shop = Path(shutil.copytree(SHOP, tmp_path / "shop"))
    front = shop / "program" / "front.py"
    front.write_text(front.read_text().replace('f"{name}-service"', 'f"{name}-web"'))
    return str(shop)


def test_the_same_again_loses_nothing(released: str) -> None:
    result = run(released, "-s", "prod", "-C", str(SHOP))
    assert (result.exit_code, result.stdout) == (0, "prod: nothing is lost\n")


def test_a_loss_is_told_and_ends_with_1(released: str, renamed: str) -> None:
    result = run(released, "-s", "prod", "-C", renamed)
    assert result.exit_code == 1
    first, last = result.stdout.splitlines()
    assert first == (
        "front-service (Service) is deleted, with the address that it holds; if it is 'front-web' now, say so with an alias"
    )
    assert last == "prod: 1 loss"


def test_a_loss_that_is_meant_is_allowed_by_name(released: str, renamed: str) -> None:
    result = run(released, "-s", "prod", "-C", renamed, "--allow", "front-service")
    assert (result.exit_code, result.stdout) == (0, "prod: nothing is lost, 1 allowed\n")


def test_programs_get_json(released: str, renamed: str) -> None:
    result = run(released, "-s", "prod", "-C", renamed, "--json")
    assert result.exit_code == 1
    (loss,) = json.loads(result.stdout)["losses"]
    assert (loss["name"], loss["holds"], loss["replaced"], loss["paths"]) == ("front-service", "address", False, [])
    assert json.loads(run(released, "-s", "prod", "-C", str(SHOP), "--json").stdout) == {"losses": []}


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["nowhere.json", "-s", "prod"], "PLAN: nowhere.json cannot be read: No such file"),
        ([str(SHOP / "Pulumi.yaml"), "-s", "prod"], "Pulumi.yaml is not a plan as"),
    ],
)
def test_what_is_no_plan_is_bad_input(args: list[str], reason: str) -> None:
    result = run(*args, "-C", str(SHOP))
    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr


def test_an_allowance_for_what_is_not_lost_is_bad_input(released: str) -> None:
    result = run(released, "-s", "prod", "-C", str(SHOP), "--allow", "front-service")
    assert result.exit_code == 2
    assert "--allow: front-service would not be lost; leave it out" in result.stderr


def test_help_says_what_it_ends_with() -> None:
    text = " ".join(run("--help").stdout.split())
    assert "Ends with 0 if so, with 1 if something would be lost, with 2 on bad input." in text
