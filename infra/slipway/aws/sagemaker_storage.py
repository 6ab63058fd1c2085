"""What an endpoint writes to S3: answers of the asynchronous form, captured data."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from slipway.args import Faults, known
from slipway.aws import sagemaker_rules as rules
from slipway.aws.sagemaker_rules import bounded, excluded

if TYPE_CHECKING:
    import pulumi_aws as aws


def check_storage(given: Mapping[str, Any], faults: Faults) -> None:
    """Check where answers and captured data go."""
    excluded(given, "async_inference", ("variants", "shadow"), "its endpoints have one variant", faults)
    excluded(given, "async_inference", ("components",), "components answer at once", faults)
    for kind in ("async_inference", "data_capture"):
        if kind not in given or faults.at(kind):
            continue
        told: Mapping[str, Any] = given[kind]
        for key in ("output_s3_uri", "input_s3_uri", "failure_s3_uri", "s3_uri"):
            _check(told, kind, key, rules.prefix_fault, faults)
        _check(told, kind, "kms_key_arn", rules.key_fault, faults)
        for key in ("success_topic_arn", "error_topic_arn"):
            _check(told, kind, key, rules.topic_fault, faults)
        bounded(told, kind, "max_concurrent_per_instance", 1, 1000, faults)
        bounded(told, kind, "percent", 0, 100, faults)


def _check(told: Mapping[str, Any], kind: str, key: str, fault_of: Any, faults: Faults) -> None:
    def check(value: object) -> None:
        fault = fault_of(value) if isinstance(value, str) else None
        if fault is not None:
            faults.add(f"{kind}.{key}", fault)

    known(told.get(key), check)


def async_config(given: Mapping[str, Any]) -> "aws.sagemaker.EndpointConfigurationAsyncInferenceConfigArgsDict":
    """What the endpoint configuration is told of asynchronous inference."""
    output: Any = {"s3_output_path": given["output_s3_uri"]}
    for key, name in (("failure_s3_uri", "s3_failure_path"), ("kms_key_arn", "kms_key_id")):
        if key in given:
            output[name] = given[key]
    topics = {k: given[f"{k}_arn"] for k in ("success_topic", "error_topic") if f"{k}_arn" in given}
    if topics:
        output["notification_config"] = topics
    made: aws.sagemaker.EndpointConfigurationAsyncInferenceConfigArgsDict = {"output_config": output}
    if (most := given.get("max_concurrent_per_instance")) is not None:
        made["client_config"] = {"max_concurrent_invocations_per_instance": most}
    return made


def capture_config(given: Mapping[str, Any]) -> "aws.sagemaker.EndpointConfigurationDataCaptureConfigArgsDict":
    """What the endpoint configuration is told of data capture."""
    modes = ["Input", "Output"] if given.get("answers", True) else ["Input"]
    made: aws.sagemaker.EndpointConfigurationDataCaptureConfigArgsDict = {
        "enable_capture": True,
        "initial_sampling_percentage": given["percent"],
        "destination_s3_uri": given["s3_uri"],
        "capture_options": [{"capture_mode": mode} for mode in modes],
        # Without this, JSON is kept as base64.
        "capture_content_type_header": {"json_content_types": ["application/json"]},
    }
    if "kms_key_arn" in given:
        made["kms_key_id"] = given["kms_key_arn"]
    return made
