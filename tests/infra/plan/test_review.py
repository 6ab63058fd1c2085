"""What a pull request's comment says: plans of two checkouts, made as the workflow makes them."""

import re
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from slipway.plan import Plan, Resource
from slipway.plan.review import LONGEST, MARKER, Planned, app, comment, read

SHOP = Path(__file__).parent / "programs" / "shop"


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args])


def plan(*names: str, stack: str = "dev", type_: str = "a:b:C") -> Plan:
    resources = [Resource(f"urn:pulumi:{stack}::p::{type_}::{n}", type_, n, None, {}, {}) for n in names]
    return Plan("p", stack, tuple(resources))


def test_from_two_checkouts_to_the_comment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, head = (Path(shutil.copytree(SHOP, tmp_path / side)) for side in ("base", "head"))
    (base / "settings" / "Pulumi.old.yaml").write_text("config: {image: 'shop:0'}\n")
    (head / "settings" / "Pulumi.new.yaml").write_text("config: {image: 'shop:2'}\n")
    (head / "settings" / "Pulumi.broken.yaml").write_text("config: {replicas: many}\n")
    settings = head / "settings" / "Pulumi.prod.yaml"
    settings.write_text(settings.read_text().replace('"3"', "4").replace("archive: true", "archive: false"))
    # A plan under review sees nothing of what the workflow has.
    monkeypatch.setenv("PULUMI_CONFIG_SHOP_REPLICAS", "9")
    monkeypatch.setenv("GITHUB_TOKEN", "hush")
    with (head / "program" / "__main__.py").open("a") as program:
        program.write("import os\nassert 'GITHUB_TOKEN' not in os.environ\n")
    for side in (base, head):
        result = run("plans", side, tmp_path / "plans" / side.name)
        assert result.exit_code == 0
    assert "broken: failed" in result.stdout

    out = tmp_path / "comment.md"
    assert run("comment", tmp_path / "plans" / "base", tmp_path / "plans" / "head", out).exit_code == 1
    text = out.read_text()
    assert text.startswith(MARKER + "\n")
    rows = re.findall(r"^\| <code>(.*)$", text, re.MULTILINE)
    assert rows == [
        "broken</code> | cannot be planned | | | |",
        "dev</code> | 0 | 0 | 0 | unknown |",
        "new</code> (new) | 4 | 0 | 0 | unknown |",
        r"old</code> (deleted) | 0 | 0 | 4 | unknown -> \$0 |",
        "prod</code> | 0 | 2 | 1 | unknown |",
    ]
    assert "Pulumi.broken.yaml cannot be used, 2 faults:\n  config.shop:image: is required" in text
    assert "~ front-server (kubernetes:apps/v1:Deployment)\n    inputs.spec.replicas: 3 -> 4\n" in text
    assert "- <code>old</code>: <code>shop</code> (<code>kubernetes:core/v1:Namespace</code>)" in text
    assert str(tmp_path) not in text


def test_the_change_in_cost_is_told_in_all_and_by_component(tmp_path: Path) -> None:
    base, head = (Path(shutil.copytree(SHOP, tmp_path / side)) for side in ("base", "head"))
    (head / "rates.yaml").write_text("vcpu_usd_per_hour: 0.04\nmemory_gib_usd_per_hour: 0.005\n")
    for side in (base, head):
        (side / "settings" / "Pulumi.dev.yaml").unlink()
        front = side / "program" / "front.py"
        asked = '"image": image, "resources": {"requests": {"cpu": "500m", "memory": "2Gi"}}}'
        front.write_text(front.read_text().replace('"image": image}]', f"{asked}]"))
    settings = head / "settings" / "Pulumi.prod.yaml"
    settings.write_text(settings.read_text().replace('"3"', "4"))
    for side in (base, head):
        run("plans", side, tmp_path / "plans" / side.name)
    text = comment(read(tmp_path / "plans" / "base"), read(tmp_path / "plans" / "head"))
    # 0.5 x 0.04 + 2 x 0.005 = 0.03 an hour x 730 x 3, and x 4. Between two bare '$' GitHub would read a formula.
    assert r"| <code>prod</code> | 0 | 2 | 0 | \$66 -> \$88 (+\$22) |" in text
    assert "```diff\ncost a month of front: $66 -> $88 (+$22)\ncost a month: $66 -> $88 (+$22)\n~ front-server" in text
    # A file of rates that is none: said, and the prices are unknown.
    (tmp_path / "plans" / "head" / "rates.yaml").write_text("gpus: {a100: <b>}\n")
    text = comment(read(tmp_path / "plans" / "base"), read(tmp_path / "plans" / "head"))
    assert "The own rates are left out: <code>rates.yaml cannot be used, 1 fault" in text
    assert "| 0 | 2 | 0 | unknown |" in text
    assert str(tmp_path) not in text


