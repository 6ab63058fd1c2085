"""The serverless form of an endpoint: what it excludes, and what it is told."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from slipway.args import Faults, known
from slipway.aws.ecr_image import EcrImage
from slipway.aws.sagemaker_rules import bounded, excluded
from slipway.aws.sagemaker_scaling import Scaling, Target, check_cooldowns, check_schedules

if TYPE_CHECKING:
    import pulumi_aws as aws

MEMORY_MIB = (1024, 2048, 3072, 4096, 5120, 6144)
"""Sizes that there are (SageMaker API Reference: ProductionVariantServerlessConfig)."""
MOST_AT_ONCE = 200
"""Most requests at once of an endpoint (as above)."""
UTILIZATION = 0.7
"""Share of what is kept warm that is in use, unless one says otherwise."""
_API = "SageMaker API: ProductionVariantServerlessConfig"
_GUIDE = "SageMaker AI guide, 'Serverless Inference': feature exclusions"
_EXCLUDED = (
    ("instance_type", "instance_count", "scaling", "volume_gib", "volume_kms_key_arn", "inference_ami_version"),
    ("variants", "shadow", "components", "vpc", "network_isolation", "data_capture", "async_inference"),
)


def check_serverless(given: Mapping[str, Any], faults: Faults) -> None:
    """Check limits and exclusions."""
    if "serverless" not in given:
        return
    excluded(given, "serverless", _EXCLUDED[0], "there are no instances to choose", faults)
    excluded(given, "serverless", _EXCLUDED[1], f"SageMaker has no serverless form of it ({_GUIDE})", faults)

    def engine(reference: object) -> None:
        image = EcrImage.parse(reference) if isinstance(reference, str) else None
        if image and image.accelerator:
            needed = "a GPU" if image.accelerator == "gpu" else "AWS Neuron"
            faults.add(
                "serverless",
                f"has CPUs only ({_GUIDE}), and the image's engine needs {needed}; give an 'instance_type' instead, or an image "
                "for CPUs",
            )

    known(given.get("image"), engine)
    serverless: Mapping[str, Any] = given["serverless"]
    if faults.at("serverless"):
        return
    if serverless["memory_mib"] not in MEMORY_MIB:
        sizes = ", ".join(str(m) for m in MEMORY_MIB)
        faults.add("serverless.memory_mib", f"is {serverless['memory_mib']}; give one of {sizes} ({_API})")
    bounded(serverless, "serverless", "max_concurrency", 1, MOST_AT_ONCE, faults, _API)
    bounded(
        serverless,
        "serverless",
        "provisioned_concurrency",
        1,
        max(min(serverless["max_concurrency"], MOST_AT_ONCE), 1),
        faults,
        f"no more than 'max_concurrency' ({_API})",
    )
    if "scaling" in serverless:
        _check_scaling(serverless, faults)


def _check_scaling(serverless: Mapping[str, Any], faults: Faults) -> None:
    """Bounds as in "Automatically scale Provisioned Concurrency for a serverless endpoint" of SageMaker's guide."""
    path, scaling, most = "serverless.scaling", serverless["scaling"], max(min(serverless["max_concurrency"], MOST_AT_ONCE), 1)
    if "provisioned_concurrency" not in serverless:
        faults.add(path, "changes 'provisioned_concurrency', and there is none; give that, or leave 'scaling' out")
    bounded(scaling, path, "min", 1, most, faults, "no more than 'max_concurrency'")
    bounded(scaling, path, "max", 1, most, faults, "no more than 'max_concurrency'")
    if scaling["max"] < scaling["min"] and not faults.at(path):
        faults.add(f"{path}.max", f"is {scaling['max']}, below {path}.min ({scaling['min']}); give at least {scaling['min']}")
    share = scaling.get(Target.UTILIZATION.value, UTILIZATION)
    if not 0 < share <= 1:
        faults.add(f"{path}.utilization", f"is {share:g}; give a share of what is warm, above 0 and at most 1")
    check_cooldowns(scaling, path, faults)
    check_schedules(scaling, path, 1, faults)
    for name, entry in scaling.get("schedules", {}).items():
        bounded(entry, f"{path}.schedules.{name}", "max", 1, most, faults, "no more than 'max_concurrency'")
    warm = serverless.get("provisioned_concurrency")
    if warm is not None and not faults.at("serverless") and not scaling["min"] <= warm <= scaling["max"]:
        between = f"{scaling['min']} to {scaling['max']}"
        faults.add("serverless.provisioned_concurrency", f"is {warm}, outside of scaling ({between}); give a number within")


def serverless_scaling(given: Mapping[str, Any]) -> Scaling | None:
    """How much is kept warm, from arguments that were checked."""
    scaling = given.get("scaling")
    return Scaling.of({Target.UTILIZATION.value: UTILIZATION, **scaling} if scaling else None)


def serverless_config(given: Mapping[str, Any]) -> "aws.sagemaker.EndpointConfigurationProductionVariantServerlessConfigArgsDict":
    """What the variant is told."""
    made: aws.sagemaker.EndpointConfigurationProductionVariantServerlessConfigArgsDict = {
        "memory_size_in_mb": given["memory_mib"],
        "max_concurrency": given["max_concurrency"],
    }
    if "provisioned_concurrency" in given:
        made["provisioned_concurrency"] = given["provisioned_concurrency"]
    return made
