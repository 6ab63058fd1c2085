"""One model of a `SageMakerEndpoint`: its container and weights, checked; its share of the execution role."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import pulumi

from slipway.accelerators import Place
from slipway.args import Faults, known
from slipway.aws import sagemaker_rules as rules
from slipway.aws.ecr_image import EcrImage
from slipway.aws.sagemaker_rules import under
from slipway.machines import find, lacking_region

if TYPE_CHECKING:
    import pulumi_aws as aws

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,1023}")
_SECRET_NAME = re.compile(r"(^|_)(TOKEN|KEY|SECRET|PASSWORD)$")
ENVIRONMENT_LIMIT = 100
"""Most variables of a container (SageMaker API Reference: ContainerDefinition)."""


def check_model(given: Mapping[str, Any], path: str, faults: Faults) -> None:
    """Check what a container runs and where its weights are; `path` is that of the arguments that say so."""
    _told(given, path, "image", rules.image_fault, faults)
    _told(given, path, "weights_s3_uri", rules.weights_fault, faults)
    _told(given, path, "weights_kms_key_arn", rules.key_fault, faults)
    _told(given, path, "model_package_arn", rules.package_fault, faults)
    size, here = given.get("weights_gib"), under(path, "weights_gib")
    if isinstance(size, int | float) and not faults.at(here) and size <= 0:
        faults.add(here, f"is {size:g}; give a size above 0, or leave it out if it is unknown")
    environment = given.get("environment")
    if isinstance(environment, Mapping):
        names = cast("Mapping[str, object]", environment)
        for key in names:
            if not _ENV_NAME.fullmatch(key):
                faults.add(
                    under(path, f"environment.{key}"), "is no name of a variable; give letters, digits and '_', no digit first"
                )
        if len(names) > ENVIRONMENT_LIMIT:
            faults.add(under(path, "environment"), f"has {len(names)} variables; give at most {ENVIRONMENT_LIMIT}")
        if "model_package_arn" in given:
            faults.add(under(path, "environment"), "does not go with 'model_package_arn', which brings its own; leave it out")


def check_weights(given: Mapping[str, Any], path: str, faults: Faults) -> None:
    """Check what goes with weights only."""
    if "weights_kms_key_arn" in given and "weights_s3_uri" not in given:
        faults.add(under(path, "weights_kms_key_arn"), "goes with 'weights_s3_uri'")


def check_engine(given: Mapping[str, Any], path: str, faults: Faults) -> None:
    """Check that the instance type is one, and that the image's engine can run on it."""
    chosen, here = given.get("instance_type"), under(path, "instance_type")
    if not isinstance(chosen, str) or faults.at(here):
        return
    if rules.family_of(chosen) is None:
        faults.add(here, f"is {chosen!r}; give a SageMaker instance type, which begins with 'ml.', such as 'ml.g6.2xlarge'")
        return

    def engine(reference: object) -> None:
        image = EcrImage.parse(reference) if isinstance(reference, str) else None
        fault = rules.engine_fault(image, chosen)
        if image and fault is None:
            # SageMaker pulls only from its own region.
            machine = next(iter(find(Place.SAGEMAKER, chosen)), None)
            fault = lacking_region(machine, image.region) if machine else None
        if fault:
            faults.add(here, fault)

    known(given.get("image"), engine)


def hidden(environment: Mapping[str, pulumi.Input[str]]) -> dict[str, pulumi.Input[str]]:
    """The same variables, those with the names of credentials as secrets."""
    return {k: pulumi.Output.secret(v) if _SECRET_NAME.search(k) else v for k, v in environment.items()}


def with_secrets(args: Mapping[str, Any]) -> dict[str, Any]:
    """The same arguments with every credential in an environment a secret, wherever that environment is."""
    made: dict[str, Any] = {}
    for key, value in args.items():
        if key == "environment" and isinstance(value, Mapping):
            made[key] = hidden(cast("Mapping[str, Any]", value))
        elif key in ("variants", "components") and isinstance(value, Mapping):
            made[key] = {k: with_secrets(v) for k, v in cast("Mapping[str, Mapping[str, Any]]", value).items()}
        elif key == "shadow" and isinstance(value, Mapping):
            made[key] = with_secrets(cast("Mapping[str, Any]", value))
        else:
            made[key] = value
    return made


def container(model: Mapping[str, Any]) -> "aws.sagemaker.ModelPrimaryContainerArgsDict":
    """Image, environment and weights of a model, or the package that names them."""
    if (package := model.get("model_package_arn")) is not None:
        return {"model_package_name": package}
    made: aws.sagemaker.ModelPrimaryContainerArgsDict = {
        "image": model["image"],
        "environment": hidden(model.get("environment") or {}),
    }
    uri = model.get("weights_s3_uri")
    if uri is not None:
        made["model_data_source"] = {
            "s3_data_sources": [{"s3_uri": uri, "s3_data_type": "S3Prefix", "compression_type": "None"}],
        }
    return made


def _told(given: Mapping[str, Any], path: str, key: str, fault_of: Any, faults: Faults) -> None:
    def check(value: object) -> None:
        fault = fault_of(value) if isinstance(value, str) else None
        if fault is not None:
            faults.add(under(path, key), fault)

    known(given.get(key), check)
