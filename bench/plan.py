"""What a plan costs beside a plain run on Pulumi's own mocks: `python -m bench.plan [COMPONENTS ...]`.

Every figure comes from a fresh process, the best of three: CPU time of the run without the imports, and the most memory that
the process held beyond what the imports took. A component registers itself, a ConfigMap, a Service and a Deployment.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s
from rich.console import Console
from rich.table import Table

from slipway.plan import plan_program

SIZES = (1, 10, 100, 1000)


class Web(pulumi.ComponentResource):
    """As simple as a component can be that is still one."""

    def __init__(self, name: str) -> None:
        super().__init__("bench:index:Web", name, {})
        options = pulumi.ResourceOptions(parent=self)
        labels = {"app": name}
        config = k8s.core.v1.ConfigMap(f"{name}-config", metadata={"name": f"{name}-config"}, data={"a": "b"}, opts=options)
        k8s.core.v1.Service(
            f"{name}-service",
            metadata={"name": f"{name}-service"},
            spec={"selector": labels, "ports": [{"port": 80}]},
            opts=pulumi.ResourceOptions(parent=self),
        )
        k8s.apps.v1.Deployment(
            f"{name}-server",
            metadata={"name": f"{name}-server"},
            spec={
                "selector": {"match_labels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "containers": [
                            {"name": "web", "image": "web", "env_from": [{"config_map_ref": {"name": config.metadata["name"]}}]}
                        ]
                    },
                },
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


class Mocks(pulumi.runtime.Mocks):
    """What a unit test with Pulumi's mocks keeps: name and inputs of every resource."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, Any]] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        untyped: Any = args
        self.seen[args.name] = untyped.inputs
        return args.name, untyped.inputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
        raise NotImplementedError


def measure(how: str, size: int) -> dict[str, float]:
    """In this process: seconds and MiB of one run."""

    def program() -> None:
        for i in range(size):
            Web(f"web-{i}")

    # The SDK imports what it needs on the first registration.
    plan_program(lambda: Web("first") and None)
    before = peak_mib()
    start = time.process_time()
    if how == "plan":
        count = len(plan_program(program))
    elif how == "json":
        count = plan_program(program).to_json().count('"urn":')
    else:
        mocks = Mocks()
        pulumi.runtime.set_mocks(mocks, preview=True)
        untyped: Any = pulumi.runtime
        untyped.test(program)()
        count = len(mocks.seen)
    seconds = time.process_time() - start
    if count != 4 * size:
        raise SystemExit(f"{how} saw {count} registrations, not {4 * size}")
    return {"seconds": seconds, "mib": peak_mib() - before}


def peak_mib() -> float:
    """The most memory that this process has held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def best(how: str, size: int, times: int) -> dict[str, float]:
    """The least of several runs, each in a fresh process."""
    runs: list[dict[str, float]] = []
    for _ in range(times):
        command = [sys.executable, "-m", "bench.plan", "--measure", how, str(size)]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout
        runs.append(cast("dict[str, float]", json.loads(said)))
    return {key: min(run[key] for run in runs) for key in runs[0]}


def main() -> None:
    """Measure and print, or be one measurement."""
    parser = argparse.ArgumentParser(prog="python -m bench.plan", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("components", nargs="*", type=int, default=list(SIZES), help="how many components; default 1 10 100 1000")
    parser.add_argument("--times", type=int, default=3, help="runs of which the best counts; default 3")
    parser.add_argument("--measure", choices=["plan", "json", "mocks"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args.components[0])))
        return
    table = Table(
        "components", "resources", "mocks s", "plan s", "plan/mocks", "ms each", "with JSON s", "mocks MiB", "plan MiB", "ratio"
    )
    for size in args.components:
        mocks, plan, with_json = (best(how, size, args.times) for how in ("mocks", "plan", "json"))
        table.add_row(
            f"{size}",
            f"{4 * size}",
            f"{mocks['seconds']:.3f}",
            f"{plan['seconds']:.3f}",
            f"{plan['seconds'] / mocks['seconds']:.2f}",
            f"{plan['seconds'] / size * 1000:.2f}",
            f"{with_json['seconds']:.3f}",
            f"{mocks['mib']:.1f}",
            f"{plan['mib']:.1f}",
            f"{plan['mib'] / max(mocks['mib'], 0.1):.2f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
