"""The numbers of a `SageMakerEndpoint`: every default filled in, every fault told."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from slipway.args import Faults, check_shape, known
from slipway.aws.ecr_image import EcrImage
from slipway.aws.sagemaker_args import SageMakerEndpointArgs
from slipway.sizing import DOWNLOAD_MB_S, GIB, Weights, startup_seconds

NAME_LIMIT = 63
"""Most characters of an endpoint's, model's or endpoint configuration's name (SageMaker API Reference: CreateEndpoint)."""
TIMEOUT_LIMITS = (60, 3600)
"""Least and most seconds that SageMaker waits for a download or a start (SageMaker API Reference: ProductionVariant)."""
STREAM_LIMIT_SECONDS = 480
"""Longest answer that SageMaker streams (Amazon SageMaker AI endpoints and quotas)."""

_AUTO_NAME = len("-0123456")
_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9])*")
_INSTANCE_TYPE = re.compile(r"ml\.(?P<family>[a-z][a-z0-9-]*)\.[a-z0-9]+")
_GPU_FAMILY = re.compile(r"(p|g|gr)[0-9].*")
_NEURON_FAMILY = re.compile(r"(inf|trn)[0-9].*")
# Their volumes are the instance's own disks, encrypted by the hardware: "Host instance storage volumes" of SageMaker's guide.
_LOCAL_STORAGE = re.compile(r"g4dn|g5|g6e?|gr6|g6f|p4de?|p5(e|en)?|p6.*|trn[0-9].*|[cmr][0-9][a-z]*d")
_WEIGHTS = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/([^*?$]+/)?")
_KEY_ARN = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,1023}")


@dataclass(frozen=True)
class Scaling:
    """`SageMakerScaling`, checked, with its defaults."""

    min: int
    max: int
    invocations_per_instance: float
    scale_out_cooldown_seconds: int = 300
    scale_in_cooldown_seconds: int = 300


@dataclass(frozen=True)
class Fleet:
    """The numbers asked for, checked, with every default filled in."""

    instance_count: int
    variant: str
    download_timeout: int
    startup_timeout: int
    termination_wait: int
    network_isolation: bool
    scaling: Scaling | None

    @classmethod
    def of(cls, name: str, args: SageMakerEndpointArgs) -> "Fleet":
        """Raises `pulumi.InputPropertiesError` that lists every fault."""
        faults = Faults("SageMakerEndpoint")
        given = check_shape(args, SageMakerEndpointArgs, faults)
        _check_name(name, given, faults)
        _check_hardware(given, faults)
        _check_sources(given, faults)
        _check_scaling(given, faults)
        _check_network(given, faults)
        _range(given, "termination_wait_seconds", 0, 3600, faults)
        _range(given, "volume_gib", 1, 512, faults)
        _range(given, "instance_count", 1, None, faults)
        faults.refuse(name)

        scaling = Scaling(**given["scaling"]) if "scaling" in given else None
        from_s3 = "weights_s3_uri" in given
        download, startup = _timeouts(given.get("weights_gib"), from_s3)
        return cls(
            instance_count=given.get("instance_count", scaling.min if scaling else 1),
            variant=_variant(given["instance_type"]),
            download_timeout=download,
            startup_timeout=startup,
            termination_wait=given.get("termination_wait_seconds", STREAM_LIMIT_SECONDS),
            network_isolation=given.get("network_isolation", from_s3 and "vpc" not in given),
            scaling=scaling,
        )


def weights_fault(uri: str) -> str | None:
    """What is wrong with an address of weights, None if nothing."""
    if _WEIGHTS.fullmatch(uri):
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


def _check_name(name: str, given: Mapping[str, Any], faults: Faults) -> None:
    longest = NAME_LIMIT - len("-endpoint") - _AUTO_NAME
    if len(name) > longest or not _NAME.fullmatch(name):
        faults.add(
            "name",
            f"(the component's own) is {name!r}, {len(name)} characters; give at most {longest} letters, digits and '-' "
            f"between them: SageMaker takes {NAME_LIMIT}, the rest are the role and the random suffix",
        )
    chosen = given.get("endpoint_name")
    if isinstance(chosen, str) and (len(chosen) > NAME_LIMIT or not _NAME.fullmatch(chosen)):
        faults.add(
            "endpoint_name",
            f"is {chosen!r}, {len(chosen)} characters; give at most {NAME_LIMIT} letters, digits and '-', with a letter or digit "
            "first and last",
        )


