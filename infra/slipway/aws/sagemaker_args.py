"""What a `SageMakerEndpoint` is told."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NotRequired, TypedDict

import pulumi

from slipway.aws.sagemaker_container_args import SageMakerContainer
from slipway.aws.sagemaker_scaling_args import SageMakerConcurrencyScaling, SageMakerScaling


class SageMakerVpc(TypedDict):
    """Where in a VPC the containers run."""

    subnet_ids: Sequence[pulumi.Input[str]]
    """Subnets, at least one; two in different zones survive a zone's loss."""
    security_group_ids: Sequence[pulumi.Input[str]]
    """Security groups, one to five."""


class SageMakerVariant(TypedDict):
    """A second production variant, or a shadow. What is absent is the endpoint's own, but for `scaling` and `instance_count`."""

    weight: float
    """Its part of the traffic is its weight in the sum of all, the endpoint's own (`weight`) with them. 0 leaves it reachable by
    its name only. For a shadow: the part of the endpoint's own requests that it is shown, 1 for all."""
    image: NotRequired[pulumi.Input[str]]
    """As the endpoint's `image`."""
    container: NotRequired[SageMakerContainer]
    """As the endpoint's `container`."""
    model_package_arn: NotRequired[pulumi.Input[str]]
    """As the endpoint's `model_package_arn`."""
    weights_s3_uri: NotRequired[pulumi.Input[str]]
    """As the endpoint's `weights_s3_uri`. `weights_gib` then is the endpoint's no longer."""
    weights_kms_key_arn: NotRequired[pulumi.Input[str]]
    """As the endpoint's `weights_kms_key_arn`."""
    weights_gib: NotRequired[float]
    """As the endpoint's `weights_gib`, in GiB."""
    environment: NotRequired[Mapping[str, pulumi.Input[str]]]
    """As the endpoint's `environment`, and instead of all of it."""
    instance_type: NotRequired[str]
    """As the endpoint's `instance_type`."""
    instance_count: NotRequired[int]
    """Instances. Default 1, or `scaling.min`."""
    scaling: NotRequired[SageMakerScaling]
    """Its autoscaling. Default: none. A shadow has none."""


class SageMakerComponent(TypedDict):
    """An inference component: one of several models that share the endpoint's instances."""

    image: NotRequired[pulumi.Input[str]]
    """As the endpoint's `image`. Required, unless `container` is given."""
    container: NotRequired[SageMakerContainer]
    """As the endpoint's `container`."""
    weights_s3_uri: NotRequired[pulumi.Input[str]]
    """As the endpoint's `weights_s3_uri`."""
    weights_kms_key_arn: NotRequired[pulumi.Input[str]]
    """As the endpoint's `weights_kms_key_arn`."""
    weights_gib: NotRequired[float]
    """As the endpoint's `weights_gib`, in GiB."""
    environment: NotRequired[Mapping[str, pulumi.Input[str]]]
    """As the endpoint's `environment`."""
    memory_mib: int
    """Main memory that one copy is sure of, in MiB, at least 128."""
    accelerators: NotRequired[int]
    """GPUs or Neuron devices of one copy, at most those of an instance. Required for an engine that needs some. Default: none."""
    cpus: NotRequired[float]
    """CPU cores of one copy, at least 0.25. Default: SageMaker's choice."""
    copies: NotRequired[int]
    """Copies. With `scaling`: how many it begins with. Default 1, or `scaling.min`."""
    scaling: NotRequired[SageMakerScaling]
    """Autoscaling of its copies, from 0 on. Default: none."""


class SageMakerManagedInstances(TypedDict):
    """Between which bounds SageMaker keeps instances for the copies of inference components."""

    min: int
    """Fewest instances. 0 lets the endpoint go to nothing when no component has copies left."""
    max: int
    """Most instances, at least 1."""


class SageMakerServerless(TypedDict):
    """Serverless inference: CPU only, billed by the request, answers within 60 seconds, none of them streamed."""

    memory_mib: int
    """Memory, in MiB: 1024, 2048, 3072, 4096, 5120 or 6144."""
    max_concurrency: int
    """Most requests at once, 1 to 200."""
    provisioned_concurrency: NotRequired[int]
    """How many of them are kept warm, 1 to `max_concurrency`; with `scaling`: how many it begins with. Default: none, and the
    first request after a pause waits for a start."""
    scaling: NotRequired[SageMakerConcurrencyScaling]
    """How many are kept warm follows the load. Needs `provisioned_concurrency`. Default: as many as that says."""


class SageMakerAsync(TypedDict):
    """Asynchronous inference: requests of up to 1 GB lie in S3 and queue, answers are written to S3."""

    output_s3_uri: str
    """`s3://BUCKET/PREFIX/` to which answers are written."""
    input_s3_uri: NotRequired[str]
    """`s3://BUCKET/PREFIX/` from which requests are read; the execution role may read there. Default: that of the output."""
    failure_s3_uri: NotRequired[str]
    """`s3://BUCKET/PREFIX/` for what could not be answered. Default: nothing is written of it."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """KMS key that encrypts the answers. Default: the bucket's way."""
    success_topic_arn: NotRequired[pulumi.Input[str]]
    """SNS topic that is told of answers. Default: none."""
    error_topic_arn: NotRequired[pulumi.Input[str]]
    """SNS topic that is told of failures. Default: none."""
    max_concurrent_per_instance: NotRequired[int]
    """Most requests that a container gets at once, 1 to 1000. Default: SageMaker's choice."""


