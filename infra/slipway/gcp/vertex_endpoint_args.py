"""What a `VertexEndpoint` is told."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi


class VertexScalingTargets(TypedDict):
    """What Vertex AI scales replicas by; above any one of them it adds some. It keeps 60 % of CPU and accelerator where you give
    nothing for these."""

    cpu: NotRequired[int]
    """Use of the CPUs, in percent, 1 to 100."""
    accelerator: NotRequired[int]
    """Duty cycle of the accelerators, in percent, 1 to 100. Goes with `accelerator_type`."""
    requests: NotRequired[int]
    """Requests a minute for one replica."""
    waiting: NotRequired[int]
    """Requests that wait in vLLM, for one replica. For containers of vLLM that Vertex AI publishes."""
    cache: NotRequired[int]
    """Use of vLLM's key-value cache, in percent, 1 to 100. For the same containers."""


class VertexModelArgs(TypedDict):
    """A container of one's own with a model, and the machines for it."""

    image: pulumi.Input[str]
    """Image in Artifact Registry, `REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME` with `:TAG` or `@sha256:DIGEST`. Vertex AI
    copies it when the model is uploaded, so give the digest, or a tag that never moves: nobody looks whether a tag has."""
    machine_type: str
    """Machine type, such as `g2-standard-12`."""
    artifact_uri: NotRequired[pulumi.Input[str]]
    """`gs://BUCKET/FOLDER` with the weights. The container finds its address in AIP_STORAGE_URI. Default: none."""
    command: NotRequired[Sequence[pulumi.Input[str]]]
    """What the container runs. Default: what its image says."""
    args: NotRequired[Sequence[pulumi.Input[str]]]
    """Arguments of that. Default: what its image says, without `command`."""
    environment: NotRequired[Mapping[str, pulumi.Input[str]]]
    """The container's environment, at most 100 variables. Values of names that end in TOKEN, KEY, SECRET or PASSWORD are secrets
    in the stack's state; Vertex AI shows them to whoever may get the model."""
    port: NotRequired[int]
    """Port that the container listens on. Default 8080."""
    predict_route: NotRequired[str]
    """Path that requests go to. Default `/v1/chat/completions`, for servers of OpenAI's API."""
    health_route: NotRequired[str]
    """Path that answers 200 once the model can serve. Default `/health`."""
    shared_memory_mib: NotRequired[int]
    """Shared memory of the container, in MiB; several GPUs need some. Default: Vertex AI's 64."""
    start_timeout_seconds: NotRequired[int]
    """How long one replica may take to start, in seconds, 1 to 7200. Default: Vertex AI's."""
    accelerator_type: NotRequired[str]
    """Accelerator, by Vertex AI's name, such as `NVIDIA_L4`. Machines with GPUs need it."""
    accelerator_count: NotRequired[int]
    """Accelerators of each replica. Goes with `accelerator_type`. Default 1."""
    min_replicas: NotRequired[int]
    """Fewest replicas, at least 1. Changes in place. Default 1."""
    max_replicas: NotRequired[int]
    """Most replicas. Quota is taken for them all. Changes in place. Default: `min_replicas`."""
    scaling: NotRequired[VertexScalingTargets]
    """Targets of autoscaling, with `max_replicas` above `min_replicas`. Changes in place."""
    spot: NotRequired[bool]
    """Whether to run on spot machines: cheaper, and taken away at any time. Default false."""
    access_logging: NotRequired[bool]
    """Whether each request is told of in Cloud Logging, which costs by the line. Default false."""
    traffic: NotRequired[int]
    """Its share of the endpoint's traffic, in whole percents; all shares together are 100. Changes in place. Default 100 for an
    only model; of several, each needs it."""


class VertexPrivateServiceConnect(TypedDict):
    """Access from VPC networks alone. Whoever asks makes a forwarding rule to the endpoint's service attachment."""

    projects: Sequence[pulumi.Input[str]]
    """Projects whose networks may connect, at least one."""


class VertexRequestLogging(TypedDict):
    """Requests and answers, kept in BigQuery. They hold what users write."""

    bigquery_uri: pulumi.Input[str]
    """`bq://PROJECT`, `bq://PROJECT.DATASET` or `bq://PROJECT.DATASET.TABLE`."""
    sampling_rate: NotRequired[float]
    """Share of the requests, above 0 and at most 1. Default 1."""


