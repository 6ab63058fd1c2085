"""`slipway plan` as a user runs it."""

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from slipway.cli.plan import plan

SHOP = Path(__file__).parent.parent / "plan" / "programs" / "shop"
SHARE = "its share of a node has no list price; give vcpu_usd_per_hour and memory_gib_usd_per_hour in rates.yaml"


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
        ["prod:", "5", "resources", "in", "1", "component"],
        [],
        ["Cost", "a", "month", "USD", "Of"],
        ["front", "unknown", "3", "x", "a", "pod:", *SHARE.split()],
        ["total", "unknown", "without", "traffic,", "requests", "and", "vendors'", "tokens"],
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
    costs = json.loads(result.stdout)["cost"]
    assert (costs["before"]["unknown"], costs["after"]["unknown"]) == (["front-server"], ["front-server"])


def test_the_cost_by_ones_own_rates(tmp_path: Path, changed: Path, base: Path) -> None:
    for shop in (tmp_path / "priced", changed):
        if shop != changed:
            shutil.copytree(SHOP, shop)
        front = shop / "program" / "front.py"
        asked = '"image": image, "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}'
        front.write_text(front.read_text().replace('"image": image}]', f"{asked}]"))
    rates = tmp_path / "priced" / "rates.yaml"
    rates.write_text("vcpu_usd_per_hour: 0.05\nmemory_gib_usd_per_hour: 0.05\n")
    # 0.1 an hour x 730 x 3. Beside Pulumi.yaml the file is found.
    assert (
        "front         $219  3 x a pod of 1 CPUs and 1 GiB: your own prices" in run("-s", "prod", "-C", str(rates.parent)).stdout
    )
    told = json.loads(run("-s", "prod", "-C", str(changed), "--rates", str(rates), "--json").stdout)["cost"]
    assert (told["currency"], told["least"], told["most"], told["unknown"]) == ("USD", 365.0, 365.0, [])
    (component,) = told["components"]
    assert (component["name"], component["lines"][0]["leastCount"], component["lines"][0]["usdPerHour"]) == ("front", 5, 0.1)
    old = tmp_path / "old.json"
    old.write_text(run("-s", "prod", "-C", str(rates.parent), "--json").stdout)
    against = run("-s", "prod", "-C", str(changed), "--against", str(old), "--rates", str(rates)).stdout
    assert "cost a month of front: $219 -> $365 (+$146)\ncost a month: $219 -> $365 (+$146)\nprod: " in against


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
        (["-s", "dev", "--rates", "none.yaml"], "--rates: none.yaml cannot be read: No such file"),
        (["-s", "dev", "--rates", str(SHOP / "Pulumi.yaml")], "Pulumi.yaml cannot be used, "),
        (["-s", "dev", "--against", "nowhere.json"], "nowhere.json cannot be read: No such file"),
        (["-s", "dev", "--against", str(SHOP / "Pulumi.yaml")], "Pulumi.yaml is not a plan as"),
    ],
)
def test_bad_input_is_one_clear_error(args: list[str], said: str) -> None:
    result = run(*args, "-C", str(SHOP))
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_the_guide_shows_what_the_shipped_stack_costs(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    page = (root / "docs" / "costs.md").read_text()
    told = page[page.index("slipway plan -s prod --rates") :]
    table = told[told.index("```text\n") + 8 :].split("```")[0]
    rates = tmp_path / "rates.yaml"
    rates.write_text(told[told.index("```yaml\n") + 8 :].split("```")[0])
    shown = run("-s", "prod", "-C", str(root), "--rates", str(rates)).stdout
    assert [line.rstrip() for line in shown[shown.index("Cost a month") :].splitlines()] == table.splitlines()
