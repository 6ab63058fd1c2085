"""The execution role's policy: what all models of an endpoint need together, and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pulumi

from slipway.aws import sagemaker_rules as rules
from slipway.aws.ecr_image import EcrImage
from slipway.aws.policies import Execution
from slipway.aws.sagemaker_fleet import Fleet

_OF_A_MODEL = ("image", "model_package_arn", "weights_s3_uri", "weights_kms_key_arn")


def models(fleet: Fleet) -> list[tuple[str, Mapping[str, Any]]]:
    """Every model of the endpoint, with the path of its arguments."""
    found = [("" if v.key is None else f"variants.{v.key}.", v.model) for v in fleet.variants if v.model]
    if fleet.shadow:
        found.append(("shadow.", fleet.shadow.model))
    return found + [(f"components.{c.key}.", c.model) for c in fleet.components]


def execution_policy(name: str, args: Mapping[str, Any], fleet: Fleet) -> pulumi.Output[str]:
    """The policy, known in a plan if images, weights and keys are.

    Raises:
        pulumi.RunError: in the output, for a value that was unknown when the arguments were checked, and is wrong.
    """
    parts = models(fleet)
    inputs = {
        "models": [{k: model.get(k) for k in _OF_A_MODEL} for _, model in parts],
        "async": dict(args.get("async_inference") or {}),
        "capture": dict(args.get("data_capture") or {}),
        "volume": args.get("volume_kms_key_arn"),
    }

    def document(found: Mapping[str, Any]) -> str:
        told: Sequence[Mapping[str, Any]] = found["models"]
        for (path, _), model in zip(parts, told, strict=True):
            for key, fault_of in (("image", rules.image_fault), ("weights_s3_uri", rules.weights_fault)):
                if model[key] is not None and (fault := fault_of(model[key])):
                    raise pulumi.RunError(f"SageMakerEndpoint '{name}': args.{path}{key} {fault}")
        images = [image for model in told if model["image"] and (image := EcrImage.parse(model["image"]))]
        packages = [place for m in told if m["model_package_arn"] and (place := rules.package_place(m["model_package_arn"]))]
        partition, region = (images[0].partition, images[0].region) if images else packages[0]
        queued, captured = found["async"], found["capture"]
        output = queued.get("output_s3_uri")
        reads = [m["weights_s3_uri"] for m in told] + [queued.get("input_s3_uri", output)]
        keys = queued.get("kms_key_arn"), captured.get("kms_key_arn")
        return Execution(
            partition=partition,
            region=region,
            log_group=f"/aws/sagemaker/Endpoints/{args.get('endpoint_name') or f'{name}-endpoint-*'}",
            images=images,
            reads=_there(reads),
            writes=_there([output, queued.get("failure_s3_uri"), captured.get("s3_uri")]),
            decrypts=_there([m["weights_kms_key_arn"] for m in told]),
            encrypts=_there(keys),
            publishes=_there([queued.get("success_topic_arn"), queued.get("error_topic_arn")]),
            volume_kms_key_arn=found["volume"],
            in_vpc=args.get("vpc") is not None,
        ).document()

    return cast("pulumi.Output[dict[str, Any]]", pulumi.Output.from_input(inputs)).apply(document)


def _there(values: Sequence[str | None]) -> list[str]:
    return [v for v in values if v is not None]
