"""The variants of an endpoint: its own, those beside it, its shadow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pulumi

from slipway.args import Faults
from slipway.aws import sagemaker_rules as rules
from slipway.aws.sagemaker_model import check_engine, check_model, check_weights
from slipway.aws.sagemaker_rules import AUTO_NAME, NAME_LIMIT, bounded
from slipway.aws.sagemaker_scaling import Scaling, check_scaling
from slipway.aws.sagemaker_serverless import serverless_scaling

if TYPE_CHECKING:
    import pulumi_aws as aws

VARIANT_LIMIT = 10
"""Most production variants of an endpoint (SageMaker API Reference: CreateEndpointConfig)."""
_INHERITED = (
    "image",
    "model_package_arn",
    "weights_s3_uri",
    "weights_kms_key_arn",
    "weights_gib",
    "environment",
    "instance_type",
)
_OF_A_MODEL = ("image", "model_package_arn", "weights_s3_uri", "weights_kms_key_arn", "weights_gib", "environment")


@dataclass(frozen=True)
class Variant:
    """One variant, with every default filled in."""

    key: str | None
    """Its name among the arguments; None for the endpoint's own."""
    name: str
    """SageMaker's name of it."""
    model: Mapping[str, Any]
    """Its model's arguments, those of the endpoint where it has none of its own. Empty where components bring the models."""
    instance_type: str | None
    """None without instances."""
    instance_count: int
    weight: float
    download_timeout: int
    startup_timeout: int
    network_isolation: bool
    scaling: Scaling | None
    """Of its instances; of its provisioned concurrency where it is serverless."""

    def role(self, component: str) -> str:
        """What the logical names of its resources begin with."""
        return component if self.key is None else f"{component}-{self.key}"


def own_variant(given: Mapping[str, Any]) -> Variant:
    """The endpoint's own variant."""
    return _variant(None, {k: given[k] for k in _INHERITED if k in given}, given, given.get("weight", 1.0))


def variants_beside(given: Mapping[str, Any]) -> tuple[Variant, ...]:
    """The further production variants, in the order given."""
    entries = cast("Mapping[str, Mapping[str, Any]]", given.get("variants", {}))
    return tuple(_variant(key, merged(given, entry), {**given, **_own(entry)}, entry["weight"]) for key, entry in entries.items())


def shadow_variant(given: Mapping[str, Any]) -> Variant | None:
    """The shadow, if there is one."""
    entry = given.get("shadow")
    if entry is None:
        return None
    # SageMaker samples by the ratio of the two weights.
    weight = entry["weight"] * given.get("weight", 1.0)
    return _variant("shadow", merged(given, entry), {**given, **_own(entry)}, weight)


