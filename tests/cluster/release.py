"""Plans of the last release, which today's must follow: `python -m tests.cluster.release` records them when a release is made."""

from pathlib import Path

from tests.cluster.cases import EXAMPLES, ROOT, SHIPPED, project_of

from slipway.plan import Plan, plan_project

RECORDED = Path(__file__).parent / "recorded"
CASES = [*(f"stack-{name}" for name in SHIPPED), *(f"example-{name}" for name in EXAMPLES)]
KEPT = ("StatefulSet", "PersistentVolumeClaim", "Service", "Namespace")
"""Kinds whose objects hold data, or an address that others use: they outlive every upgrade."""


def today(case: str, folder: Path) -> Plan:
    """The plan of a stack or an example as it is now."""
    kind, _, name = case.partition("-")
    return plan_project(ROOT, name) if kind == "stack" else plan_project(project_of(name, folder), "test")


def recorded(case: str) -> Plan:
    """The plan of the last release."""
    return Plan.from_json((RECORDED / f"{case}.json").read_text())


if __name__ == "__main__":
    import tempfile

    RECORDED.mkdir(exist_ok=True)
    for of in CASES:
        with tempfile.TemporaryDirectory() as temporary:
            (RECORDED / f"{of}.json").write_text(today(of, Path(temporary)).to_json())
