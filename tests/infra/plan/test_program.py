"""Plans of project directories: one that is there, and broken copies of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pulumi
import pytest

from slipway.plan import PlanError, Secret, plan_project
from slipway.plan.monitor import Monitor
from slipway.plan.program import run_project

SHOP = Path(__file__).parent / "programs" / "shop"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A copy of the project that a test may break."""
    return Path(shutil.copytree(SHOP, tmp_path / "shop"))


def test_a_stack_is_planned_with_its_settings_and_the_defaults() -> None:
    plan = plan_project(SHOP, "dev")
    assert (plan.project, plan.stack, plan.warnings) == ("shop", "dev", ())
    assert [r.name for r in plan] == ["shop", "front-server", "front-service", "front"]
    assert plan["front-server"].inputs["spec"]["replicas"] == 1
    assert plan["front-server"].inputs["spec"]["template"]["spec"]["containers"][0]["image"] == "shop:1"
    assert plan["front-service"].inputs["spec"]["ports"] == [{"port": 80}]
    assert plan.outputs == {"url": "http://front-service"}


def test_texts_lists_and_truth_reach_the_program_as_such_and_nothing_is_decrypted() -> None:
    plan = plan_project(SHOP, "prod")
    assert plan["front-server"].inputs["spec"]["replicas"] == 3
    assert plan["front-service"].inputs["spec"]["ports"] == [{"port": 80}, {"port": 8443}]
    assert plan["archive"].options["protect"] is True
    assert plan["token"].inputs["stringData"] == Secret({"token": "[secret]"})
    assert plan.warnings == ("warning: Pulumi.prod.yaml: the environment (team/prod) is skipped: it is Pulumi Cloud's to open",)


def test_a_stack_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(PlanError, match="no stack 'live' in project 'shop'; there are dev, prod"):
        plan_project(SHOP, "live")


def test_the_first_stack_of_a_project_may_be_an_empty_file(shop: Path) -> None:
    for file in shop.rglob("Pulumi.*.yaml"):
        file.unlink()
    with pytest.raises(PlanError, match=r"put Pulumi\.live\.yaml into .+, empty where the defaults of Pulumi\.yaml will do"):
        plan_project(shop, "live")


def test_a_directory_without_a_project(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"has no Pulumi\.yaml"):
        plan_project(tmp_path, "dev")


def test_every_fault_of_a_project_is_told(shop: Path) -> None:
    (shop / "Pulumi.yaml").write_text(
        "runtime: go\nmain: nowhere\nconfig: {a: {type: text}, b: {type: integer, default: many},"
        " c: {type: array, default: [x], items: {type: boolean}}}\n"
    )
    with pytest.raises(PlanError) as refused:
        plan_project(shop, "dev")
    assert str(refused.value).splitlines() == [
        "Pulumi.yaml cannot be used, 6 faults:",
        "  name: is required",
        "  runtime: is 'go'; only programs in 'python' can be planned",
        "  main: nowhere is not there",
        "  config.a.type: is 'text'; give one of string, integer, number, boolean, array, object",
        "  config.b.default: is 'many'; give a whole number",
        "  config.c.default[0]: is 'x'; give true or false",
    ]


def test_every_fault_of_a_stack_is_told(shop: Path) -> None:
    (shop / "settings" / "Pulumi.dev.yaml").write_text(
        "config:\n  replicas: 1.5\n  shop:ports: [80, http]\n  shop:token: in the clear\n  shop:other:\n"
    )
    with pytest.raises(PlanError) as refused:
        plan_project(shop, "dev")
    assert str(refused.value).splitlines() == [
        "Pulumi.dev.yaml cannot be used, 5 faults:",
        "  config.shop:image: is required; give it here, or a default in Pulumi.yaml",
        "  config.shop:other: is empty; give a value or leave it out",
        "  config.shop:ports[1]: is 'http'; give a whole number",
        "  config.shop:replicas: is 1.5; give a whole number",
        "  config.shop:token: is in the clear; write it with `pulumi config set --secret`",
    ]


