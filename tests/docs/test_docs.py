"""The guide's blocks of code are run: what a reader copies works.

A block's info string says what it is:

- `python`: a whole Pulumi program, which must plan; its resources have the properties that the providers' SDKs know.
- `python client`: a program that needs a running router; it must compile, and import what there is.
- `python test`: is run as it stands, and then every function in it that is called `test_...`.
- `yaml stack`: a stack's file; the shipped program must plan with it.
- `yaml router`: a router's configuration, which the router must take.
- `yaml`, `json`: must parse.
- `sh`: every `make` target, `slipway` and `slipway-router` command in it must exist.

Links between the pages must lead somewhere.
"""

import ast
import importlib
import json
import re
import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from tests.infra.sdk_types import args_class, faults

from slipway.cli import app
from slipway.plan import Plan, plan_program
from slipway_router.__main__ import COMMANDS
from slipway_router.config import Config
from slipway_router.metric_table import METRICS

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
KINDS = {"python", "python client", "python test", "yaml", "yaml stack", "yaml router", "json", "sh", "text", ""}
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://)([^)#\s]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*kinds: str) -> list[Any]:
    """Those of some kinds, each a test's parameter with the place as its id."""
    return [pytest.param(b, id=str(b)) for b in ALL if b.kind in kinds]


def read(page: Path) -> list[Block]:
    text = page.read_text()
    return [Block(page, text.count("\n", 0, m.start()) + 1, m["info"].strip(), m["text"]) for m in _FENCE.finditer(text)]


ALL = [block for page in PAGES for block in read(page)]


def test_the_guide_has_programs_and_stacks_to_run() -> None:
    assert {"python", "yaml stack", "yaml router"} <= {b.kind for b in ALL}


def test_every_block_says_what_it_is() -> None:
    assert [f"{b}: {b.kind!r}" for b in ALL if b.kind not in KINDS] == []


@pytest.mark.parametrize("block", blocks("python"))
def test_a_program_plans(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Padded, so that an error's line is the page's.
    code = compile("\n" * block.line + block.text, str(block.page), "exec")
    plan = plan_program(lambda: exec(code, {"__name__": "__main__"}), project="guide")
    assert len(plan) > 0
    assert unknown_properties(plan) == []


@pytest.mark.parametrize("block", blocks("python test"))
def test_an_example_of_a_test_passes(block: Block) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile("\n" * block.line + block.text, str(block.page), "exec"), namespace)
    for name, function in list(namespace.items()):
        if name.startswith("test_"):
            function()


@pytest.mark.parametrize("block", blocks("python client"))
def test_a_client_compiles_and_its_imports_are_there(block: Block) -> None:
    for node in ast.walk(ast.parse("\n" * block.line + block.text, str(block.page))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert [a.name for a in node.names if not hasattr(module, a.name)] == []


@pytest.mark.parametrize("block", blocks("yaml stack"))
def test_a_stack_plans_with_the_shipped_program(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
    document: dict[str, dict[str, Any]] = yaml.safe_load(block.text)
    assert list(document) == ["config"]
    config = {k: v if isinstance(v, str) else json.dumps(v) for k, v in document["config"].items()}
    plan = plan_program(lambda: runpy.run_path(str(ROOT / "stacks" / "__main__.py"), run_name="__main__"), config=config)
    assert [r for r in plan if r.custom]
    assert unknown_properties(plan) == []


@pytest.mark.parametrize("block", blocks("yaml router"))
def test_the_router_takes_its_configuration(block: Block) -> None:
    assert Config.parse(yaml.safe_load(block.text), str(block)).backends


@pytest.mark.parametrize("block", blocks("yaml", "json"))
def test_data_parses(block: Block) -> None:
    assert yaml.safe_load(block.text) if block.kind == "yaml" else json.loads(block.text)


@pytest.mark.parametrize("block", blocks("sh"))
def test_commands_exist(block: Block) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = set(typer.main.get_group(app).commands)
    assert set(re.findall(r"^make ([a-z-]+)", block.text, re.MULTILINE)) <= targets
    assert set(re.findall(r"^slipway ([a-z-]+)", block.text, re.MULTILINE)) <= commands
    assert set(re.findall(r"^ *slipway-router ([a-z-]+)", block.text, re.MULTILINE)) <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    assert [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []


def test_the_page_on_the_router_lists_its_metrics_and_error_codes_and_no_others() -> None:
    page = (ROOT / "docs" / "router.md").read_text()
    rows = re.findall(r"^\| `(slipway_router_\w+)` \| (\w+) \| ([\w, ]*) \|", page, re.MULTILINE)
    assert rows == [(m.name, m.kind, ", ".join(m.labels)) for m in METRICS.values()]
    source = "".join(file.read_text() for file in (ROOT / "app" / "slipway_router").rglob("*.py"))
    # The first of each pair: keyword arguments; the second: words that are chosen before they are given.
    codes = {a or b for a, b in re.findall(r'\bcode="(\w+)"|status, code = \d+, "(\w+)"', source)}
    codes |= set(re.findall(r'message, code = .*, "(\w+)"', source))
    errors = page[page.index("## Errors") : page.index("## Stopping")]
    listed = {
        code for row in re.findall(r"^\| [45]\d\d.*$", errors, re.MULTILINE) for code in re.findall(r"`(\w+)`", row.split("|")[2])
    }
    assert listed == codes


def unknown_properties(plan: Plan) -> list[str]:
    """What the providers' SDKs do not know. Custom resources and dynamic ones have no class there."""
    told: list[str] = []
    for resource in plan:
        if not resource.custom:
            continue
        try:
            args_class(resource.type)
        except LookupError:
            continue
        told += faults(resource)
    return told
