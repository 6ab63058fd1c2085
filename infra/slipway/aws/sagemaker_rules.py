"""What SageMaker's API takes and refuses, as far as it can be known before anything is created."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from slipway.args import Faults
from slipway.aws.ecr_image import EcrImage
from slipway.sizing import DOWNLOAD_MB_S, GIB, Weights, startup_seconds

NAME_LIMIT = 63
"""Most characters of an endpoint's, model's or endpoint configuration's name (SageMaker API Reference: CreateEndpoint)."""
TIMEOUT_LIMITS = (60, 3600)
"""Least and most seconds that SageMaker waits for a download or a start (SageMaker API Reference: ProductionVariant)."""
STREAM_LIMIT_SECONDS = 480
"""Longest answer that SageMaker streams (Amazon SageMaker AI endpoints and quotas)."""
AUTO_NAME = len("-0123456")
"""What Pulumi adds to a logical name."""

_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9])*")
_INSTANCE_TYPE = re.compile(r"ml\.(?P<family>[a-z][a-z0-9-]*)\.[a-z0-9]+")
_GPU_FAMILY = re.compile(r"(p|g|gr)[0-9].*")
_NEURON_FAMILY = re.compile(r"(inf|trn)[0-9].*")
# Their volumes are the instance's own disks, encrypted by the hardware: "Host instance storage volumes" of SageMaker's guide.
_LOCAL_STORAGE = re.compile(r"g4dn|g5|g6e?|gr6|g6f|p4de?|p5(e|en)?|p6.*|trn[0-9].*|[cmr][0-9][a-z]*d")
_PREFIX = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/([^*?$]+/)?")
_KEY_ARN = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+")
_TOPIC_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]*:[0-9]{12}:[A-Za-z0-9_.-]+")
_PACKAGE_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):sagemaker:(?P<region>[a-z0-9-]+):[0-9]{12}:model-package/[A-Za-z0-9-]+(/[0-9]+)?"
)


def is_name(text: str, longest: int = NAME_LIMIT) -> bool:
    """Whether SageMaker takes it for a name."""
    return len(text) <= longest and _NAME.fullmatch(text) is not None


def family_of(instance_type: str) -> str | None:
    """The family of a SageMaker instance type (`g6` of `ml.g6.2xlarge`), None for anything else."""
    found = _INSTANCE_TYPE.fullmatch(instance_type)
    return found["family"] if found else None


def engine_fault(image: EcrImage | None, instance_type: str) -> str | None:
    """Why the image's engine cannot run on this instance type, as far as the names tell."""
    needs, family = image.accelerator if image else None, family_of(instance_type) or ""
    if needs == "gpu" and not _GPU_FAMILY.fullmatch(family):
        return (
            f"is {instance_type!r}, which has no GPU (Amazon EC2 instance types: 'p' and 'g' have), and the image's engine "
            "needs one; give one such as 'ml.g6.2xlarge'"
        )
    if needs == "neuron" and not _NEURON_FAMILY.fullmatch(family):
        return f"is {instance_type!r}, and the image's engine runs on AWS Neuron; give an ml.inf or ml.trn type: 'ml.inf2.xlarge'"
    return None


def has_accelerators(instance_type: str) -> bool:
    """Whether the instance type has GPUs or Neuron devices."""
    family = family_of(instance_type) or ""
    return bool(_GPU_FAMILY.fullmatch(family) or _NEURON_FAMILY.fullmatch(family))


def has_own_disks(instance_type: str) -> bool:
    """Whether its storage is the instance's own, which encrypts and whose size is given."""
    return _LOCAL_STORAGE.fullmatch(family_of(instance_type) or "") is not None


def is_inf1(instance_type: str) -> bool:
    """Whether it is of the family that SageMaker's deployment guardrails leave out."""
    return family_of(instance_type) == "inf1"


def prefix_fault(uri: str) -> str | None:
    """What is wrong with a prefix in S3, None if nothing."""
    if _PREFIX.fullmatch(uri):
        return None
    return f"is {uri!r}; give s3://BUCKET/PREFIX/, ending in '/', and no '*', '?' or '$'"


def weights_fault(uri: str) -> str | None:
    """What is wrong with an address of weights, None if nothing."""
    if _PREFIX.fullmatch(uri):
        return None
    return f"is {uri!r}; give s3://BUCKET/PREFIX/, ending in '/', with the files uncompressed below it, and no '*', '?' or '$'"


def image_fault(reference: str) -> str | None:
    """What is wrong with an image reference, None if nothing."""
    if EcrImage.parse(reference):
        return None
    return (
        f"is {reference!r}; give ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY with :TAG or @sha256:DIGEST: "
        "SageMaker pulls from Amazon ECR"
    )


def key_fault(arn: str) -> str | None:
    """What is wrong with a key's ARN, None if nothing."""
    return None if _KEY_ARN.fullmatch(arn) else f"is {arn!r}; give the ARN of a KMS key, not of an alias"


def topic_fault(arn: str) -> str | None:
    """What is wrong with a topic's ARN, None if nothing."""
    return None if _TOPIC_ARN.fullmatch(arn) else f"is {arn!r}; give the ARN of an SNS topic: arn:aws:sns:REGION:ACCOUNT:NAME"


def package_fault(arn: str) -> str | None:
    """What is wrong with a model package's ARN, None if nothing."""
    if _PACKAGE_ARN.fullmatch(arn):
        return None
    return f"is {arn!r}; give the ARN of a version: arn:aws:sagemaker:REGION:ACCOUNT:model-package/NAME/VERSION"


def package_place(arn: str) -> tuple[str, str] | None:
    """Partition and region of a model package."""
    found = _PACKAGE_ARN.fullmatch(arn)
    return (found["partition"], found["region"]) if found else None


def under(path: str, key: str) -> str:
    """The path of an argument within another."""
    return f"{path}.{key}" if path else key


def bounded(given: Mapping[str, Any], path: str, key: str, low: float, high: float | None, faults: Faults, why: str = "") -> None:
    """Refuse a number outside of its bounds."""
    value, here = given.get(key), under(path, key)
    if isinstance(value, int | float) and not faults.at(here) and (value < low or (high is not None and value > high)):
        choice = f"give {low:g} or more" if high is None else f"give {low:g} to {high:g}"
        faults.add(here, f"is {value:g}; {choice}{f': {why}' if why else ''}")


def excluded(given: Mapping[str, Any], by: str, keys: Sequence[str], reason: str, faults: Faults) -> None:
    """Refuse what does not go together with an argument that is there."""
    if by in given:
        for key in keys:
            if key in given:
                faults.add(key, f"does not go with '{by}': {reason}; leave one of the two out")


def timeouts(weights_gib: float | None, from_s3: bool) -> tuple[int, int]:
    """Seconds for the download from S3 and for the container's start, by the arithmetic of `slipway.sizing`."""
    if weights_gib is None:
        return TIMEOUT_LIMITS[1], TIMEOUT_LIMITS[1]
    weights = Weights(round(weights_gib * GIB), f"{weights_gib:g} GiB")
    # A container that gets its model from a hub downloads it while it starts.
    startup, _ = startup_seconds(weights, download_mb_s=None if from_s3 else DOWNLOAD_MB_S)
    return _within(weights.size_bytes / 1e6 / DOWNLOAD_MB_S), _within(startup)


def _within(seconds: float) -> int:
    low, high = TIMEOUT_LIMITS
    return math.ceil(min(max(seconds, low), high))
