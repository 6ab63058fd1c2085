"""What a cluster needs before a pod can have a GPU: drivers, device plugin and labels of nodes, with metrics of the GPUs."""

from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s
import yaml

from slipway.kubernetes import restricted
from slipway.kubernetes.ai_namespace_args import PodSecurityLevel, pod_security_labels
from slipway.kubernetes.gpu_prerequisites_args import GpuPrerequisitesArgs, PrerequisiteSettings
from slipway.kubernetes.observability.watched import WatchedKind, WatchedService

COMPONENT = "gpu-prerequisites"
"""Value of the label `app.kubernetes.io/name` of its namespace."""
CHART = "gpu-operator"
WHOLE, SHARED = "whole", "shared"
"""The device plugin's configurations: which one a node has, its label `nvidia.com/device-plugin.config` says."""
EXPORTER, EXPORTER_PORT = {"app": "nvidia-dcgm-exporter"}, 9400
"""Labels and port of the DCGM exporter's pods (GPU Operator, `assets/state-dcgm-exporter/0800_daemonset.yaml`)."""
WAIT_SECONDS = 900
"""Drivers are built and loaded on every node."""


class GpuPrerequisites(pulumi.ComponentResource):
    """NVIDIA's GPU Operator with its device plugin, GPU feature discovery, MIG manager and DCGM exporter, by its Helm chart.

    As a Helm release, not as the chart's objects one by one: the chart upgrades its definitions by hooks, which only Helm runs,
    and a plan need not fetch it.
    """

    namespace: pulumi.Output[str | None]
    """Where it runs; `None` with `existing`."""

    def __init__(self, name: str, args: GpuPrerequisitesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Raises:
            pulumi.InputPropertiesError: with every fault of the arguments, before anything is registered.
        """
        settings = PrerequisiteSettings.of(name, args)
        super().__init__("slipway:index:GpuPrerequisites", name, {**args}, opts)
        self._name, self._settings = name, settings
        self.namespace = pulumi.Output.from_input(None if settings.existing else settings.namespace)
        if not settings.existing:
            self._install(name, settings)
        self.register_outputs({"namespace": self.namespace})

    def watched(self) -> WatchedService:
        """The DCGM exporter as an ObservabilityStack needs to know it. With `existing`: as the GPU Operator leaves it in its own
        namespace, `gpu-operator`."""
        return {
            "kind": WatchedKind.GPUS,
            "name": self._name,
            "namespace": self._settings.namespace,
            "pods": "nvidia-dcgm-exporter-.+",
            "pod_labels": EXPORTER,
            "port": EXPORTER_PORT,
        }

    def _install(self, name: str, settings: PrerequisiteSettings) -> None:
        # Drivers and plugins work on the node itself.
        security = pod_security_labels(PodSecurityLevel.PRIVILEGED)
        home = k8s.core.v1.Namespace(
            f"{name}-namespace",
            metadata={"name": settings.namespace, "labels": {**restricted.labels(COMPONENT, name), **security}},
            opts=pulumi.ResourceOptions(parent=self),
        )
        by_oci = settings.repository.startswith("oci://")
        k8s.helm.v3.Release(
            f"{name}-operator",
            name=name,
            namespace=settings.namespace,
            chart=f"{settings.repository.rstrip('/')}/{CHART}" if by_oci else CHART,
            repository_opts=None if by_oci else {"repo": settings.repository},
            version=settings.version,
            values=values(name, settings),
            atomic=True,
            timeout=WAIT_SECONDS,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[home],
                custom_timeouts=pulumi.CustomTimeouts(create=f"{WAIT_SECONDS + 60}s", update=f"{WAIT_SECONDS + 60}s"),
            ),
        )


def values(name: str, settings: PrerequisiteSettings) -> dict[str, Any]:
    """The chart's values (NVIDIA GPU Operator, "Common Chart Customization Options")."""
    plain: dict[str, Any] = {"version": "v1", "flags": {"migStrategy": "mixed"}}
    configurations = {WHOLE: plain}
    if settings.shared_replicas:
        turns = {
            # By a name of their own, and one at a time: nobody gets a turn who wanted a GPU, or two who hopes for two GPUs.
            "renameByDefault": True,
            "failRequestsGreaterThanOne": True,
            "resources": [{"name": "nvidia.com/gpu", "replicas": settings.shared_replicas}],
        }
        configurations[SHARED] = {**plain, "sharing": {"timeSlicing": turns}}
    own: dict[str, Any] = {
        "driver": {"enabled": settings.driver},
        "toolkit": {"enabled": settings.toolkit},
        # Slices are resources by their profile, as GpuModelServer asks for them.
        "mig": {"strategy": "mixed"},
        "devicePlugin": {
            "config": {
                "create": True,
                "name": f"{name}-device-plugin",
                "default": WHOLE,
                "data": {key: yaml.safe_dump(each, sort_keys=True) for key, each in configurations.items()},
            }
        },
        "dcgmExporter": {"enabled": True, "serviceMonitor": {"enabled": settings.service_monitor}},
    }
    return _merged(own, settings.values)


def _merged(own: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(own)
    for key, value in more.items():
        before = merged.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(cast("Mapping[str, Any]", before), cast("Mapping[str, Any]", value)) if both else value
    return merged