class SageMakerDataCapture(TypedDict):
    """Requests and answers kept in S3, for monitoring and training."""

    s3_uri: str
    """`s3://BUCKET/PREFIX/` to which they are written."""
    percent: int
    """Share of the requests that is kept, in percent, 0 to 100."""
    answers: NotRequired[bool]
    """Whether answers are kept beside the requests. Default true."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """KMS key that encrypts them. Default: the bucket's way."""


class SageMakerStrategy(StrEnum):
    """How an update moves the traffic to what is new."""

    ALL_AT_ONCE = "all_at_once"
    """Blue/green: a whole second fleet, then all traffic."""
    CANARY = "canary"
    """Blue/green: a second fleet, a part of the traffic, then the rest."""
    LINEAR = "linear"
    """Blue/green: a second fleet, then the traffic in equal steps."""
    ROLLING = "rolling"
    """Batch by batch: needs no second fleet, only one batch more."""


class SageMakerDeployment(TypedDict):
    """How an update of the endpoint goes, and when it goes back."""

    strategy: NotRequired[SageMakerStrategy]
    """'all_at_once' (the default), 'canary', 'linear' or 'rolling'."""
    step_percent: NotRequired[int]
    """Size of the canary (1 to 50), of a linear step (10 to 50) or of a rolling batch (5 to 50), in percent of the capacity.
    Not with 'all_at_once'. Default 10, for 'rolling' 50."""
    wait_seconds: NotRequired[int]
    """How long each step is watched before the next, in seconds, 0 to 3600. Default 300; 0 with 'all_at_once'."""
    alarm_names: NotRequired[Sequence[pulumi.Input[str]]]
    """CloudWatch alarms, of your own, that send an update back when one is in alarm; with those of `alarms` at most 10."""
    max_seconds: NotRequired[int]
    """Most time that an update may take, in seconds, 600 to 28800, longer than all its waits together. Default: SageMaker's."""


class SageMakerAlarms(TypedDict):
    """CloudWatch alarms on every production variant."""

    error_percent: NotRequired[float]
    """Alarm when more than this share of a minute's invocations fails with 5xx, in percent, two minutes of three. Default: no
    such alarm."""
    latency_p99_ms: NotRequired[float]
    """Alarm when the model takes longer than this at the 99th percentile, in milliseconds, two minutes of three. Default: no such
    alarm."""
    topic_arns: NotRequired[Sequence[pulumi.Input[str]]]
    """SNS topics that are told, at most 5. Default: none."""
    roll_back: NotRequired[bool]
    """Whether they send an update back. That needs `endpoint_name`: they must be there before the endpoint, and look at it by its
    name. Default: true with `endpoint_name`, else false."""


class SageMakerEndpointArgs(TypedDict):
    """What a `SageMakerEndpoint` is told."""

    image: NotRequired[pulumi.Input[str]]
    """Serving container in Amazon ECR, in the endpoint's region, with `:TAG` or `@sha256:DIGEST`: one's own, or one that AWS
    publishes. It must answer `GET /ping` and `POST /invocations` on port 8080. Required, unless `container`, `model_package_arn`
    or `components` say what runs."""
    container: NotRequired[SageMakerContainer]
    """One that AWS publishes, by engine and version, instead of `image`. Excludes `image` and `model_package_arn`."""
    model_package_arn: NotRequired[pulumi.Input[str]]
    """Version of a model package, of one's own registry or from the Marketplace, instead of `image` and `environment`. `image`
    and `weights_s3_uri` then only say what the execution role may pull and read. Default: none."""
    instance_type: NotRequired[str]
    """SageMaker instance type, such as `ml.g6.2xlarge`. A change makes a new fleet, and moves the traffic to it. Required, unless
    `serverless` is given."""
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
    """Autoscaling. Default: none. Components have their own."""
    weight: NotRequired[float]
    """Weight of this model beside `variants`. Default 1."""
    variants: NotRequired[Mapping[str, SageMakerVariant]]
    """More production variants behind the same endpoint, by name, for A/B tests and canaries: at most 9. Default: none."""
    shadow: NotRequired[SageMakerVariant]
    """A variant that is shown requests, and whose answers nobody gets. Excludes `variants`. Default: none."""
    components: NotRequired[Mapping[str, SageMakerComponent]]
    """Several models on the same instances, by name, each called by its own. Excludes `image` and what goes with it, `scaling`,
    `variants`, `shadow`, `vpc` and `async_inference`. Default: none."""
    managed_instances: NotRequired[SageMakerManagedInstances]
    """With `components`: SageMaker adds and removes instances as their copies need. Default: `instance_count`, unchanging."""
    serverless: NotRequired[SageMakerServerless]
    """Serve without instances. Excludes whatever goes with instances, GPUs and VPCs. Default: none."""
    async_inference: NotRequired[SageMakerAsync]
    """Answer asynchronously. Then it is no backend of a router, which waits for answers. Default: none."""
    data_capture: NotRequired[SageMakerDataCapture]
    """Keep requests and answers in S3. Default: none is kept."""
    deployment: NotRequired[SageMakerDeployment]
    """How updates go. Default: blue/green, all traffic at once."""
    alarms: NotRequired[SageMakerAlarms]
    """CloudWatch alarms, which send updates back. Default: none."""
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
    """SageMaker's machine image, which decides the GPU driver, such as `al2-ami-sagemaker-inference-gpu-3-1`. Default: with a
    `container` of CUDA 13 `al2023-ami-sagemaker-inference-gpu-4-1`, whose driver knows that; else SageMaker's choice."""
    termination_wait_seconds: NotRequired[int]
    """How long the old fleet stays after an update has moved the traffic, in seconds, 0 to 3600. Default 480: the longest stream
    that SageMaker allows, so that none is cut. Not with the strategy 'rolling'."""
    tags: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Tags of every resource that takes some. Default: the provider's."""
