"""What every pod of ours has in common: its labels, and the settings that the `restricted` pod security level asks for."""

import pulumi_kubernetes as k8s

USER = 10001
"""User and group of our own images, outside the range that distributions give to people and services."""


def labels(component: str, name: str) -> dict[str, str]:
    """Kubernetes' recommended labels. The last two select the pods of one instance, and never change."""
    return {
        "app.kubernetes.io/managed-by": "slipway",
        "app.kubernetes.io/part-of": "slipway",
        **selector(component, name),
    }


def selector(component: str, name: str) -> dict[str, str]:
    """The labels that tell the pods of one instance from all others in its namespace."""
    return {"app.kubernetes.io/name": component, "app.kubernetes.io/instance": name}


def pod_security(user: int = USER) -> k8s.core.v1.PodSecurityContextArgsDict:
    """Not root, the runtime's own seccomp profile, volumes that the user can write to."""
    return {
        "run_as_non_root": True,
        "run_as_user": user,
        "run_as_group": user,
        "fs_group": user,
        # Changing the owner of every file of a model cache at each start would take minutes.
        "fs_group_change_policy": "OnRootMismatch",
        "seccomp_profile": {"type": "RuntimeDefault"},
    }


def container_security() -> k8s.core.v1.SecurityContextArgsDict:
    """No way up, nothing to write to but the volumes, no capability."""
    return {
        "allow_privilege_escalation": False,
        "read_only_root_filesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
