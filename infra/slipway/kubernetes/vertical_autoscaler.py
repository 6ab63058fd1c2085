"""What a pod really takes, recommended and not applied."""

from typing import Any

API_VERSION = "autoscaling.k8s.io/v1"


def recommendation(deployment: str, container: str) -> dict[str, Any]:
    """Spec of a VerticalPodAutoscaler that writes its recommendation into its status, and does nothing else.

    Args:
        deployment: Whose pods it watches.
        container: The one container that it is about.
    """
    return {
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment},
        "updatePolicy": {"updateMode": "Off"},
        "resourcePolicy": {"containerPolicies": [{"containerName": container, "controlledResources": ["cpu", "memory"]}]},
    }
