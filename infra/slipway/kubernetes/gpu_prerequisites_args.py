"""What can be said about GpuPrerequisites, and what it becomes once checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

from slipway.args import Faults, check_shape
from slipway.kubernetes.names import check_name, check_namespace

VERSION = "v26.7.0"
"""Of NVIDIA's GPU Operator."""
NAME_LENGTH = 34
"""The chart has a Job that clears labels of nodes when it is deleted, RELEASE-node-feature-discovery-prune: at most 63."""
_REPOSITORY = re.compile(r"(https?|oci)://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")
_VERSION = re.compile(r"v?[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_MOST_TURNS = 64


class GpuPrerequisitesArgs(TypedDict):
    """What GpuPrerequisites is made of. All of it must be plain."""

    existing: NotRequired[bool]
    """The cluster has all this already, from its cloud or its administrators: nothing is made, and a plan does not warn that GPUs
    are missing. Excludes everything else. Default false."""
    repository: NotRequired[str]
    """Where the chart `gpu-operator` is: NVIDIA's Helm repository or a mirror of it, as `https://` or `oci://`. The cluster pulls
    images from NVIDIA's registry, unless `values` name another. Required without `existing`."""
    version: NotRequired[str]
    """The chart's version. Default 'v26.7.0'."""
    namespace: NotRequired[str]
    """Namespace to run in, made here, with the pod security level `privileged`. Default 'gpu-operator'."""
    driver: NotRequired[bool]
    """Whether NVIDIA's driver is installed on the nodes. False where their image has it, as those for GPUs of EKS, GKE and AKS
    have. Default true."""
    toolkit: NotRequired[bool]
    """Whether NVIDIA's container toolkit is installed on the nodes; false likewise. Default true."""
    shared_replicas: NotRequired[int]
    """How many pods take turns on each GPU of the nodes labelled `nvidia.com/device-plugin.config: shared`, which then offer
    `nvidia.com/gpu.shared`, as an accelerator such as `l4/shared` asks for. 2 to 64. Default: none shares."""
    service_monitor: NotRequired[bool]
    """Whether the Prometheus Operator, which must be there, is to read the GPUs' metrics. Default false: by the annotations of
    the exporter's Service."""
    values: NotRequired[Mapping[str, Any]]
    """More values of the chart; they win over those set here. Default: none."""


@dataclass(frozen=True)
class PrerequisiteSettings:
    """The arguments of GpuPrerequisites, checked, with every default filled in."""

    existing: bool = False
    repository: str = ""
    version: str = VERSION
    namespace: str = "gpu-operator"
    driver: bool = True
    toolkit: bool = True
    shared_replicas: int = 0
    service_monitor: bool = False
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, name: str, args: GpuPrerequisitesArgs) -> "PrerequisiteSettings":
        """Check and decide.

        Raises:
            pulumi.InputPropertiesError: with every fault there is.
        """
        faults = Faults("GpuPrerequisites")
        given = check_shape(args, GpuPrerequisitesArgs, faults)
        fit = {key: value for key, value in given.items() if not faults.at(key)}
        if len(name) > NAME_LENGTH:
            faults.add("name", f"is {name!r} ({len(name)} characters); give at most {NAME_LENGTH}, since the chart adds to it")
        else:
            check_name(name, faults)
        if fit.get("existing"):
            for key in given:
                if key != "existing":
                    faults.add(key, "does nothing with 'existing', where nothing is made; leave one of them out")
            faults.refuse(name)
            return cls(existing=True)
        if "repository" not in given:
            faults.add(
                "repository", "is required: give where the chart 'gpu-operator' is, or 'existing': true if it is installed"
            )
        for key, shape, wanted in (
            ("repository", _REPOSITORY, "an address such as 'https://charts.example.com/nvidia' or 'oci://...'"),
            ("version", _VERSION, f"one version, such as '{VERSION}'"),
        ):
            value = fit.get(key)
            if isinstance(value, str) and not shape.fullmatch(value):
                faults.add(key, f"is {value!r}; give {wanted}")
        if "namespace" in fit:
            check_namespace("namespace", fit["namespace"], faults)
        turns = fit.get("shared_replicas", 2)
        if not 2 <= turns <= _MOST_TURNS:
            faults.add("shared_replicas", f"is {turns}; give 2 to {_MOST_TURNS}, or leave it out where none shares")
        faults.refuse(name)
        return cls(**fit)
