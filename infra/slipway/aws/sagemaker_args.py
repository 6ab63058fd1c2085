"""What a `SageMakerEndpoint` is told."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi


class SageMakerVpc(TypedDict):
    """Where in a VPC the containers run."""

    subnet_ids: Sequence[pulumi.Input[str]]
    """Subnets, at least one; two in different zones survive a zone's loss."""
    security_group_ids: Sequence[pulumi.Input[str]]
    """Security groups, one to five."""


class SageMakerScaling(TypedDict):
    """How the number of instances follows the load: target tracking on invocations for each instance."""

    min: int
    """Fewest instances, at least 1: only endpoints of inference components scale to 0."""
    max: int
    """Most instances."""
    invocations_per_instance: float
    """Invocations for one instance in one minute that scaling keeps to. Measure what one can serve, and take some 70 %."""
    scale_out_cooldown_seconds: NotRequired[int]
    """Least time between two steps up, in seconds. Default 300."""
    scale_in_cooldown_seconds: NotRequired[int]
    """Least time between two steps down, in seconds. Default 300."""


class SageMakerEndpointArgs(TypedDict):
    """What a `SageMakerEndpoint` is told."""

    image: pulumi.Input[str]
    """Serving container in Amazon ECR, in the endpoint's region, with `:TAG` or `@sha256:DIGEST`: one's own, or one that AWS
    publishes. It must answer `GET /ping` and `POST /invocations` on port 8080."""
    instance_type: str
    """SageMaker instance type, such as `ml.g6.2xlarge`. A change makes a new fleet, and moves the traffic to it."""
    weights_s3_uri: NotRequired[pulumi.Input[str]]
    """`s3://BUCKET/PREFIX/` with the weights uncompressed; the container finds them under `/opt/ml/model`. Default: none, and the
    container fetches its model itself, told by `environment` (`HF_MODEL_ID` in AWS's LMI and TGI containers)."""
    weights_kms_key_arn: NotRequired[pulumi.Input[str]]
    """KMS key with which the objects under `weights_s3_uri` are encrypted. Default: none that needs a permission."""
    weights_gib: NotRequired[float]
    """Size of the weights, in GiB. From it come the time-outs of download and start. Default: unknown, the service's longest."""
    environment: NotRequired[Mapping[str, pulumi.Input[str]]]
    """The container's environment. Values of names that end in TOKEN, KEY, SECRET or PASSWORD are secrets in the stack's state;
    SageMaker shows them to whoever may describe the model."""
    instance_count: NotRequired[int]
    """Instances. With `scaling`: how many each new fleet begins with, so keep it at what your load needs. Default 1, or
    `scaling.min`."""
    scaling: NotRequired[SageMakerScaling]
    """Autoscaling. Default: none."""
    endpoint_name: NotRequired[str]
    """Name that callers use, unique in account and region. Default: the component's name, the role and a random suffix. Give it
    if the project changes Pulumi's auto-naming, since the log permission follows the name."""
    volume_gib: NotRequired[int]
    """Storage of each instance, in GiB, 1 to 512. Default: SageMaker's choice. Not for instance types with disks of their own."""
    volume_kms_key_arn: NotRequired[pulumi.Input[str]]
    """KMS key for that storage. Default: SageMaker's own key. Not for instance types with disks of their own, which encrypt."""
    vpc: NotRequired[SageMakerVpc]
    """VPC for the containers. Default: SageMaker's own network."""
    network_isolation: NotRequired[bool]
    """Whether the containers reach no network. Default: true with `weights_s3_uri` and without `vpc`, else false."""
    inference_ami_version: NotRequired[pulumi.Input[str]]
    """SageMaker's machine image, which decides the GPU driver, such as `al2-ami-sagemaker-inference-gpu-3-1`. Default:
    SageMaker's choice."""
    termination_wait_seconds: NotRequired[int]
    """How long the old fleet stays after an update has moved the traffic, in seconds, 0 to 3600. Default 480: the longest stream
    that SageMaker allows, so that none is cut."""
    tags: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Tags of every resource that takes some. Default: the provider's."""
