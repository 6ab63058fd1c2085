"""A language model from S3 behind a SageMaker endpoint, one in ten requests on trial weights, and a role that may call it."""

import json

import pulumi
import pulumi_aws as aws

from slipway import SageMakerEndpoint

config = pulumi.Config()

chat = SageMakerEndpoint(
    "chat",
    {
        "image": config.require("image"),
        "instance_type": "ml.g6.2xlarge",
        "weights_s3_uri": config.require("weightsS3Uri"),
        "weights_gib": 16,
        "environment": {"HF_MODEL_ID": "/opt/ml/model", "OPTION_ROLLING_BATCH": "vllm"},
        "scaling": {"min": 1, "max": 4, "invocations_per_instance": 60},
        "weight": 9,
        "variants": {"trial": {"weight": 1, "weights_s3_uri": config.require("trialWeightsS3Uri")}},
    },
)

caller = aws.iam.Role(
    "caller",
    assume_role_policy=json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "pods.eks.amazonaws.com"}}],
        }
    ),
)
chat.grant_invoke(caller.name)

pulumi.export("endpoint", chat.endpoint_name)
pulumi.export("caller", caller.arn)
