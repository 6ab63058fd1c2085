"""Inference components: several models on an endpoint's instances, each with copies and autoscaling of its own.

pulumi-aws has no resource for them. AWS's Cloud Control API makes them from CloudFormation's type, by a resource that pulumi-aws
does have, so that nobody installs a second SDK of AWS for it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import pulumi

from slipway.accelerators import Place
from slipway.args import Faults, known
from slipway.aws import sagemaker_rules as rules
from slipway.aws.ecr_image import EcrImage
from slipway.aws.sagemaker_model import check_engine, check_model, check_weights
from slipway.aws.sagemaker_rules import AUTO_NAME, NAME_LIMIT, bounded, excluded
from slipway.aws.sagemaker_scaling import Scaling, check_scaling
from slipway.machines import find

_GPUS = "EC2's DescribeInstanceTypes"
CLOUDFORMATION_TYPE = "AWS::SageMaker::InferenceComponent"


@dataclass(frozen=True)
class Component:
    """One inference component, with every default filled in."""

    key: str
    model: Mapping[str, Any]
    memory_mib: int
    accelerators: int | None
    cpus: float | None
    copies: int
    download_timeout: int
    startup_timeout: int
    scaling: Scaling | None

    def desired_state(
        self, name: str, endpoint: str, variant: str, model: str, tags: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """What CloudFormation's type is told."""
        needs: dict[str, Any] = {"MinMemoryRequiredInMb": self.memory_mib}
        if self.accelerators is not None:
            needs["NumberOfAcceleratorDevicesRequired"] = self.accelerators
        if self.cpus is not None:
            needs["NumberOfCpuCoresRequired"] = self.cpus
        made: dict[str, Any] = {
            "InferenceComponentName": name,
            "EndpointName": endpoint,
            "VariantName": variant,
            "Specification": {
                "ModelName": model,
                "StartupParameters": {
                    "ModelDataDownloadTimeoutInSeconds": self.download_timeout,
                    "ContainerStartupHealthCheckTimeoutInSeconds": self.startup_timeout,
                },
                "ComputeResourceRequirements": needs,
            },
            "RuntimeConfig": {"CopyCount": self.copies},
        }
        if tags:
            made["Tags"] = [{"Key": k, "Value": v} for k, v in sorted(tags.items())]
        return made

    def state_text(
        self,
        name: pulumi.Input[str],
        endpoint: pulumi.Input[str],
        variant: str,
        model: pulumi.Input[str],
        tags: Mapping[str, pulumi.Input[str]],
    ) -> pulumi.Output[str]:
        """The same as JSON, known once every name is."""
        found = cast("pulumi.Output[tuple[str, str, str, dict[str, str]]]", pulumi.Output.all(name, endpoint, model, dict(tags)))
        return found.apply(lambda f: json.dumps(self.desired_state(f[0], f[1], variant, f[2], f[3]), sort_keys=True))


def components_of(given: Mapping[str, Any]) -> tuple[Component, ...]:
    """From arguments that were checked."""
    made: list[Component] = []
    for key, entry in cast("Mapping[str, Mapping[str, Any]]", given.get("components", {})).items():
        scaling = Scaling.of(entry.get("scaling"))
        download, startup = rules.timeouts(entry.get("weights_gib"), "weights_s3_uri" in entry)
        model = {k: v for k, v in entry.items() if k in ("image", "weights_s3_uri", "weights_kms_key_arn", "environment")}
        copies = entry.get("copies", scaling.min if scaling else 1)
        numbers = entry["memory_mib"], entry.get("accelerators"), entry.get("cpus"), copies
        made.append(Component(key, model, *numbers, download, startup, scaling))
    return tuple(made)


