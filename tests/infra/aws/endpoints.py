"""Endpoints of every form, for the tests."""

from typing import Any

from slipway import SageMakerEndpoint
from slipway.aws.sagemaker_args import SageMakerEndpointArgs, SageMakerStrategy
from slipway.plan import Plan, plan_program

IMAGE = "763104351884.dkr.ecr.eu-central-1.amazonaws.com/djl-inference:0.33.0-lmi15.0.0-cu128"
CPU_IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/llama-cpp:1"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:pages"
PACKAGE = "arn:aws:sagemaker:eu-central-1:123456789012:model-package/llama/3"
SMALL: SageMakerEndpointArgs = {"image": IMAGE, "instance_type": "ml.g6.2xlarge"}
AB: SageMakerEndpointArgs = {
    **SMALL,
    "endpoint_name": "chat",
    "weights_s3_uri": "s3://models/llama/8b/",
    "environment": {"HF_MODEL_ID": "/opt/ml/model"},
    "weight": 9,
    "variants": {
        "tuned": {
            "weight": 1,
            "weights_s3_uri": "s3://models/llama/8b-tuned/",
            "scaling": {"min": 1, "max": 2, "concurrent_requests_per_instance": 8},
        }
    },
    "deployment": {"strategy": SageMakerStrategy.CANARY, "step_percent": 20, "wait_seconds": 600, "alarm_names": ["slow"]},
    "alarms": {"error_percent": 5, "latency_p99_ms": 30000, "topic_arns": [TOPIC]},
    "data_capture": {"s3_uri": "s3://logs/chat/", "percent": 10},
    "tags": {"team": "search"},
}
SHADOW: SageMakerEndpointArgs = {**SMALL, "shadow": {"weight": 0.5, "instance_type": "ml.g6e.2xlarge"}}
SERVERLESS: SageMakerEndpointArgs = {"image": CPU_IMAGE, "serverless": {"memory_mib": 4096, "max_concurrency": 20}}
WARM: SageMakerEndpointArgs = {
    "image": CPU_IMAGE,
    "serverless": {
        "memory_mib": 4096,
        "max_concurrency": 20,
        "provisioned_concurrency": 2,
        "scaling": {"min": 1, "max": 10, "schedules": {"day": {"when": "cron(0 7 ? * MON-FRI *)", "min": 4}}},
    },
}
ASYNC: SageMakerEndpointArgs = {
    **SMALL,
    "async_inference": {
        "output_s3_uri": "s3://jobs/out/",
        "input_s3_uri": "s3://jobs/in/",
        "failure_s3_uri": "s3://jobs/failed/",
        "kms_key_arn": KEY,
        "success_topic_arn": TOPIC,
        "max_concurrent_per_instance": 4,
    },
    "scaling": {"min": 0, "max": 3, "backlog_per_instance": 5},
}
COMPONENTS: SageMakerEndpointArgs = {
    "instance_type": "ml.g6.12xlarge",
    "managed_instances": {"min": 0, "max": 4},
    "tags": {"team": "search"},
    "components": {
        "llama": {
            "image": IMAGE,
            "weights_s3_uri": "s3://models/llama/8b/",
            "weights_gib": 16,
            "environment": {"HF_MODEL_ID": "/opt/ml/model"},
            "memory_mib": 24576,
            "accelerators": 1,
            "scaling": {"min": 0, "max": 8, "concurrent_requests_per_instance": 8},
        },
        "embed": {"image": CPU_IMAGE, "memory_mib": 4096, "cpus": 2, "copies": 2},
    },
}
STEPS: SageMakerEndpointArgs = {
    **SMALL,
    "scaling": {
        "min": 1,
        "max": 8,
        "concurrent_requests_per_instance": 8,
        "steps": [{"above": 16, "add": 1}, {"above": 32, "add": 3}],
        "schedules": {"day": {"when": "cron(0 7 ? * MON-FRI *)", "timezone": "Europe/Berlin", "min": 2}},
    },
}
FROM_PACKAGE: SageMakerEndpointArgs = {"model_package_arn": PACKAGE, "image": IMAGE, "instance_type": "ml.g6.2xlarge"}
ROLLING: SageMakerEndpointArgs = {**SMALL, "deployment": {"strategy": SageMakerStrategy.ROLLING}}
LINEAR: SageMakerEndpointArgs = {**SMALL, "deployment": {"strategy": SageMakerStrategy.LINEAR, "max_seconds": 7200}}
FORMS: dict[str, SageMakerEndpointArgs] = {
    "a/b": AB,
    "shadow": SHADOW,
    "serverless": SERVERLESS,
    "warm": WARM,
    "async": ASYNC,
    "components": COMPONENTS,
    "steps": STEPS,
    "package": FROM_PACKAGE,
    "rolling": ROLLING,
    "linear": LINEAR,
}


def planned(args: SageMakerEndpointArgs) -> Plan:
    """The plan of one endpoint that a role may call."""

    def program() -> None:
        SageMakerEndpoint("chat", args).grant_invoke("router")

    return plan_program(program)


def inputs(args: SageMakerEndpointArgs, name: str) -> dict[str, Any]:
    """What one resource of its plan is told."""
    return dict(planned(args)[name].inputs)