@pytest.mark.parametrize(("text", "said"), [("a: [", "is not YAML"), ("- a", "give a mapping"), ("config: 3", "config: is 3")])
def test_a_file_that_is_no_mapping(shop: Path, text: str, said: str) -> None:
    (shop / "settings" / "Pulumi.dev.yaml").write_text(text)
    with pytest.raises(PlanError, match=said):
        plan_project(shop, "dev")


def test_a_value_that_an_environment_may_hold_is_not_missed(shop: Path) -> None:
    (shop / "settings" / "Pulumi.dev.yaml").write_text("environment: [team/dev]\n")
    (shop / "program" / "__main__.py").write_text("")
    assert len(plan_project(shop, "dev")) == 0


def test_an_error_of_the_program_is_told_with_its_lines_and_without_ours(shop: Path) -> None:
    (shop / "program" / "front.py").write_text("def Front(*args, **more):\n    return {}['x']\n")
    with pytest.raises(PlanError) as refused:
        plan_project(shop, "dev")
    lines = str(refused.value).splitlines()
    assert lines[0] == "the program failed: KeyError: 'x'"
    assert [line.split(",")[0] for line in lines[1:]] == ["  program/__main__.py:10", "  program/front.py:2"]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys\nsys.exit('no key')", "no key"),
        ("raise SystemExit(4)", "exit code 4"),
        ("def", "SyntaxError"),
        ("import not_there", "ModuleNotFoundError"),
        ("import pulumi\nraise pulumi.RunError('as told')", "^as told$"),
    ],
)
def test_other_ends_of_a_program(shop: Path, program: str, said: str) -> None:
    (shop / "program" / "__main__.py").write_text(program)
    with pytest.raises(pulumi.RunError, match=said) as refused:
        plan_project(shop, "dev")
    assert str(shop) not in str(refused.value)


def test_the_program_runs_where_pulumi_runs_it(shop: Path) -> None:
    (shop / "program" / "__main__.py").write_text(
        "import os, sys, pulumi\n"
        "pulumi.export('seen', [__name__, os.getcwd(), sys.path[0], sys.argv[0],"
        " pulumi.get_project(), pulumi.get_stack(), pulumi.runtime.get_root_directory()])\n"
    )
    program = str(shop / "program")
    assert plan_project(shop, "dev").outputs == {
        "seen": ["__main__", program, program, program, "shop", "dev", str(shop)],
    }


def test_nothing_of_the_program_is_left_behind(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setenv("PULUMI_CONFIG", '{"shop:replicas": "7"}')
    monkeypatch.setenv("PULUMI_CONFIG_SHOP_REPLICAS", "8")
    before = Path.cwd(), list(sys.path), list(sys.argv), set(sys.modules), dict(os.environ), sys.dont_write_bytecode
    assert plan_project(shop, "dev")["front"].inputs["replicas"] == 1
    assert (Path.cwd(), list(sys.path), list(sys.argv), set(sys.modules), dict(os.environ), sys.dont_write_bytecode) == before
    assert list(shop.rglob("__pycache__")) == []


def test_two_projects_with_modules_of_one_name_do_not_mix(shop: Path) -> None:
    (shop / "program" / "front.py").write_text(
        (shop / "program" / "front.py").read_text().replace('f"{name}-server"', 'f"{name}-other"')
    )
    assert "front-other" in plan_project(shop, "dev")
    assert "front-server" in plan_project(SHOP, "dev")
    assert "front-other" in plan_project(shop, "dev")


def test_a_module_of_this_process_with_such_a_name_is_back_afterwards(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "front", os)
    assert "front-server" in plan_project(shop, "dev")
    assert sys.modules["front"] is os


def test_real_work_refuses_placeholders() -> None:
    with pytest.raises(PlanError, match="decrypt shop:token"):
        run_project(SHOP, "prod", Monitor("shop", "prod"), dry_run=False)


def test_the_json_has_the_same_bytes_from_every_place_and_process(shop: Path) -> None:
    here = plan_project(SHOP, "prod").to_json()
    script = "import sys, pathlib, slipway.plan as p; sys.stdout.write(p.plan_project(pathlib.Path(), 'prod').to_json())"
    there = subprocess.run(
        [sys.executable, "-c", script],
        cwd=shop,
        env={**os.environ, "HOME": str(shop.parent), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout == here
    assert "cipher" not in here
