"""Plans of the last release, which today's must follow: `python -m tests.cluster.release` records them when a release is made."""

import re
from pathlib import Path

from tests.cluster.cases import EXAMPLES, ROOT, SHIPPED, project_of
from tests.cluster.components import PROGRAMS

from slipway.plan import Plan, plan_program, plan_project

RECORDED = Path(__file__).parent / "recorded"
CASES = [*(f"stack-{name}" for name in SHIPPED), *(f"example-{name}" for name in EXAMPLES)]
COMPONENTS = {component: "component-" + re.sub(r"\W+", "_", component) for component in PROGRAMS}
"""Name of each component's record, of which tests/cluster/tested.py makes a column."""


def today(case: str, folder: Path) -> Plan:
    """The plan of a stack or an example as it is now."""
    kind, _, name = case.partition("-")
    return plan_project(ROOT, name) if kind == "stack" else plan_project(project_of(name, folder), "test")


def component_today(component: str) -> Plan:
    """The plan of two of a component as they are now."""
    return plan_program(lambda: PROGRAMS[component](COMPONENTS[component].lower().replace("_", "-"), False))


def recorded(case: str) -> Plan:
    """The plan of the last release."""
    return Plan.from_json((RECORDED / f"{case}.json").read_text())


if __name__ == "__main__":
    import tempfile

    RECORDED.mkdir(exist_ok=True)
    for of in CASES:
        with tempfile.TemporaryDirectory() as temporary:
            (RECORDED / f"{of}.json").write_text(today(of, Path(temporary)).to_json())
    for component, of in COMPONENTS.items():
        (RECORDED / f"{of}.json").write_text(component_today(component).to_json())
