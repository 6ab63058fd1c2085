"""Workers that take tasks from a queue in Redis: as many as what waits asks for, and none lost when one goes."""

import hashlib
from collections.abc import Callable, Mapping

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import celery_worker, keda, redis_broker, restricted, worker_scaling
from slipway.kubernetes.autoscaling import ScalingBy
from slipway.kubernetes.disruption import budget
from slipway.kubernetes.identity import account_annotations, associate
from slipway.kubernetes.names import version_label
from slipway.kubernetes.network import admitting, opened
from slipway.kubernetes.observability.workload import WatchedWorkload
from slipway.kubernetes.worker_pool_args import WorkerPoolArgs, WorkerSettings
from slipway.kubernetes.worker_pool_pod import START_SECONDS, grace_seconds, pod

COMPONENT = "worker"
"""Value of the label `app.kubernetes.io/name` of its pods."""
IMAGE_SECONDS = 300
"""For the image to be pulled, before a worker can start."""


class WorkerPool(pulumi.ComponentResource):
    """A Deployment of workers, Celery's or others, scaled on the length of their queues.

    A worker that is to go takes no more tasks and ends the one it has; one that is killed leaves its task to another.
    """

    deployment_name: pulumi.Output[str]
    """Name of the Deployment: `NAME-worker`."""

    def __init__(self, name: str, args: WorkerPoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments, before anything is registered.
        """
        settings = WorkerSettings.of(name, args)
        self._name, self._settings = name, settings
        super().__init__("slipway:index:WorkerPool", name, {**args}, opts)
        given, pods = settings.args, restricted.selector(COMPONENT, name)
        labels = {**restricted.labels(COMPONENT, name), **version_label(given["image"])}

        def meta(
            object_name: pulumi.Input[str], annotations: Mapping[str, pulumi.Input[str]] | None = None
        ) -> k8s.meta.v1.ObjectMetaArgsDict:
            made: k8s.meta.v1.ObjectMetaArgsDict = {"name": object_name, "namespace": given["namespace"], "labels": labels}
            return {**made, "annotations": annotations} if annotations else made

        def after(*needed: pulumi.Resource) -> pulumi.ResourceOptions:
            return pulumi.ResourceOptions(parent=self, depends_on=list(needed))

        identity = given.get("identity")
        before: list[pulumi.Resource] = [
            k8s.core.v1.ServiceAccount(
                f"{name}-account",
                metadata=meta(f"{name}-account", account_annotations(identity)),
                automount_service_account_token=False,
                opts=after(),
            ),
            # Nobody connects to a worker.
            k8s.networking.v1.NetworkPolicy(
                f"{name}-network", metadata=meta(f"{name}-network"), spec=opened(pods, {}, settings.egress), opts=after()
            ),
        ]
        if identity is not None:
            before += associate(name, identity, given["namespace"], f"{name}-account", after())
        code = f"{name}-code-{hashlib.sha256(celery_worker.LAUNCHER.encode()).hexdigest()[:10]}"
        if "celery" in given:
            before.append(
                k8s.core.v1.ConfigMap(
                    f"{name}-code",
                    metadata=meta(code),
                    immutable=True,
                    data={celery_worker.FILE: celery_worker.LAUNCHER},
                    # Pods of the version before still mount it, and `kubectl rollout undo` wants it.
                    opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
                )
            )
        patience, grace = START_SECONDS + IMAGE_SECONDS, grace_seconds(settings)
        spec: k8s.apps.v1.DeploymentSpecArgsDict = {
            "selector": {"match_labels": pods},
            "revision_history_limit": 5,
            "progress_deadline_seconds": patience,
            "strategy": {"type": "RollingUpdate", "rolling_update": {"max_unavailable": 0, "max_surge": "25%"}},
            "template": {"metadata": {"labels": labels}, "spec": pod(settings, pods, f"{name}-account", code)},
        }
        if settings.workers.fixed is not None:
            spec["replicas"] = settings.workers.fixed
        deployment = k8s.apps.v1.Deployment(
            f"{name}-worker",
            metadata=meta(f"{name}-worker"),
            spec=spec,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=before,
                custom_timeouts=pulumi.CustomTimeouts(
                    # A little more than Kubernetes itself waits, so that its reason is told.
                    create=f"{patience + 60}s",
                    update=f"{patience + 60}s",
                    delete=f"{grace + 300}s",
                ),
            ),
        )
        if settings.workers.fixed is None:
            self._scale(name, settings, meta, after(deployment))
        k8s.policy.v1.PodDisruptionBudget(f"{name}-pdb", metadata=meta(f"{name}-pdb"), spec=budget(pods), opts=after())
        self.deployment_name = pulumi.Output.from_input(f"{name}-worker")
        self.register_outputs({"deployment_name": self.deployment_name})

    def watched(self) -> WatchedWorkload:
        """As an ObservabilityStack needs to know it, for its `workloads`; of a fixed number of workers nothing is told."""
        made: WatchedWorkload = {"name": self._name, "namespace": self._settings.args["namespace"]}
        if self._settings.workers.fixed is None:
            by = "hpa" if self._settings.workers.by is ScalingBy.HPA else "keda"
            made["autoscaler"] = f"{self._name}-{by}"
        return made

    def _scale(
        self,
        name: str,
        settings: WorkerSettings,
        meta: Callable[..., k8s.meta.v1.ObjectMetaArgsDict],
        opts: pulumi.ResourceOptions,
    ) -> None:
        workers, broker = settings.workers, settings.args["broker"]
        if workers.by is ScalingBy.HPA:
            k8s.autoscaling.v2.HorizontalPodAutoscaler(
                f"{name}-hpa",
                metadata=meta(f"{name}-hpa", {keda.OWNERSHIP: "false"}),
                spec=worker_scaling.autoscaler(f"{name}-worker", workers),
                opts=opts,
            )
            return
        password = broker.get("password")
        if password is not None:
            k8s.apiextensions.CustomResource(
                f"{name}-broker",
                api_version=keda.API_VERSION,
                kind="TriggerAuthentication",
                metadata=meta(f"{name}-broker"),
                spec=redis_broker.authentication(password),
                opts=pulumi.ResourceOptions(parent=self),
            )
        way = broker.get("egress", {})
        if broker.get("closed") and "pod_labels" in way and "port" in way:
            # The Redis lets in whom it was told to; KEDA, which counts what waits in it, is known here.
            k8s.networking.v1.NetworkPolicy(
                f"{name}-keda-network",
                metadata={**meta(f"{name}-keda-network"), "namespace": way.get("namespace", settings.args["namespace"])},
                spec=admitting(way["pod_labels"], way["port"], [keda.operator(workers.keda_namespace)]),
                opts=pulumi.ResourceOptions(parent=self),
            )
        authentication = None if password is None else f"{name}-broker"
        k8s.apiextensions.CustomResource(
            f"{name}-scaler",
            api_version=keda.API_VERSION,
            kind="ScaledObject",
            metadata=meta(f"{name}-scaler"),
            spec=worker_scaling.scaled_object(f"{name}-worker", f"{name}-keda", workers, broker, settings.queues, authentication),
            opts=opts,
        )
