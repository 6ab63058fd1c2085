"""Disruption budgets and spreading. What the eviction API makes of them is proven on a cluster, not here."""

from typing import Any, cast

from slipway.kubernetes.disruption import budget, spread

PODS = {"app": "x"}


def test_a_budget_never_keeps_the_last_replica_on_its_node() -> None:
    # "minAvailable" in any form would, where there is one replica.
    assert budget(PODS) == {
        "max_unavailable": 1,
        "selector": {"match_labels": PODS},
        "unhealthy_pod_eviction_policy": "AlwaysAllow",
    }


def test_zones_come_before_nodes_and_neither_keeps_a_pod_from_starting() -> None:
    rules = cast("list[dict[str, Any]]", spread(PODS))
    assert [r["topology_key"] for r in rules] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert all(r["when_unsatisfiable"] == "ScheduleAnyway" and r["label_selector"] == {"match_labels": PODS} for r in rules)
