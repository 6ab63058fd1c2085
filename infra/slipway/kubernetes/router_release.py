"""One version of the router in a cluster: its pods, the Service before them, and what scales and guards them."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import keda, router_pod, service_monitor, vertical_autoscaler
from slipway.kubernetes.ai_api_service_settings import Release, Resolved
from slipway.kubernetes.autoscaling import Replicas, ScalingBy, autoscaler
from slipway.kubernetes.disruption import budget
from slipway.kubernetes.federation import federated
from slipway.kubernetes.mesh_pods import in_mesh, sidecar_annotations, sidecar_labels
from slipway.kubernetes.names import version_label
from slipway.kubernetes.network import opened
from slipway.kubernetes.restricted import labels, selector
from slipway.kubernetes.router_admin import admin_service
from slipway.kubernetes.router_metrics import requests_per_second
from slipway_router.admin.settings import ADMIN_PORT

APP = "slipway-router"
"""Value of the label `app.kubernetes.io/name` of the router's pods."""
SHARE = "slipway/traffic-percent"
"""Annotation of a Deployment beside another version's."""
END_SECONDS = 300
"""How long Pulumi waits for a Deployment to be gone, past its pods' grace period."""


def deploy(
    parent: pulumi.Resource,
    release: Release,
    resolved: Resolved,
    config_name: pulumi.Input[str],
    account: pulumi.Input[str],
    base: Sequence[pulumi.Resource],
    needed: Sequence[pulumi.Resource],
) -> list[pulumi.Resource]:
    """Make one version.

    Args:
        parent: The component.
        release: Which version.
        resolved: The component's arguments, decided.
        config_name: ConfigMap with the router's configuration.
        account: ServiceAccount of the pods.
        base: What has to be there before anything.
        needed: What has to be there before the pods.

    Returns:
        What is there once every replica is ready: to be waited for by whoever sends requests to it.
    """
    name, given, pods = release.name, resolved.args, selector(APP, release.name)

    def meta(role: str, more: Mapping[str, str] | None = None) -> k8s.meta.v1.ObjectMetaArgsDict:
        return {"name": f"{name}-{role}", "namespace": given["namespace"], "labels": {**labels(APP, name), **(more or {})}}

    # A little more than Kubernetes itself waits, so that its reason is told and not only that time is over.
    patience = f"{resolved.rollout_seconds + 60}s"
    timeouts = pulumi.CustomTimeouts(create=patience, update=patience, delete=f"{resolved.drain.grace_seconds + END_SECONDS}s")

    def after(*resources: pulumi.Resource, slow: bool = False) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=parent, depends_on=[*base, *resources], custom_timeouts=timeouts if slow else None)

    operators = given.get("admin", {}).get("allow_from", ())
    policy = k8s.networking.v1.NetworkPolicy(
        f"{name}-network",
        metadata=meta("network"),
        spec=opened(pods, {router_pod.PORT: resolved.allowed, ADMIN_PORT: operators}, resolved.egress),
        opts=after(),
    )
    monitor = given.get("service_monitor")
    # Both would make Prometheus read every figure twice.
    scraped = router_pod.annotations() if monitor is None else {}
    version, sidecar = version_label(release.image), given.get("mesh")
    # Pulumi waits for what it changes: a share that changes must change the Deployment too, or one that has failed since would
    # get it all the same.
    share: k8s.meta.v1.ObjectMetaArgsDict = {} if release.share is None else {"annotations": {SHARE: str(release.share)}}
    spec = router_pod.pod(
        image=release.image,
        account=account,
        config=config_name,
        labels=pods,
        secrets=resolved.secrets,
        resources=resolved.resources,
        drain=resolved.drain,
        admin=bool(operators),
        priority_class=given.get("priority_class"),
        node_selector=given.get("node_selector"),
        image_pull_secrets=given.get("image_pull_secrets", ()),
    )
    deployment = k8s.apps.v1.Deployment(
        f"{name}-router",
        metadata={**meta("router", version), **share},
        spec=rollout(
            pods,
            release.replicas,
            resolved.rollout_seconds,
            {
                "metadata": {
                    "labels": {**labels(APP, name), **version, **sidecar_labels(sidecar)},
                    "annotations": {
                        **scraped,
                        **sidecar_annotations(sidecar, name, router_pod.PORT, resolved.drain),
                        **given.get("annotations", {}),
                    },
                },
                "spec": in_mesh(federated(spec, given.get("federation"), router_pod.CONFIG_FOLDER), sidecar),
            },
        ),
        opts=after(*needed, policy, slow=True),
    )
    # Not before the Deployment: Pulumi waits for a Service until it has an endpoint, and so for ever if it has no replica.
    unawaited = {"pulumi.com/skipAwait": "true"} if release.replicas.fixed == 0 else {}
    service = k8s.core.v1.Service(
        f"{name}-service",
        # The one object that people and programs call by its name, so it has the version's own.
        metadata={**meta("service"), "name": name, "annotations": {**unawaited, **given.get("service_annotations", {})}},
        spec={
            "type": resolved.service_type.value,
            "selector": pods,
            "ports": [{"name": "http", "port": 80, "target_port": "http", "protocol": "TCP"}],
        },
        opts=after(slow=True),
    )
    if operators:
        k8s.core.v1.Service(
            f"{name}-admin",
            metadata={**meta("admin"), "annotations": {"pulumi.com/skipAwait": "true"}},
            spec=admin_service(pods),
            opts=after(),
        )
    if release.replicas.fixed is None and release.replicas.by is ScalingBy.HPA:
        k8s.autoscaling.v2.HorizontalPodAutoscaler(
            f"{name}-hpa",
            # KEDA's webhook would refuse a ScaledObject for as long as this is there, and it goes only after that has come.
            metadata={**meta("hpa"), "annotations": {keda.OWNERSHIP: "false"}},
            spec=autoscaler(f"{name}-router", release.replicas),
            opts=after(deployment),
        )
    elif release.replicas.fixed is None:
        query = requests_per_second(given["namespace"], f"{name}-router")
        k8s.apiextensions.CustomResource(
            f"{name}-scaler",
            api_version=keda.API_VERSION,
            kind="ScaledObject",
            metadata=meta("scaler"),
            spec=keda.scaled_object(f"{name}-router", f"{name}-keda", release.replicas, query),
            opts=after(deployment),
        )
    if given.get("recommend_resources"):
        k8s.apiextensions.CustomResource(
            f"{name}-vpa",
            api_version=vertical_autoscaler.API_VERSION,
            kind="VerticalPodAutoscaler",
            metadata=meta("vpa"),
            spec=vertical_autoscaler.recommendation(f"{name}-router", router_pod.CONTAINER),
            opts=after(deployment),
        )
    if monitor is not None:
        k8s.apiextensions.CustomResource(
            f"{name}-monitor",
            api_version=service_monitor.API_VERSION,
            kind="ServiceMonitor",
            metadata=meta("monitor", monitor.get("labels")),
            spec=service_monitor.monitor_spec(monitor, pods),
            opts=after(),
        )
    k8s.policy.v1.PodDisruptionBudget(f"{name}-pdb", metadata=meta("pdb"), spec=budget(pods), opts=after())
    return [deployment, service]


def rollout(
    pods: Mapping[str, str], replicas: Replicas, seconds: int, template: k8s.core.v1.PodTemplateSpecArgsDict
) -> k8s.apps.v1.DeploymentSpecArgsDict:
    """A Deployment that never has fewer ready replicas than asked for while it changes."""
    spec: k8s.apps.v1.DeploymentSpecArgsDict = {
        "selector": {"match_labels": pods},
        "revision_history_limit": 5,
        "progress_deadline_seconds": seconds,
        "strategy": {"type": "RollingUpdate", "rolling_update": {"max_unavailable": 0, "max_surge": "25%"}},
        "template": template,
    }
    # With an autoscaler, a number sent here would undo at every update what the load had asked for.
    if replicas.fixed is not None:
        spec["replicas"] = replicas.fixed
    return spec
