"""The page of the guide that says what was tested on a cluster: `python -m tests.cluster.tested` runs the tests and writes it."""

import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tests.cluster import checks, tools
from tests.cluster.cases import ROOT, Manifests, prepare, roll_out
from tests.cluster.cluster import Cluster, ClusterError, running
from tests.cluster.components import BY_HELM, PROGRAMS, two
from tests.cluster.release import COMPONENTS, RECORDED, component_today, recorded
from tests.policy import scanners

from slipway.plan.render import render

PAGE = ROOT / "docs" / "tested.md"
COLUMNS: Mapping[str, str] = {
    "admitted": "applied server-side with strict validation, without a warning, where the API server enforces `restricted`",
    "rolled out": "the controllers and the scheduler bring up as many pods as were asked for, on GPU nodes where it needs some",
    "restricted": "its namespace has its pods, and refuses one below that level",
    "no drift": "`kubectl diff` finds nothing, and applying again changes nothing",
    "side by side": "two in one namespace share no object, and each Service has the pods of its own",
    "upgraded": "as of the last release, then as it is now: nothing that holds data or an address is made anew; *new* came after",
    "policy clean": "kube-score and checkov find nothing critical but what tests/policy/waivers.yaml gives a reason for",
    "changed": "an argument changed: no field is refused as immutable, and the pods are rolled over",
}
_HEAD = """# Tested on a cluster

Every component that runs in Kubernetes is applied to a real control plane: API server, controllers and scheduler of Kubernetes
{version}. Nodes and pods are played by kwok. So this is what a cluster makes of the manifests, not that the containers start.

This page is written by a command, and a test compares it with what it finds:

```sh
make cluster policy
.venv/bin/python -m tests.cluster.tested
```

"""

_BY_HELM = """\
{components}: not in the table. Helm makes its objects of NVIDIA's chart, and its pods need the level `privileged`, to work on the
nodes. Where `helm` and the chart are, tests/infra/kubernetes/test_gpu_prerequisites_chart.py renders it with the values that the
component gives, each of which the chart has, and tests/cluster/test_gpu_prerequisites.py sees it taken and rolled out.
"""

_LOGS = """\
ObservabilityStack: with a collector and logs, one in a Loki, the other in an Elasticsearch with its Kibana. Its log agents
are in a namespace of their own with the level `privileged`, since no other takes the folders of a node's that they use, which
are root's; without these, and as another user, the level `restricted` takes them, and the column says so.
What its servers make of what they are started with is shown by the servers themselves, with the very files that the component
renders: Prometheus, Alertmanager and the nginx before Loki as Debian has them; Loki (3.7.8) and the collector where `loki`
and `otelcol-contrib` are on the path, as they were when built from their Go modules with the parts of `contrib` that are
used, and skipped elsewhere. Filebeat likewise where `filebeat` is on the path: as it was when built from its Go module, of
which there is 7.17.29 and nothing newer, while the component runs 9.5. It sent to what answers as Elasticsearch's bulk API
does, and so did the script that tells Elasticsearch of its index, by bash and curl. Not run are Elasticsearch and Kibana
themselves, so neither their settings and files of users, nor that the index takes these lines and deletes them in time: these
are as their published documentation and sources have them. Nor is Grafana: its data sources and dashboards are as its
published documentation and its SDK have them.
"""

NEW = "new"
"""Of a component that the last release did not have."""
Results = Mapping[str, Mapping[str, str | None]]
"""By component and column: None where the check passed, `NEW`, or why it did not."""


def results(cluster: Cluster) -> Results:
    """Check every component."""
    found = {component: _checked(cluster, component, f"component-{i}") for i, component in enumerate(PROGRAMS)}
    policy = {component: str(findings) if findings else None for component, findings in _findings().items()}
    return {
        component: {c: policy[component] if c == "policy clean" else row[c] for c in COLUMNS} for component, row in found.items()
    }


