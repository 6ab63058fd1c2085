"""What a drain of nodes may take away at once, and where replicas stand so that it takes away little."""

from collections.abc import Mapping

import pulumi_kubernetes as k8s


def budget(pods: Mapping[str, str]) -> k8s.policy.v1.PodDisruptionBudgetSpecArgsDict:
    """One pod at a time.

    Said as "at most one unavailable", so that the last replica of one can be evicted: "at least one available" would
    block the drain of its node for ever.
    """
    return {
        "max_unavailable": 1,
        "selector": {"match_labels": pods},
        # A pod that is not ready serves nobody: keeping it would only block the drain.
        "unhealthy_pod_eviction_policy": "AlwaysAllow",
    }


def spread(pods: Mapping[str, str]) -> list[k8s.core.v1.TopologySpreadConstraintArgsDict]:
    """Replicas over zones first, then over nodes. A preference: one node or one zone still runs them all."""
    return [
        {
            "max_skew": 1,
            "topology_key": key,
            "when_unsatisfiable": "ScheduleAnyway",
            "label_selector": {"match_labels": pods},
            # Else the old replicas of a rollout would count, and the new ones crowd where those are not.
            "match_label_keys": ["pod-template-hash"],
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]