def check_components(name: str, given: Mapping[str, Any], faults: Faults) -> None:
    """Check the components, and what they exclude."""
    of_one_model = ("image", "model_package_arn", "weights_s3_uri", "weights_kms_key_arn", "weights_gib", "environment")
    excluded(given, "components", of_one_model, "each component has its own", faults)
    excluded(given, "components", ("scaling",), "each component has its own; for instances there is 'managed_instances'", faults)
    excluded(given, "components", ("variants", "shadow"), "the components share one variant", faults)
    excluded(
        given, "components", ("vpc", "network_isolation"), "Pulumi's provider cannot say so to an endpoint of components", faults
    )
    managed = given.get("managed_instances")
    if managed is not None and "components" not in given:
        faults.add("managed_instances", "goes with 'components'; for one model there is 'scaling'")
    if isinstance(managed, Mapping) and not faults.at("managed_instances"):
        bounds = cast("Mapping[str, int]", managed)
        bounded(bounds, "managed_instances", "min", 0, None, faults)
        bounded(bounds, "managed_instances", "max", max(bounds["min"], 1), None, faults, "no less than 'min'")
        bounded(given, "", "instance_count", max(bounds["min"], 1), max(bounds["max"], 1), faults, "within 'managed_instances'")
    entries = cast("Mapping[str, Mapping[str, Any]]", given.get("components", {}))
    if "components" in given and not entries and not faults.at("components"):
        faults.add("components", "is empty; give at least one, or 'image'")
    chosen = given.get("endpoint_name")
    endpoint = len(chosen) if isinstance(chosen, str) else len(name) + len("-endpoint") + AUTO_NAME
    longest = NAME_LIMIT - max(endpoint + 1, len(name) + len("--model") + AUTO_NAME)
    for key, entry in entries.items():
        path = f"components.{key}"
        if not rules.is_name(key, longest):
            faults.add(path, f"is a name that cannot be; give at most {longest} letters, digits and '-'")
        _check_component(given, entry, path, faults)
    if entries and not any(faults.at(key) for key in ("components", "managed_instances", "instance_count", "instance_type")):
        _check_together(given, entries, faults)


def _check_component(given: Mapping[str, Any], entry: Mapping[str, Any], path: str, faults: Faults) -> None:
    check_model(entry, path, faults)
    check_weights(entry, path, faults)
    if "image" not in entry and not faults.at(path):
        faults.add(f"{path}.image", "is required; give it, or 'container'")
    if faults.at(path):
        return
    bounded(entry, path, "memory_mib", 128, None, faults)
    bounded(entry, path, "cpus", 0.25, None, faults)
    bounded(entry, path, "copies", 0, None, faults)
    bounded(entry, path, "accelerators", 1, None, faults, "leave it out for a component without any")
    instance_type = given.get("instance_type")
    if isinstance(instance_type, str):
        fault = Faults("SageMakerEndpoint")
        check_engine({**entry, "instance_type": instance_type}, "", fault)
        if fault:
            faults.add(
                f"{path}.image", f"has an engine that cannot run on {instance_type}; give another image or 'instance_type'"
            )
        if not faults.at(path):
            _check_accelerators(entry, instance_type, path, faults)
    check_scaling(entry.get("scaling"), f"{path}.scaling", faults, to_zero=True, count=entry.get("copies"))


def _check_accelerators(entry: Mapping[str, Any], instance_type: str, path: str, faults: Faults) -> None:
    """A copy lives on one instance, and has those of its accelerators that it asks for."""
    here, asked, there = f"{path}.accelerators", entry.get("accelerators"), gpus_of(instance_type)
    if asked is not None and rules.family_of(instance_type) and not rules.has_accelerators(instance_type):
        faults.add(here, f"asks for {asked}, and {instance_type} has none")
    elif asked is not None and there is not None and asked > there:
        faults.add(here, f"asks for {asked}, and {instance_type} has {there} ({_GPUS}); give at most {there}, or a larger type")

    def engine(reference: object) -> None:
        image = EcrImage.parse(reference) if isinstance(reference, str) else None
        if image and image.accelerator and asked is None:
            kind = "GPUs" if image.accelerator == "gpu" else "Neuron devices"
            most = f", at most {there}" if there is not None else ""
            faults.add(
                here, f"is required: the image's engine needs {kind}, and a copy has those it asks for; give 1 or more{most}"
            )

    known(entry.get("image"), engine)


def _check_together(given: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]], faults: Faults) -> None:
    """The fewest copies of all must have room on the most instances."""
    there = gpus_of(str(given.get("instance_type")))
    if there is None:
        return
    nothing: Mapping[str, Any] = {}
    fewest = {k: e.get("copies", e.get("scaling", nothing).get("min", 1)) for k, e in entries.items()}
    asked = {k: fewest[k] * e.get("accelerators", 0) for k, e in entries.items()}
    most: int = given.get("managed_instances", nothing).get("max") or given.get("instance_count") or 1
    if (needed := sum(asked.values())) > there * most:
        told = ", ".join(f"'{k}' {n}" for k, n in asked.items() if n)
        has = f"{there * most} GPUs of {most} x {given['instance_type']}"
        faults.add("components", f"ask for {needed} GPUs in their first copies ({told}), and there are {has}; give fewer or more")


def gpus_of(instance_type: str) -> int | None:
    """GPUs of an instance type by the catalogue, `None` for what is not in it."""
    return next((m.gpus[0] for m in find(Place.SAGEMAKER, instance_type)), None)