def page(found: Results, version: str) -> str:
    """The page that these results make."""
    rows = [
        [component, *("yes" if why is None else NEW if why == NEW else "no" for why in row.values())]
        for component, row in found.items()
    ]
    head = ["Component", *COLUMNS]
    table = "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *rows))
    meaning = "".join(f"- *{column}*: {text}.\n" for column, text in COLUMNS.items())
    by_helm = _BY_HELM.format(components=", ".join(sorted(BY_HELM)))
    return f"{_HEAD.format(version=version)}{table}\n{by_helm}\n{_LOGS}\n{meaning}"


def minor(cluster: Cluster) -> str:
    """The cluster's version, as 1.36."""
    told = cluster.get("--raw=/version")
    return f"{told['major']}.{told['minor']}"


def _checked(cluster: Cluster, component: str, namespace: str) -> Mapping[str, str | None]:
    manifests, changed = two(component, namespace), two(component, namespace, changed=True)
    steps: Mapping[str, Callable[[], object]] = {
        "admitted": partial(_admit, cluster, manifests),
        "rolled out": partial(_complete, cluster, manifests),
        "restricted": partial(checks.restricted, cluster, manifests),
        "no drift": partial(checks.steady, cluster, manifests),
        "side by side": partial(checks.separate, cluster, manifests),
        "changed": partial(_change, cluster, manifests, changed),
    }
    found = {column: _why(step) for column, step in steps.items()}
    record = RECORDED / f"{COMPONENTS[component]}.json"
    return {**found, "upgraded": _why(partial(_upgrade, cluster, component)) if record.exists() else NEW}


def _findings() -> Mapping[str, scanners.Findings]:
    """What is found critical of each component, and is not meant."""
    texts = {COMPONENTS[component]: two(component, "ns").text for component in PROGRAMS}
    of_all = scanners.unwaived("checkov", scanners.checked(texts))
    found = {component: scanners.unwaived("kube-score", scanners.scored(texts[case])) for component, case in COMPONENTS.items()}
    for check, where in of_all.items():
        for component, case in COMPONENTS.items():
            if own := {place for place in where if place.startswith(f"{case}:")}:
                found[component][check] = own
    return found


def _upgrade(cluster: Cluster, component: str) -> None:
    old = Manifests(render(recorded(COMPONENTS[component]), skip_secrets=True).files)
    new = Manifests(render(component_today(component), skip_secrets=True).files)
    _admit(cluster, old)
    roll_out(cluster, old)
    before = checks.identities(cluster, old)
    assert before, "the last release had nothing to keep"
    _admit(cluster, new)
    roll_out(cluster, new)
    after = checks.identities(cluster, new)
    changed = [name for name, identity in before.items() if after.get(name) != identity]
    assert not changed, f"made anew: {', '.join(changed)}"
    cluster.kubectl("delete", "namespace", *sorted(new.namespaces), "--wait=false")


def _why(step: Callable[[], object]) -> str | None:
    try:
        step()
    except (AssertionError, ClusterError) as error:
        return str(error) or repr(error)
    return None


def _admit(cluster: Cluster, manifests: Manifests) -> None:
    prepare(cluster, manifests)
    cluster.apply(manifests.text)


def _complete(cluster: Cluster, manifests: Manifests) -> None:
    roll_out(cluster, manifests)
    checks.complete(cluster, manifests)


def _change(cluster: Cluster, before: Manifests, after: Manifests) -> None:
    old = checks.revisions(cluster, before)
    cluster.apply(after.text)
    _complete(cluster, after)
    new = checks.revisions(cluster, after)
    assert old.keys() == new.keys(), "a workload changed its name"
    assert all(new[name] != old[name] for name in new), "the change rolled no pod"


def main() -> None:
    """Write the page."""
    if reason := tools.missing() or scanners.missing():
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as home, running(tools.folder(), Path(home) / "cluster") as cluster:
        found = results(cluster)
        PAGE.write_text(page(found, minor(cluster)))
    failed = [f"{component}, {column}: {why}" for component, row in found.items() for column, why in row.items() if why]
    sys.exit("\n".join(failed) or None)


if __name__ == "__main__":
    main()