class VertexAlerts(TypedDict):
    """Cloud Monitoring tells somebody, by deployed model, so that a bad canary is told apart."""

    notification_channels: Sequence[pulumi.Input[str]]
    """`projects/PROJECT/notificationChannels/ID`, at least one."""
    error_ratio: NotRequired[float]
    """Share of requests that fail above which it does, between 0 and 1. Default 0.05."""
    latency_p95_ms: NotRequired[float]
    """95th percentile of the time to a whole answer, in milliseconds, above which it does. Default: none, since it depends on the
    length of answers."""
    window_seconds: NotRequired[int]
    """For how long, in seconds, a multiple of 60 from 60 to 84600. Default 300."""


class VertexEndpointArgs(TypedDict):
    """What a `VertexEndpoint` is told: a model of Model Garden's or Hugging Face's, or `models` of one's own."""

    location: pulumi.Input[str]
    """Region, such as `europe-west4`. It must have the accelerator, and quota for it."""
    project: NotRequired[pulumi.Input[str]]
    """Project id. Default: the provider's."""
    models: NotRequired[Mapping[str, VertexModelArgs]]
    """Containers of one's own by a name for each, such as `main` and `canary`: lower case letters, digits and '-', at most 20.
    The traffic is split between them. Excludes every argument of Model Garden."""
    publisher_model_name: NotRequired[pulumi.Input[str]]
    """Model Garden model: `publishers/PUBLISHER/models/MODEL@VERSION`. Give this, `hugging_face_model_id` or `models`."""
    hugging_face_model_id: NotRequired[pulumi.Input[str]]
    """Hugging Face model, such as `Qwen/Qwen3-0.6B`. Give this, `publisher_model_name` or `models`."""
    hugging_face_token: NotRequired[pulumi.Input[str]]
    """Read token for a gated Hugging Face model. Kept as a secret. Goes with `hugging_face_model_id`."""
    accept_eula: NotRequired[bool]
    """Whether you accept the model's licence. Models with one are not deployed without. Default false."""
    machine_type: NotRequired[str]
    """For Model Garden: machine type, such as `g2-standard-12`. Default: what it recommends for the model, one replica."""
    accelerator_type: NotRequired[str]
    """For Model Garden: accelerator, by Vertex AI's name, such as `NVIDIA_L4`. Goes with `machine_type`; machines with GPUs need
    it."""
    accelerator_count: NotRequired[int]
    """Accelerators of each replica. Goes with `accelerator_type`. Default 1."""
    min_replicas: NotRequired[int]
    """For Model Garden: fewest replicas, at least 1. Goes with `machine_type`. Default 1."""
    max_replicas: NotRequired[int]
    """For Model Garden: most replicas. Above `min_replicas`, Vertex AI scales between the two on the use of CPU and accelerator,
    target 60 %. Goes with `machine_type`. Default: `min_replicas`."""
    spot: NotRequired[bool]
    """For Model Garden: whether to run on spot machines: cheaper, and taken away at any time. Goes with `machine_type`. Default
    false."""
    dedicated_endpoint: NotRequired[bool]
    """Whether the endpoint has a DNS name of its own, apart from other users' traffic. The region's shared name no longer reaches
    it then. A change makes another endpoint. Default true, false with `private_service_connect`."""
    private_service_connect: NotRequired[VertexPrivateServiceConnect]
    """Only from VPC networks, by Private Service Connect. A change makes another endpoint. Default: from anywhere, with IAM."""
    service_account: NotRequired[pulumi.Input[str]]
    """E-mail of the account that containers of `models` run as. Default: one is made, which may read their `artifact_uri` and
    nothing else."""
    request_logging: NotRequired[VertexRequestLogging]
    """Requests and answers in BigQuery. Goes with `models`. Default: none."""
    alerts: NotRequired[VertexAlerts]
    """Alerts of Cloud Monitoring. Default: none."""
    kms_key: NotRequired[pulumi.Input[str]]
    """Key of Cloud KMS for what the endpoint keeps: `projects/P/locations/L/keyRings/R/cryptoKeys/K`, of its region. Goes with
    `models`. A change makes another endpoint. Default: Google's."""
    labels: NotRequired[Mapping[str, str]]
    """Labels of endpoint and models, at most 62. Goes with `models`."""
    deploy_timeout_minutes: NotRequired[int]
    """How long one deployment may take, in minutes; then it is cancelled and taken away. Goes with `models`. Default 60."""
