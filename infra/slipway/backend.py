"""A backend: the joint between what serves a model and the router in front of it."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from slipway.args import Faults, check_shape
from slipway_router.config import Config, ConfigError

PLACEHOLDER_URL = "http://known-after-up.invalid/v1"
PLACEHOLDER_NAME = "known-after-up"


class SecretKeyRef(TypedDict):
    """One key of a Kubernetes Secret that exists already or that another resource makes."""

    name: pulumi.Input[str]
    """Name of the Secret, in the namespace of the pod that reads it."""
    key: str
    """Key within it."""


class Egress(TypedDict):
    """Where the router must be able to connect, for network policies. Give `pod_labels` or `cidr`."""

    port: int
    """TCP port."""
    pod_labels: NotRequired[Mapping[str, str]]
    """Labels of the pods that serve, in a cluster."""
    namespace: NotRequired[pulumi.Input[str]]
    """Namespace of these pods. Default: the router's own."""
    cidr: NotRequired[str]
    """Address range, such as `0.0.0.0/0` for a vendor's API."""


class AwsPermission(TypedDict):
    """What IAM must allow whoever asks a backend."""

    actions: Sequence[str]
    """Such as `sagemaker:InvokeEndpoint`."""
    resources: Sequence[pulumi.Input[str]]
    """ARNs, and nothing wider than the backend needs."""


class GcpPermission(TypedDict):
    """What IAM must allow whoever asks a backend."""

    project: pulumi.Input[str]
    """Project in which it is allowed."""
    permissions: Sequence[str]
    """Such as `aiplatform.endpoints.predict`."""
    location: NotRequired[pulumi.Input[str]]
    """Region of the `endpoint`."""
    endpoint: NotRequired[pulumi.Input[str]]
    """Id of the Vertex AI endpoint on which alone it is allowed. Default: the whole project."""


class Backend(TypedDict):
    """What serves a model, as a router needs to know it. Components make theirs; `vendor` makes those of vendors' APIs.

    The first fields are those of `slipway_router.backend.Backend`, and mean the same.
    """

    name: str
    """Name in metrics, headers and the policy; unique in one router."""
    url: pulumi.Input[str]
    """Base address with its version, such as `http://llama.ai.svc:8000/v1`."""
    model: str
    """The model's name at the backend."""
    protocol: NotRequired[str]
    """What it speaks: 'openai', 'azure', 'anthropic', 'vertex', 'vertex-raw', 'vertex-anthropic', 'sagemaker' or 'bedrock'.
    Default 'openai'."""
    api_version: NotRequired[str]
    """Version of the vendor's API, with 'azure' (default '2024-10-21') and 'anthropic' (default '2023-06-01') only."""
    default_max_tokens: NotRequired[int]
    """Most tokens of an answer where the client does not say, with 'anthropic' only. Default 4096."""
    region: NotRequired[str]
    """AWS region that requests are signed for, with 'sagemaker' and 'bedrock' only. Default: that of the address."""
    target_variant: NotRequired[str]
    """The production variant that alone is asked, with 'sagemaker' only. Default: SageMaker chooses by weight."""
    inference_component: NotRequired[pulumi.Input[str]]
    """The inference component that is asked, with 'sagemaker' only."""
    serves: NotRequired[Sequence[str]]
    """More model names that clients may ask for here."""
    tasks: NotRequired[Sequence[str]]
    """Of 'chat', 'completions', 'embeddings'. Default: the first two."""
    abilities: NotRequired[Sequence[str]]
    """What it can, of 'tools', 'vision', 'json_schema' and 'logprobs'; what is not listed it cannot. Default: not known,
    and taken to be able to do all."""
    self_hosted: NotRequired[bool]
    """Whether it runs on hardware of one's own. Default false."""
    quality: NotRequired[str]
    """'low', 'medium' or 'high'. Default 'medium'."""
    cost_per_1k_tokens: NotRequired[float]
    """List price in US dollars. Default 0."""
    input_cost_per_1m_tokens: NotRequired[float]
    """List price of the prompt, in US dollars for 1,000,000 tokens; with `output_cost_per_1m_tokens`, instead of the above."""
    output_cost_per_1m_tokens: NotRequired[float]
    """List price of the answer, likewise."""
    replica_cost_per_hour: NotRequired[float]
    """What one replica costs in an hour, in US dollars, whether it is asked or not. Not with a price for tokens."""
    slots_per_replica: NotRequired[int]
    """Requests that one replica answers at once without letting one wait. Default: full is what `max_in_flight` says."""
    context_tokens: NotRequired[int]
    """Most tokens of prompt and answer together."""
    timeouts: NotRequired[Mapping[str, float]]
    """Deadlines in seconds: 'connect', 'first_byte', 'between_chunks', 'total'."""
    resource: NotRequired[str]
    """Name of the resource that deploys it."""
    api_key_env: NotRequired[str]
    """Environment variable in which the router finds the key. Default: no key."""
    api_key: NotRequired[SecretKeyRef]
    """Where a router in a cluster gets that variable from. Goes with `api_key_env`."""
    quota: NotRequired[str]
    """Name of the rate limit that it shares with other backends, such as an account and a model: a 429 of one sets all aside.
    Default: one of its own."""
    domain: NotRequired[str]
    """What fails together, coarsest first with '/' between, such as `aws/eu-central-1`. Fail-over prefers backends that share the
    fewest of these parts, from the left. Components and `vendor` know theirs."""
    breaker: NotRequired[Mapping[str, float]]
    """When it is left alone after failures: 'failures', 'window', 'open_seconds', 'most_open_seconds'."""
    health_check: NotRequired[str]
    """'models' (the default) asks for its list of models, 'completion' for one token of its model."""
    min_replicas: NotRequired[int]
    """Fewest replicas that whoever scales it keeps. With 0 the request that finds it gone wakes it, and other backends fill in.
    Default: not known, and to be gone is a failure."""
    max_replicas: NotRequired[int]
    """Most replicas. Default: not known."""
    replicas: NotRequired[Mapping[str, pulumi.Input[Any]]]
    """Where each of several alike servers is and what it has cached: 'service' or 'addresses', 'kv_tokens', 'block_tokens',
    'tokens_per_second', 'refresh_seconds', 'outliers'. Default: the router asks `url` and leaves the choice to what is there."""
    cold_start_seconds: NotRequired[float]
    """How long a start from no replica may take, with `min_replicas` 0. Default 300."""
    ramp_seconds: NotRequired[float]
    """Over how long its share of the traffic rises once it is back, with `min_replicas` 0. Default 30."""
    max_waiting: NotRequired[int]
    """Most requests that wait for its start where no other backend can answer, with `min_replicas` 0. Default 64."""
    max_in_flight: NotRequired[int]
    """Most requests under way at it from one router. Default: no limit but `max_connections`."""
    max_connections: NotRequired[int]
    """Most connections to it at once. Default 1024."""
    ready_seconds: NotRequired[float]
    """How long it may take until it answers, in seconds: what waits for the router waits that long. Default: at once."""
    aws_permissions: NotRequired[Sequence[AwsPermission]]
    """What the router's role must be allowed. Default: nothing."""
    gcp_permissions: NotRequired[Sequence[GcpPermission]]
    """What the router's service account must be allowed. Default: nothing."""
    egress: NotRequired[Egress]
    """How a network policy lets the router out to it. Default: TCP 443 to anywhere."""


