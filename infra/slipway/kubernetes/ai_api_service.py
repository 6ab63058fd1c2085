"""The router as a service in a cluster: scaled, spread, closed off, and changed without cutting a stream."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from slipway.backend import router_config
from slipway.kubernetes import router_pod
from slipway.kubernetes.ai_api_service_args import AiApiServiceArgs, Resolved
from slipway.kubernetes.autoscaling import Replicas, autoscaler
from slipway.kubernetes.disruption import budget
from slipway.kubernetes.names import version_label
from slipway.kubernetes.network import isolate
from slipway.kubernetes.restricted import labels, selector

END_SECONDS = 300
"""How long Pulumi waits for a Deployment to be gone, past its pods' grace period."""
_APP = "slipway-router"
_POD_SECURITY = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}


class AiApiService(pulumi.ComponentResource):
    """The router, as many times as the load asks for, in front of models wherever they run.

    Its configuration is an immutable ConfigMap named by its content, so that a change rolls new replicas out and an old
    one keeps what it started with. Earlier ones stay in the cluster, for `kubectl rollout undo`; they carry the label
    `app.kubernetes.io/instance` with this service's name, to be found and deleted by.
    """

    url: pulumi.Output[str]
    """Address inside the cluster: `http://NAME.NAMESPACE.svc`, to which clients add `/v1`."""
    service_name: pulumi.Output[str]
    """Name of the Service: this resource's own name."""
    config_name: pulumi.Output[str]
    """Name of the ConfigMap that new replicas read: `NAME-config-`, then 10 digits of the content's SHA-256."""

    def __init__(self, name: str, args: AiApiServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        resolved = Resolved.of(name, args)
        super().__init__("slipway:index:AiApiService", name, {**args}, opts)
        given = resolved.args
        namespace, image = given["namespace"], given["image"]
        pods = selector(_APP, name)

        def meta(full_name: pulumi.Input[str], more: Mapping[str, str] | None = None) -> k8s.meta.v1.ObjectMetaArgsDict:
            return {"name": full_name, "namespace": namespace, "labels": {**labels(_APP, name), **(more or {})}}

        # A little more than Kubernetes itself waits, so that its reason is told and not only that time is over.
        patience = f"{resolved.rollout_seconds + 60}s"
        timeouts = pulumi.CustomTimeouts(
            create=patience, update=patience, delete=f"{resolved.drain.grace_seconds + END_SECONDS}s"
        )

        def after(*needed: pulumi.Resource, retain: bool = False, slow: bool = False) -> pulumi.ResourceOptions:
            return pulumi.ResourceOptions(
                parent=self,
                depends_on=list(needed),
                retain_on_delete=retain or None,
                custom_timeouts=timeouts if slow else None,
            )

        base: list[pulumi.Resource] = []
        if given.get("create_namespace"):
            base.append(
                k8s.core.v1.Namespace(
                    f"{name}-namespace",
                    metadata={"name": namespace, "labels": {**labels(_APP, name), **_POD_SECURITY}},
                    opts=after(),
                )
            )
        account = k8s.core.v1.ServiceAccount(
            f"{name}-account", metadata=meta(f"{name}-account"), automount_service_account_token=False, opts=after(*base)
        )
        content = router_config(resolved.settings, given["backends"]).apply(encoded)
        self.config_name = content.apply(lambda text: f"{name}-config-{hashlib.sha256(text.encode()).hexdigest()[:10]}")
        config = k8s.core.v1.ConfigMap(
            f"{name}-config",
            metadata=meta(self.config_name),
            immutable=True,
            data={router_pod.CONFIG_FILE: content},
            # A changed name replaces the object: Pulumi makes the new one, lets the Deployment roll, then would delete the
            # old one, without which `kubectl rollout undo` gets replicas that never start. So it is left in the cluster.
            opts=after(*base, retain=True),
        )
        policy = k8s.networking.v1.NetworkPolicy(
            f"{name}-network",
            metadata=meta(f"{name}-network"),
            spec=isolate(pods, router_pod.PORT, resolved.ingress, resolved.egress),
            opts=after(*base),
        )
        deployment = k8s.apps.v1.Deployment(
            f"{name}-router",
            metadata=meta(f"{name}-router", version_label(image)),
            spec=rollout(
                pods,
                resolved.replicas,
                resolved.rollout_seconds,
                {
                    "metadata": {
                        "labels": {**labels(_APP, name), **version_label(image)},
                        "annotations": {**router_pod.annotations(), **given.get("annotations", {})},
                    },
                    "spec": router_pod.pod(
                        image=image,
                        account=f"{name}-account",
                        config=self.config_name,
                        labels=pods,
                        secrets=resolved.secrets,
                        resources=resolved.resources,
                        drain=resolved.drain,
                        priority_class=given.get("priority_class"),
                        node_selector=given.get("node_selector"),
                        image_pull_secrets=given.get("image_pull_secrets", ()),
                    ),
                },
            ),
            opts=after(*base, account, config, policy, slow=True),
        )
        # Not before the Deployment: Pulumi waits for a Service until it has an endpoint, and so for ever if it has no replica.
        unawaited = {"pulumi.com/skipAwait": "true"} if resolved.replicas.fixed == 0 else {}
        k8s.core.v1.Service(
            f"{name}-service",
            # The one object that people and programs call by its name, so it has the service's own.
            metadata={**meta(name), "annotations": {**unawaited, **given.get("service_annotations", {})}},
            spec={
                "type": resolved.service_type.value,
                "selector": pods,
                "ports": [{"name": "http", "port": 80, "target_port": "http", "protocol": "TCP"}],
            },
            opts=after(*base, slow=True),
        )
        if resolved.replicas.fixed is None:
            k8s.autoscaling.v2.HorizontalPodAutoscaler(
                f"{name}-hpa",
                metadata=meta(f"{name}-hpa"),
                spec=autoscaler(f"{name}-router", resolved.replicas),
                opts=after(deployment),
            )
        k8s.policy.v1.PodDisruptionBudget(f"{name}-pdb", metadata=meta(f"{name}-pdb"), spec=budget(pods), opts=after(*base))

        self.service_name = pulumi.Output.from_input(name)
        self.url = pulumi.Output.concat("http://", name, ".", namespace, ".svc")
        self.register_outputs({"url": self.url, "service_name": self.service_name, "config_name": self.config_name})


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


def encoded(config: Mapping[str, Any]) -> str:
    """The configuration's bytes: the same for the same content, whatever order it was written in."""
    return json.dumps(config, sort_keys=True, indent=2) + "\n"