def _check_hardware(given: Mapping[str, Any], faults: Faults) -> None:
    chosen = given.get("instance_type")
    if not isinstance(chosen, str):
        return
    found = _INSTANCE_TYPE.fullmatch(chosen)
    if found is None:
        faults.add(
            "instance_type", f"is {chosen!r}; give a SageMaker instance type, which begins with 'ml.', such as 'ml.g6.2xlarge'"
        )
        return
    family = found["family"]

    def engine(reference: object) -> None:
        image = EcrImage.parse(reference) if isinstance(reference, str) else None
        needs = image.accelerator if image else None
        if needs == "gpu" and not _GPU_FAMILY.fullmatch(family):
            faults.add(
                "instance_type",
                f"is {chosen!r}, which has no GPU, and the image's engine needs one; give one such as 'ml.g6.2xlarge'",
            )
        if needs == "neuron" and not _NEURON_FAMILY.fullmatch(family):
            faults.add(
                "instance_type",
                f"is {chosen!r}, and the image's engine runs on AWS Neuron; give an ml.inf or ml.trn type: 'ml.inf2.xlarge'",
            )

    known(given.get("image"), engine)
    if _LOCAL_STORAGE.fullmatch(family):
        for key in ("volume_gib", "volume_kms_key_arn"):
            if key in given:
                faults.add(key, f"goes with storage volumes, and {chosen} has disks of its own, which encrypt; leave it out")


def _check_sources(given: Mapping[str, Any], faults: Faults) -> None:
    def told(key: str, fault: str | None) -> None:
        if fault is not None:
            faults.add(key, fault)

    known(given.get("image"), lambda v: told("image", image_fault(v) if isinstance(v, str) else None))
    known(given.get("weights_s3_uri"), lambda v: told("weights_s3_uri", weights_fault(v) if isinstance(v, str) else None))
    for key in ("weights_kms_key_arn", "volume_kms_key_arn"):
        known(
            given.get(key),
            lambda v, key=key: told(
                key,
                None
                if not isinstance(v, str) or _KEY_ARN.fullmatch(v)
                else f"is {v!r}; give the ARN of a KMS key, not of an alias",
            ),
        )
    if "weights_kms_key_arn" in given and "weights_s3_uri" not in given:
        faults.add("weights_kms_key_arn", "goes with 'weights_s3_uri'")
    size = given.get("weights_gib")
    if isinstance(size, int | float) and not faults.at("weights_gib") and size <= 0:
        faults.add("weights_gib", f"is {size:g}; give a size above 0, or leave it out if it is unknown")
    environment = given.get("environment")
    if isinstance(environment, Mapping):
        for key in cast("Mapping[str, object]", environment):
            if not _ENV_NAME.fullmatch(key):
                faults.add(f"environment.{key}", "is no name of a variable; give letters, digits and '_', no digit first")


def _check_scaling(given: Mapping[str, Any], faults: Faults) -> None:
    scaling = given.get("scaling")
    if not isinstance(scaling, Mapping) or faults.at("scaling"):
        return
    scaling = cast("Mapping[str, Any]", scaling)
    low, high = scaling["min"], scaling["max"]
    if low < 1:
        faults.add("scaling.min", f"is {low}; give at least 1: only endpoints of inference components scale to 0")
    if high < low:
        faults.add("scaling.max", f"is {high}, below scaling.min ({low}); give at least {low}")
    if scaling["invocations_per_instance"] <= 0:
        faults.add(
            "scaling.invocations_per_instance",
            f"is {scaling['invocations_per_instance']:g}; give invocations per minute, above 0",
        )
    for key in ("scale_out_cooldown_seconds", "scale_in_cooldown_seconds"):
        if scaling.get(key, 0) < 0:
            faults.add(f"scaling.{key}", f"is {scaling[key]}; give 0 or more seconds")
    count = given.get("instance_count")
    if isinstance(count, int) and not faults.at("scaling") and not low <= count <= high:
        faults.add("instance_count", f"is {count}, outside of scaling ({low} to {high}); give a number within, or leave it out")


def _check_network(given: Mapping[str, Any], faults: Faults) -> None:
    vpc = given.get("vpc")
    if not isinstance(vpc, Mapping) or faults.at("vpc"):
        return
    vpc = cast("Mapping[str, Any]", vpc)
    if not vpc["subnet_ids"]:
        faults.add("vpc.subnet_ids", "is empty; give at least one subnet")
    if not 1 <= len(vpc["security_group_ids"]) <= 5:
        faults.add("vpc.security_group_ids", f"has {len(vpc['security_group_ids'])} entries; give one to five")


def _range(given: Mapping[str, Any], key: str, low: int, high: int | None, faults: Faults) -> None:
    value = given.get(key)
    if isinstance(value, int) and not faults.at(key) and (value < low or (high is not None and value > high)):
        faults.add(key, f"is {value}; give {low} or more" if high is None else f"is {value}; give {low} to {high}")


def _variant(instance_type: str) -> str:
    """Named by its instance type, since an update that changes the instance type of a variant with autoscaling is refused
    (SageMaker guide: "Update endpoints that use auto scaling"): so it gets a new variant instead."""
    return instance_type.removeprefix("ml.").replace(".", "-")


def _timeouts(weights_gib: float | None, from_s3: bool) -> tuple[int, int]:
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
