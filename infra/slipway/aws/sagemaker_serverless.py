"""The serverless form of an endpoint: what it excludes, and what it is told."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from slipway.args import Faults, known
from slipway.aws.ecr_image import EcrImage
from slipway.aws.sagemaker_rules import bounded, excluded

if TYPE_CHECKING:
    import pulumi_aws as aws

MEMORY_MIB = (1024, 2048, 3072, 4096, 5120, 6144)
"""Sizes that there are (SageMaker API Reference: ProductionVariantServerlessConfig)."""
MOST_AT_ONCE = 200
_EXCLUDED = (
    ("instance_type", "instance_count", "scaling", "volume_gib", "volume_kms_key_arn", "inference_ami_version"),
    ("variants", "shadow", "components", "vpc", "network_isolation", "data_capture", "async_inference"),
)


def check_serverless(given: Mapping[str, Any], faults: Faults) -> None:
    """Check limits and exclusions ("Serverless Inference: feature exclusions" of SageMaker's guide)."""
    if "serverless" not in given:
        return
    excluded(given, "serverless", _EXCLUDED[0], "there are no instances to choose", faults)
    excluded(given, "serverless", _EXCLUDED[1], "SageMaker has no serverless form of it", faults)

    def engine(reference: object) -> None:
        image = EcrImage.parse(reference) if isinstance(reference, str) else None
        if image and image.accelerator:
            needed = "a GPU" if image.accelerator == "gpu" else "AWS Neuron"
            faults.add(
                "serverless",
                f"has CPUs only, and the image's engine needs {needed}; give an 'instance_type' instead, or an image for CPUs",
            )

    known(given.get("image"), engine)
    serverless: Mapping[str, Any] = given["serverless"]
    if faults.at("serverless"):
        return
    if serverless["memory_mib"] not in MEMORY_MIB:
        sizes = ", ".join(str(m) for m in MEMORY_MIB)
        faults.add("serverless.memory_mib", f"is {serverless['memory_mib']}; give one of {sizes}")
    bounded(serverless, "serverless", "max_concurrency", 1, MOST_AT_ONCE, faults)
    bounded(
        serverless,
        "serverless",
        "provisioned_concurrency",
        1,
        max(min(serverless["max_concurrency"], MOST_AT_ONCE), 1),
        faults,
        "no more than 'max_concurrency'",
    )


def serverless_config(given: Mapping[str, Any]) -> "aws.sagemaker.EndpointConfigurationProductionVariantServerlessConfigArgsDict":
    """What the variant is told."""
    made: aws.sagemaker.EndpointConfigurationProductionVariantServerlessConfigArgsDict = {
        "memory_size_in_mb": given["memory_mib"],
        "max_concurrency": given["max_concurrency"],
    }
    if "provisioned_concurrency" in given:
        made["provisioned_concurrency"] = given["provisioned_concurrency"]
    return made
