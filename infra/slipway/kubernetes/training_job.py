"""A training run in a cluster: one Job with GPUs, on one node or several, and a volume for its checkpoints."""

import hashlib
from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from slipway.kubernetes import restricted
from slipway.kubernetes.deletion import DeletionPolicy
from slipway.kubernetes.identity import account_annotations, associate
from slipway.kubernetes.names import version_label
from slipway.kubernetes.network import isolate, with_each_other
from slipway.kubernetes.observability.workload import WatchedWorkload
from slipway.kubernetes.training_job_args import TrainingCheckpoints, TrainingJobArgs, TrainingRestartPolicy
from slipway.kubernetes.training_job_pod import CONTAINER, MASTER_PORT, template
from slipway.kubernetes.training_job_settings import TrainingSettings

COMPONENT = "training-job"
"""Value of the label `app.kubernetes.io/name` of its pods."""
QUEUE = "kueue.x-k8s.io/queue-name"
"""Label of a Job by which Kueue knows its LocalQueue (Kueue, "Run A Kubernetes Job")."""
_NO_WAIT = {"pulumi.com/skipAwait": "true"}
END_SECONDS = 300
"""How long Pulumi waits for what it deletes, past the pods' grace period."""


class TrainingJob(pulumi.ComponentResource):
    """A program that trains a model, ends, and is started again where it fails.

    Kubernetes takes no change of what a Job runs. So the Job is named by that: a change ends the run, and after it starts another
    one, which finds the checkpoints of the last. Deadline, retries and time to live are no part of the name, and can be changed
    while it runs.
    """

    job_name: pulumi.Output[str]
    """Name of the Job: `NAME-`, then 10 digits of the SHA-256 of what it runs."""
    checkpoint_claim: pulumi.Output[str | None]
    """Name of the PersistentVolumeClaim with the checkpoints; `None` without `checkpoints`."""

    def __init__(self, name: str, args: TrainingJobArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments, before anything is registered.
        """
        settings = TrainingSettings.of(name, args)
        self._name, self._settings = name, settings
        super().__init__("slipway:index:TrainingJob", name, {**args}, opts)
        given, pods = settings.args, restricted.selector(COMPONENT, name)
        labels = {**restricted.labels(COMPONENT, name), **version_label(given["image"])}

        def meta(
            object_name: pulumi.Input[str], annotations: Mapping[str, pulumi.Input[str]] | None = None
        ) -> k8s.meta.v1.ObjectMetaArgsDict:
            made: k8s.meta.v1.ObjectMetaArgsDict = {"name": object_name, "namespace": given["namespace"], "labels": labels}
            return {**made, "annotations": annotations} if annotations else made

        identity = given.get("identity")
        before: list[pulumi.Resource] = [
            k8s.core.v1.ServiceAccount(
                f"{name}-account",
                metadata=meta(f"{name}-account", account_annotations(identity)),
                automount_service_account_token=False,
                opts=pulumi.ResourceOptions(parent=self),
            ),
            k8s.networking.v1.NetworkPolicy(
                f"{name}-network",
                metadata=meta(f"{name}-network"),
                spec=_closed(settings, pods),
                opts=pulumi.ResourceOptions(parent=self),
            ),
        ]
        if identity is not None:
            account = f"{name}-account"
            before += associate(name, identity, given["namespace"], account, pulumi.ResourceOptions(parent=self))
        if settings.nodes > 1:
            before.append(
                k8s.core.v1.Service(
                    f"{name}-nodes",
                    metadata=meta(f"{name}-nodes", _NO_WAIT),
                    # Each finds the first before any of them is ready.
                    spec={
                        "cluster_ip": "None",
                        "selector": pods,
                        "publish_not_ready_addresses": True,
                        "ports": [{"name": "rendezvous", "port": MASTER_PORT, "target_port": MASTER_PORT, "protocol": "TCP"}],
                    },
                    opts=pulumi.ResourceOptions(parent=self),
                )
            )
        claim, checkpoints = None, settings.checkpoints
        if checkpoints is not None:
            claim = checkpoints.get("claim", f"{name}-checkpoints")
            if "claim" not in checkpoints:
                policy = checkpoints.get("deletion_policy", DeletionPolicy.RETAIN)
                before.append(
                    k8s.core.v1.PersistentVolumeClaim(
                        f"{name}-checkpoints",
                        # Many classes bind a volume only once a pod asks for it.
                        metadata=meta(f"{name}-checkpoints", _NO_WAIT),
                        spec=_volume(checkpoints, settings.nodes),
                        opts=pulumi.ResourceOptions(
                            parent=self,
                            retain_on_delete=policy.keeps or None,
                            protect=True if policy is DeletionPolicy.PROTECT else None,
                        ),
                    )
                )

        immutable = _immutable(settings, template(settings, labels, f"{name}-account", f"{name}-nodes", claim))
        queued = {QUEUE: given["queue"]} if "queue" in given else {}
        digest = pulumi.Output.json_dumps({**immutable, **queued}, sort_keys=True).apply(
            lambda t: hashlib.sha256(t.encode()).hexdigest()[:10]
        )
        self.job_name = pulumi.Output.unsecret(pulumi.Output.concat(name, "-", digest))
        spec: k8s.batch.v1.JobSpecArgsDict = {
            **immutable,
            "active_deadline_seconds": settings.deadline_seconds,
            "backoff_limit": given.get("backoff_limit", 3),
        }
        if "ttl_seconds" in given:
            spec["ttl_seconds_after_finished"] = given["ttl_seconds"]
        about = meta(self.job_name, None if given.get("wait") else _NO_WAIT)
        k8s.batch.v1.Job(
            f"{name}-job",
            # It is Kueue that suspends the Job: were it said here too, each apply would suspend it again.
            metadata={**about, "labels": {**labels, **queued}},
            spec=spec,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=before,
                # Two runs would write the same checkpoints, and the new one could wait for ever for the GPUs of the old.
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(
                    # A little more than the deadline, so that Kubernetes' own reason is told.
                    create=f"{settings.deadline_seconds + 60}s",
                    update=f"{settings.deadline_seconds + 60}s",
                    delete=f"{settings.grace_seconds + END_SECONDS}s",
                ),
            ),
        )
        self.checkpoint_claim = pulumi.Output.from_input(claim)
        self.register_outputs({"job_name": self.job_name, "checkpoint_claim": self.checkpoint_claim})

    def watched(self) -> WatchedWorkload:
        """As an ObservabilityStack needs to know it, for its `workloads`."""
        made: WatchedWorkload = {"name": self._name, "namespace": self._settings.args["namespace"], "job": self._name}
        if self._settings.checkpoints is not None and "claim" not in self._settings.checkpoints:
            made["claims"] = [f"{self._name}-checkpoints"]
        return made


def _immutable(settings: TrainingSettings, pods: k8s.core.v1.PodTemplateSpecArgsDict) -> k8s.batch.v1.JobSpecArgsDict:
    """What Kubernetes lets nobody change of a Job (Kubernetes API reference, "Job"), and how many nodes there are."""
    spec: k8s.batch.v1.JobSpecArgsDict = {
        "completion_mode": "Indexed" if settings.nodes > 1 else "NonIndexed",
        "completions": settings.nodes,
        "parallelism": settings.nodes,
        "template": pods,
    }
    if settings.args.get("restart_policy") is TrainingRestartPolicy.NEVER:
        # Kubernetes takes this rule with 'Never' only.
        lost: k8s.batch.v1.PodFailurePolicyOnPodConditionsPatternArgsDict = {"type": "DisruptionTarget", "status": "True"}
        rules: list[k8s.batch.v1.PodFailurePolicyRuleArgsDict] = [{"action": "Ignore", "on_pod_conditions": [lost]}]
        if codes := settings.args.get("fatal_exit_codes"):
            # In order, as Kubernetes would have them.
            fatal: k8s.batch.v1.PodFailurePolicyOnExitCodesRequirementArgsDict = {
                "container_name": CONTAINER,
                "operator": "In",
                "values": sorted(codes),
            }
            rules.append({"action": "FailJob", "on_exit_codes": fatal})
        spec["pod_failure_policy"] = {"rules": rules}
    return spec


def _closed(settings: TrainingSettings, pods: Mapping[str, str]) -> k8s.networking.v1.NetworkPolicySpecArgsDict:
    """Nobody comes in, and the way out is what was asked for; several nodes reach each other on every port, as NCCL takes any."""
    spec = isolate(pods, MASTER_PORT, [], settings.egress)
    if settings.nodes > 1:
        return with_each_other(spec, pods)
    if not settings.egress:
        # Not even to DNS.
        spec.pop("egress", None)
    return spec


def _volume(checkpoints: TrainingCheckpoints, nodes: int) -> k8s.core.v1.PersistentVolumeClaimSpecArgsDict:
    spec: k8s.core.v1.PersistentVolumeClaimSpecArgsDict = {
        "access_modes": ["ReadWriteMany" if nodes > 1 else "ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{checkpoints.get('gib')}Gi"}},
    }
    if "storage_class" in checkpoints:
        spec["storage_class_name"] = checkpoints["storage_class"]
    return spec