def test_a_checkout_with_a_library_of_its_own_is_planned_by_it(tmp_path: Path) -> None:
    shop = Path(shutil.copytree(SHOP, tmp_path / "shop"))
    (shop / "infra" / "slipway" / "cli").mkdir(parents=True)
    (shop / "infra" / "slipway" / "__init__.py").write_text("")
    (shop / "infra" / "slipway" / "cli" / "__init__.py").write_text("import sys\ndef main(): sys.exit('of the checkout')\n")
    run("plans", shop, tmp_path / "out")
    assert read(tmp_path / "out").errors == {"dev": "of the checkout", "prod": "of the checkout"}


def test_a_checkout_without_a_project_has_no_stacks(tmp_path: Path) -> None:
    result = run("plans", tmp_path, tmp_path / "out")
    assert (result.exit_code, list((tmp_path / "out").iterdir())) == (0, [])
    assert "There are no stacks." in comment(Planned({}, {}), Planned({}, {}))


def test_a_project_that_cannot_be_read_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("runtime: go\n")
    run("plans", tmp_path, tmp_path / "out")
    assert "(project)" in read(tmp_path / "out").errors
    assert "| <code>(project)</code> | cannot be planned | | | |" in comment(Planned({}, {}), read(tmp_path / "out"))


def test_a_program_that_does_not_end_is_ended(tmp_path: Path) -> None:
    shop = Path(shutil.copytree(SHOP, tmp_path / "shop"))
    (shop / "program" / "__main__.py").write_text("import time\ntime.sleep(600)\n")
    (shop / "settings" / "Pulumi.prod.yaml").unlink()
    run("plans", shop, tmp_path / "out", "--timeout", "4")
    assert read(tmp_path / "out").errors == {"dev": "not planned within 4 seconds"}


def test_a_base_that_could_not_be_planned_is_said() -> None:
    text = comment(Planned({}, {"dev": "no"}), Planned({"dev": plan("a")}, {}))
    assert "| <code>dev</code> (could not be planned before) | 1 | 0 | 0 |" in text
    assert "dev" not in comment(Planned({}, {"dev": "no"}), Planned({}, {}))


def test_a_file_that_is_no_plan_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dev.json").write_text("{}")
    assert "not a plan" in read(tmp_path).errors["dev"]


def test_what_a_program_says_is_never_markup() -> None:
    text = comment(
        Planned({}, {}),
        Planned(
            {"dev": plan("a</code><img src=x>", stack="dev", type_="kubernetes:core/v1:Namespace")},
            {"x": "```\n@team </details> ````\n"},
        ),
    )
    error = text[text.index("`````diff") :]
    assert error.startswith("`````diff\n```\n@team </details> ````\n`````\n")
    assert "<img" not in text.split("```diff")[0]


def test_lost_data_is_told_above_the_details() -> None:
    namespace = plan("home</code><img>", type_="kubernetes:core/v1:Namespace")
    text = comment(Planned({"dev": namespace}, {}), Planned({"dev": plan()}, {}))
    above = text.split("<details>")[0]
    assert "**Data is lost:**\n\n- <code>dev</code>: <code>home?/code??img?</code>" in above


def test_a_long_comment_is_cut_at_whole_details() -> None:
    plans = {f"s{i}": plan(*(f"resource-number-{j}" for j in range(400)), stack=f"s{i}") for i in range(10)}
    text = comment(Planned({}, {}), Planned(plans, {}))
    assert len(text) <= LONGEST + 200
    assert text.count("<details>") == text.count("</details>") == 4
    assert "The details of 6 more are too long for a comment" in text
    assert sys.getsizeof(text) < 65_536


def test_gpus_that_nothing_provides_are_told_of_the_head_alone() -> None:
    limits = {"nvidia.com/gpu": "1"}
    pod = {"spec": {"template": {"spec": {"containers": [{"resources": {"limits": limits}}]}}}}
    asking = Plan("p", "dev", (Resource("urn:a", "kubernetes:apps/v1:Deployment", "llama", None, pod, {}),))
    told = comment(Planned({"dev": plan("a")}, {}), Planned({"dev": asking}, {}))
    assert "**GPUs are missing:**\n\n- <code>dev</code>: <code>llama asks for nvidia.com/gpu," in told
    assert "GPUs are missing" not in comment(Planned({"dev": asking}, {}), Planned({"dev": plan("a")}, {}))