def merged(given: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """A variant's model: what it says itself, else what the endpoint says, but nothing that belongs to another model."""
    made = {k: given[k] for k in _INHERITED if k in given}
    if "model_package_arn" in entry:
        made = {k: v for k, v in made.items() if k not in _OF_A_MODEL}
    elif "image" in entry:
        made.pop("model_package_arn", None)
    if "weights_s3_uri" in entry:
        made.pop("weights_gib", None)
        made.pop("weights_kms_key_arn", None)
    return {**made, **{k: entry[k] for k in _INHERITED if k in entry}}


def _own(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What a variant never has of the endpoint."""
    return {k: entry.get(k) for k in ("scaling", "instance_count")}


def _variant(key: str | None, model: dict[str, Any], given: Mapping[str, Any], weight: float) -> Variant:
    serverless = given.get("serverless")
    scaling = serverless_scaling(serverless) if serverless else Scaling.of(given.get("scaling"))
    from_s3 = "weights_s3_uri" in model
    download, startup = rules.timeouts(model.get("weights_gib"), from_s3)
    instance_type = model.pop("instance_type", None)
    count = given.get("instance_count")
    isolated = given.get("network_isolation")
    return Variant(
        key=key,
        name=_name(key, instance_type),
        model=model,
        instance_type=instance_type,
        instance_count=count if count is not None else max(scaling.min, 1) if scaling else 1,
        weight=weight,
        download_timeout=download,
        startup_timeout=startup,
        network_isolation=isolated if isolated is not None else from_s3 and "vpc" not in given,
        scaling=scaling,
    )


def _name(key: str | None, instance_type: str | None) -> str:
    """Named by its instance type, since an update that changes the instance type of a variant with autoscaling is refused
    (SageMaker guide: "Update endpoints that use auto scaling"): so it gets a new variant instead."""
    kind = instance_type.removeprefix("ml.").replace(".", "-") if instance_type else "serverless"
    return kind if key is None else f"{key}-{kind}"


def check_variants(name: str, given: Mapping[str, Any], faults: Faults) -> None:
    """Check the variants beside the endpoint's own, the shadow, and what all of them weigh."""
    bounded(given, "", "weight", 0, None, faults)
    variants = cast("Mapping[str, Mapping[str, Any]]", given.get("variants", {}))
    if "weight" in given and "variants" not in given:
        faults.add("weight", "has no other to stand against; give 'variants', or leave it out")
    if "shadow" in given and "variants" in given:
        faults.add("shadow", "does not go with 'variants': SageMaker lets an endpoint have one variant beside a shadow")
    if len(variants) > VARIANT_LIMIT - 1:
        faults.add("variants", f"has {len(variants)} entries; give at most {VARIANT_LIMIT - 1}: SageMaker takes {VARIANT_LIMIT}")
    longest = NAME_LIMIT - len(name) - len("--model") - AUTO_NAME
    for key, entry in variants.items():
        path = f"variants.{key}"
        if not rules.is_name(key, longest) or key == "shadow":
            faults.add(path, f"is a name that cannot be; give at most {longest} letters, digits and '-', and not 'shadow'")
        _check_entry(given, entry, path, faults)
    if variants and not faults.at("variants") and not faults.at("weight"):
        total = given.get("weight", 1.0) + sum(v["weight"] for v in variants.values())
        if total <= 0:
            faults.add(
                "weight",
                "and those of 'variants' are 0 together; give one above 0, whose part of their sum then is its part of the "
                "traffic (SageMaker API: ProductionVariant, InitialVariantWeight)",
            )
    if "shadow" in given and not faults.at("shadow"):
        shadow: Mapping[str, Any] = given["shadow"]
        _check_entry(given, shadow, "shadow", faults)
        bounded(shadow, "shadow", "weight", 0, 1, faults, "the part of the requests that it is shown")
        if "scaling" in shadow:
            faults.add("shadow.scaling", "is not for a shadow; give 'instance_count'")


def _check_entry(given: Mapping[str, Any], entry: Mapping[str, Any], path: str, faults: Faults) -> None:
    check_model(entry, path, faults)
    if faults.at(path):
        return
    whole = merged(given, entry)
    if "image" not in whole and "model_package_arn" not in whole:
        faults.add(f"{path}.image", "is required, for the endpoint has none; give it, or 'model_package_arn'")
    check_engine(whole, path, faults)
    check_weights(whole, path, faults)
    bounded(entry, path, "weight", 0, None, faults)
    bounded(entry, path, "instance_count", 1, None, faults)
    check_scaling(entry.get("scaling"), f"{path}.scaling", faults, count=entry.get("instance_count"))


def variant_args(
    variant: Variant, given: Mapping[str, Any], model: pulumi.Input[str] | None
) -> "aws.sagemaker.EndpointConfigurationProductionVariantArgsDict":
    """A variant with instances, as the endpoint configuration has it.

    Args:
        variant: Its numbers.
        given: The endpoint's arguments.
        model: Name of its model, None where components bring theirs.
    """
    made: aws.sagemaker.EndpointConfigurationProductionVariantArgsDict = {
        "variant_name": variant.name,
        "instance_type": cast("str", variant.instance_type),
        "initial_instance_count": variant.instance_count,
        # A long answer occupies its instance; picking instances at random would queue behind it.
        "routing_configs": [{"routing_strategy": "LEAST_OUTSTANDING_REQUESTS"}],
    }
    if model is not None:
        made["model_name"] = model
        made["model_data_download_timeout_in_seconds"] = variant.download_timeout
        made["container_startup_health_check_timeout_in_seconds"] = variant.startup_timeout
        made["initial_variant_weight"] = variant.weight
    # Told only where asked for: what is there as None is sent as a null.
    if (volume := given.get("volume_gib")) is not None:
        made["volume_size_in_gb"] = volume
    if (ami := given.get("inference_ami_version")) is not None:
        made["inference_ami_version"] = ami
    return made
