"""What a `SageMakerEndpoint` comes to: every default filled in, every fault told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from slipway.args import Faults, check_shape, known
from slipway.aws import sagemaker_rules as rules
from slipway.aws.sagemaker_alarm_checks import PER_VARIANT, check_alarms, rolls_back
from slipway.aws.sagemaker_args import SageMakerEndpointArgs
from slipway.aws.sagemaker_components import Component, check_components, components_of
from slipway.aws.sagemaker_containers import with_images
from slipway.aws.sagemaker_deployment import Deployment, check_deployment
from slipway.aws.sagemaker_model import check_engine, check_model, check_weights
from slipway.aws.sagemaker_rules import AUTO_NAME, NAME_LIMIT, STREAM_LIMIT_SECONDS, bounded
from slipway.aws.sagemaker_scaling import check_scaling
from slipway.aws.sagemaker_serverless import check_serverless
from slipway.aws.sagemaker_storage import check_storage
from slipway.aws.sagemaker_variants import Variant, check_variants, own_variant, shadow_variant, variants_beside


@dataclass(frozen=True)
class Fleet:
    """The endpoint asked for, checked, with every default filled in."""

    variants: tuple[Variant, ...]
    """The endpoint's own, then those beside it."""
    shadow: Variant | None
    components: tuple[Component, ...]
    deployment: Deployment

    @property
    def own(self) -> Variant:
        """The endpoint's own variant."""
        return self.variants[0]

    @classmethod
    def of(cls, name: str, args: SageMakerEndpointArgs) -> "Fleet":
        """Raises `pulumi.InputPropertiesError` that lists every fault."""
        faults = Faults("SageMakerEndpoint")
        given = with_images(check_shape(args, SageMakerEndpointArgs, faults), faults)
        _check_name(name, given, faults)
        _check_required(given, faults)
        check_model(given, "", faults)
        check_weights(given, "", faults)
        check_engine(given, "", faults)
        _check_storage_volume(given, faults)
        check_serverless(given, faults)
        check_storage(given, faults)
        check_components(name, given, faults)
        asynchronous = "async_inference" in given
        check_scaling(
            given.get("scaling"),
            "scaling",
            faults,
            to_zero=asynchronous,
            asynchronous=asynchronous,
            count=given.get("instance_count"),
        )
        check_variants(name, given, faults)
        _check_network(given, faults)
        bounded(given, "", "volume_gib", 1, 512, faults)
        bounded(given, "", "instance_count", 1, None, faults)
        check_alarms(given, faults)
        kinds = sum(kind in given.get("alarms", {}) for kind in PER_VARIANT) if not faults.at("alarms") else 0
        count = 1 + len(given.get("variants", {}))
        check_deployment(given, kinds * count if kinds and rolls_back(given) else 0, faults)
        faults.refuse(name)

        return cls(
            variants=(own_variant(given), *variants_beside(given)),
            shadow=shadow_variant(given),
            components=components_of(given),
            deployment=Deployment.of(given.get("deployment", {}), given.get("termination_wait_seconds", STREAM_LIMIT_SECONDS)),
        )


def _check_name(name: str, given: Mapping[str, Any], faults: Faults) -> None:
    longest = NAME_LIMIT - len("-endpoint") - AUTO_NAME
    if not rules.is_name(name, longest):
        faults.add(
            "name",
            f"(the component's own) is {name!r}, {len(name)} characters; give at most {longest} letters, digits and '-' "
            f"between them: SageMaker takes {NAME_LIMIT} (CreateEndpoint), the rest are the role and the random suffix",
        )
    chosen = given.get("endpoint_name")
    if isinstance(chosen, str) and not rules.is_name(chosen):
        faults.add(
            "endpoint_name",
            f"is {chosen!r}, {len(chosen)} characters; give at most {NAME_LIMIT} letters, digits and '-', with a letter or digit "
            "first and last (SageMaker API: CreateEndpoint)",
        )


def _check_required(given: Mapping[str, Any], faults: Faults) -> None:
    told = faults.at("image") or faults.at("container")
    if not {"image", "model_package_arn", "components"} & given.keys() and not told:
        faults.add("image", "is required; give it, 'container', 'model_package_arn' or 'components'")
    if "serverless" not in given and "instance_type" not in given and not faults.at("instance_type"):
        faults.add("instance_type", "is required; give it, such as 'ml.g6.2xlarge', or 'serverless'")


def _check_storage_volume(given: Mapping[str, Any], faults: Faults) -> None:
    chosen = given.get("instance_type")
    if isinstance(chosen, str) and rules.has_own_disks(chosen):
        for key in ("volume_gib", "volume_kms_key_arn"):
            if key in given:
                faults.add(key, f"goes with storage volumes, and {chosen} has disks of its own, which encrypt; leave it out")

    def told(arn: object) -> None:
        fault = rules.key_fault(arn) if isinstance(arn, str) else None
        if fault:
            faults.add("volume_kms_key_arn", fault)

    known(given.get("volume_kms_key_arn"), told)


def _check_network(given: Mapping[str, Any], faults: Faults) -> None:
    vpc = given.get("vpc")
    if not isinstance(vpc, Mapping) or faults.at("vpc"):
        return
    bounds = cast("Mapping[str, Any]", vpc)
    if not bounds["subnet_ids"]:
        faults.add("vpc.subnet_ids", "is empty; give at least one subnet")
    if not 1 <= len(bounds["security_group_ids"]) <= 5:
        faults.add("vpc.security_group_ids", f"has {len(bounds['security_group_ids'])} entries; give one to five")