class BackendError(ValueError):
    """A managed endpoint cannot be made a backend with what `backend()` was told."""

    def __init__(self, message: str, faults: Mapping[str, str]) -> None:
        """
        Args:
            message: For whoever calls `backend()`.
            faults: The same as a reason for each of its arguments that is wrong or missing.
        """
        super().__init__(message)
        self.faults = faults


_ONLY_INFRASTRUCTURE = frozenset({"api_key", "aws_permissions", "egress", "gcp_permissions", "ready_seconds"})


def router_backend(backend: Backend) -> dict[str, pulumi.Input[Any]]:
    """The part of a backend that the router itself is told."""
    return {k: v for k, v in backend.items() if k not in _ONLY_INFRASTRUCTURE and v is not None}


def check_router(
    settings: Mapping[str, Any],
    backends: Sequence[Backend],
    faults: Faults,
    settings_path: str = "",
    arguments: tuple[str, ...] = ("backends",),
) -> None:
    """Check at plan time what the router will check at start, by the router's own schema.

    Args:
        settings: The router's other settings, by the names of `slipway_router.config.Config`.
        backends: What it routes to. An address that is not known yet is taken for a right one.
        faults: Where to tell what is wrong; paths are those of the configuration (`backends[1].name`).
        settings_path: The argument that holds `settings`, put before their paths (`settings.policy.best`).
        arguments: What is an argument of its own beside it, and so has no such path.
    """
    check_shape({"backends": backends}, _Backends, faults)
    plain: list[dict[str, Any]] = []
    for i, backend in enumerate(backends):
        entry = router_backend(backend)
        url = entry.get("url")
        entry = entry if isinstance(url, str | None) else {**entry, "url": PLACEHOLDER_URL}
        if not isinstance(entry.get("inference_component"), str | None):
            entry = {**entry, "inference_component": PLACEHOLDER_NAME}
        plain.append({**entry, "replicas": _known(backend["replicas"])} if "replicas" in backend else entry)
        if "api_key" in backend and "api_key_env" not in backend:
            faults.add(f"backends[{i}].api_key", "goes with 'api_key_env', the variable that it fills")
    try:
        Config.parse({**settings, "backends": plain})
    except ConfigError as error:
        for found, reason in error.faults:
            path = f"{settings_path}.{found}" if settings_path and not found.startswith(arguments) else found
            if not faults.at(path):
                faults.add(path, reason)


def _known(replicas: object) -> object:
    """What a backend says of its replicas, but for what is not known yet."""
    if not isinstance(replicas, Mapping):
        return replicas
    given = cast("Mapping[str, object]", replicas)
    return {k: v for k, v in given.items() if not isinstance(v, pulumi.Output)}


class _Backends(TypedDict):
    backends: Sequence[Backend]


def router_config(settings: Mapping[str, Any], backends: Sequence[Backend]) -> pulumi.Output[dict[str, Any]]:
    """The router's whole configuration as plain data, known once every address is."""
    joined: Any = pulumi.Output.from_input({**settings, "backends": [router_backend(b) for b in backends]})
    return cast("pulumi.Output[dict[str, Any]]", joined)
