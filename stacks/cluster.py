"""What a Kubernetes stack has beside its components."""

import pulumi

from settings import Settings


def namespace(settings: Settings) -> pulumi.Input[str]:
    """The stack's namespace, made under the restricted pod security level unless it exists already."""
    places = {model.place for model in settings.models} | ({settings.router.place} if settings.router else set[str]())
    if "kubernetes" not in places or not settings.createNamespace:
        return settings.namespace
    import pulumi_kubernetes as k8s  # half a second that a local stack need not wait

    made = k8s.core.v1.Namespace(
        settings.namespace,
        metadata={
            "name": settings.namespace,
            "labels": {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")},
        },
    )
    return made.metadata.apply(lambda metadata: metadata.name or settings.namespace)
