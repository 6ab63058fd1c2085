"""The schema of a backend."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from slipway_router.cost import Prices
from slipway_router.protocol import Protocol, aws_region, with_default_tasks
from slipway_router.replica_settings import ReplicaSettings
from slipway_router.schema import AUTO, ENV_NAME, NAME, Ability, Quality, Strict, Task, matching, unshown
from slipway_router.steadiness import BreakerSettings, Timeouts


class Backend(Strict):
    """One place that answers requests: a model server of one's own or a vendor's API."""

    name: str
    """Name in metrics, response headers and the policy. Lower case letters, digits, '-' and '.'; unique."""
    url: str
    """Base address with its version, such as `http://llama.ai.svc:8000/v1`. `https` verifies the certificate."""
    model: str = Field(min_length=1)
    """The model's name at the backend; requests are sent on under this name."""
    serves: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """More model names that clients may ask for here, beside `name` and `model`."""
    protocol: Protocol = "openai"
    """What it speaks. `openai`: vLLM, SGLang, llama.cpp, Ollama, OpenAI and whatever else has its API. `azure`: Azure OpenAI,
    where `url` is the resource's endpoint, such as `https://NAME.openai.azure.com`, and `model` the deployment's name.
    `anthropic`: Anthropic's Messages API, for the task `chat`. `vertex`: Vertex AI's OpenAI-compatible endpoint, for the task
    `chat`, by the pod's identity; `url` ends in `/endpoints/openapi` or an endpoint's id. `vertex-raw`: a container of one's
    own on Vertex AI that has OpenAI's API at its predict route, for one task; `url` ends in an endpoint's id. `vertex-
    anthropic`: Anthropic's models on Vertex AI, for the task `chat`; `url` ends in `/projects/P/locations/L`. `sagemaker`: a
    SageMaker endpoint whose container has OpenAI's API, by the pod's role; `url` is
    `https://runtime.sagemaker.REGION.amazonaws.com/endpoints/NAME`. `bedrock`: Amazon Bedrock's Converse API, for the task
    `chat`, by the pod's role; `url` is `https://bedrock-runtime.REGION.amazonaws.com` and `model` the id of a model or an
    inference profile, or an ARN."""
    api_version: str | None = None
    """Version of the vendor's API. With `azure` (default '2024-10-21'), `anthropic` (default '2023-06-01') and
    `vertex-anthropic` (default 'vertex-2023-10-16') only."""
    default_max_tokens: int = Field(default=4096, ge=1)
    """Most tokens of an answer where the client does not say. With `anthropic` and `vertex-anthropic` only: they want it."""
    region: str | None = None
    """AWS region that requests are signed for. With `sagemaker` and `bedrock` only. Default: that of the address."""
    target_variant: str | None = None
    """The production variant of a SageMaker endpoint that alone is asked. With `sagemaker` only. Default: SageMaker chooses by
    the variants' weights."""
    inference_component: str | None = None
    """The inference component of a SageMaker endpoint that is asked; an endpoint that has any needs it. With `sagemaker` only."""
    tasks: tuple[Task, ...] = ("chat", "completions")
    """What it can be asked for. With `anthropic`, `vertex`, `vertex-anthropic` and `bedrock` only `chat`, which is their
    default; with `vertex-raw` one task."""
    abilities: tuple[Ability, ...] | None = None
    """What it can, of `tools`, `vision`, `json_schema` and `logprobs`. What is not listed it cannot: a request that needs that is
    never sent to it. Absent: not known, and taken to be able to do all; what its protocol cannot say is still told apart."""
    self_hosted: bool = False
    """Whether it runs on hardware of one's own: the latency rule prefers it."""
    quality: Quality = "medium"
    """How good its answers are, beside the other backends."""
    cost_per_1k_tokens: float = Field(default=0.0, ge=0)
    """List price, in US dollars for 1,000 tokens; 0 for hardware that is paid for anyway."""
    input_cost_per_1m_tokens: float | None = Field(default=None, ge=0)
    """List price of the prompt, in US dollars for 1,000,000 tokens, where it differs from that of the answer. Goes with
    `output_cost_per_1m_tokens`, and instead of `cost_per_1k_tokens`."""
    output_cost_per_1m_tokens: float | None = Field(default=None, ge=0)
    """List price of the answer, likewise."""
    replica_cost_per_hour: float | None = Field(default=None, gt=0)
    """What one replica costs in an hour, in US dollars, whether it is asked or not: the price of its GPUs. One more request costs
    nothing then, until the backend is full; what its tokens really cost is measured. Not with a price for tokens."""
    slots_per_replica: int | None = Field(default=None, ge=1)
    """Requests that one replica answers at once without letting one wait: an engine's largest batch. With all of them taken the
    backend counts as full for policies of kind `cheapest`. Default: full is what `max_in_flight` says."""
    context_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of prompt and answer together. Unknown when absent."""
    api_key_env: str | None = None
    """Environment variable that holds the key, sent as its protocol wants it. Absent: no key is sent."""
    resource: str | None = None
    """Name of the resource that deployed it, for whoever reads an answer's headers or an alert."""
    timeouts: Timeouts = Timeouts()
    """Its deadlines."""
    max_connections: int = Field(default=1024, ge=1)
    """Most connections to it at once; a request past that goes to the next backend."""
    max_in_flight: int | None = Field(default=None, ge=1)
    """Most requests under way at it from this router, of which lower tiers get a share (`admission.shares`). What is over goes
    to the next backend, at once. Absent: no limit but `max_connections`."""
    quota: str | None = None
    """Name of the rate limit that it shares with every backend of the same `quota`, such as an account and a model: a 429 of one
    sets all of them aside. Absent: its limit is its own."""
    min_replicas: int | None = Field(default=None, ge=0)
    """Fewest replicas that whoever scales it keeps. With 0 it may be gone when nobody asked for a while: that is no failure. The
    request that finds it so wakes it, and other backends fill in until it is back. Unknown when absent."""
    max_replicas: int | None = Field(default=None, ge=1)
    """Most replicas. Unknown when absent."""
    cold_start_seconds: float = Field(default=300.0, gt=0, le=86400)
    """How long a start from no replica may take, with `min_replicas: 0`. What is not there by then has failed."""
    ramp_seconds: float = Field(default=30.0, ge=0, le=3600)
    """With `min_replicas: 0`: over how long its share of the traffic rises to all of it, once it is back."""
    max_waiting: int = Field(default=64, ge=0)
    """With `min_replicas: 0`: most requests that wait for its start where no other backend can answer them."""
    domain: str | None = None
    """What fails together, coarsest first with '/' between: a vendor, a region, a cluster and a node pool in it, such as
    `aws/eu-central-1` or `kubernetes/h100`. Fail-over prefers backends that share the fewest of these parts, from the left."""
    replicas: ReplicaSettings | None = None
    """Its replicas, where it is several alike servers and the router is to choose between them: each request goes to the one that
    will be done first, given what is cached there. Absent: `url` is asked, whatever is behind it. With `openai` only."""
    breaker: BreakerSettings = BreakerSettings()
    """When it is left alone after failures."""
    health_check: Literal["models", "completion"] = "models"
    """What the background check asks for. `models`: its list of models, which costs nothing. `completion`: one token of its
    model, which also notices a server whose engine is stuck, keeps one from scaling to zero, and costs a vendor's tokens. Needs
    the task 'chat' or 'completions'."""

    @property
    def prices(self) -> Prices:
        """Its list prices; 0 where it is not paid by the token."""
        if self.input_cost_per_1m_tokens is None or self.output_cost_per_1m_tokens is None:
            return Prices(self.cost_per_1k_tokens, self.cost_per_1k_tokens)
        return Prices(self.input_cost_per_1m_tokens / 1000, self.output_cost_per_1m_tokens / 1000)

    @property
    def resolved_region(self) -> str | None:
        """The AWS region that requests are signed for."""
        return self.region or aws_region(self.url)

    @model_validator(mode="before")
    @classmethod
    def _tasks(cls, given: object) -> object:
        return with_default_tasks(given)

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if value == AUTO:
            raise ValueError("is kept for the policy's own choice; take another name")
        return matching(NAME, value, "lower case letters, digits, '-' and '.', at most 63, such as 'llama-70b'")

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        shape = r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~%/-]*)?"
        value = matching(re.compile(shape), value, "http://HOST:PORT/v1 or https://HOST/v1, without user, query or fragment")
        port = re.search(r":([0-9]+)(/|$)", value.split("//", 1)[1])
        if port and not 1 <= int(port[1]) <= 65535:
            raise ValueError(f"has the port {port[1]}; give 1 to 65535")
        return value.rstrip("/")

    @field_validator("serves")
    @classmethod
    def _serves(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if AUTO in value:
            raise ValueError(f"names {AUTO!r}, by which clients leave the choice to the policy; take it out")
        return value

    @field_validator("quota", "domain")
    @classmethod
    def _shared_name(cls, value: str | None) -> str | None:
        return (
            value
            if value is None
            else matching(re.compile(r"[\w.:/-]{1,128}"), value, "letters, digits and '._:/-', at most 128")
        )

    @field_validator("resource")
    @classmethod
    def _resource(cls, value: str | None) -> str | None:
        # It becomes a header of every answer.
        if value is not None and (not value or not value.isprintable()):
            raise ValueError(f"is {value!r}; give printable characters, such as the name of the resource")
        return value

    @field_validator("region")
    @classmethod
    def _region(cls, value: str | None) -> str | None:
        return value if value is None else matching(re.compile("[a-z0-9-]+"), value, "an AWS region, such as 'eu-central-1'")

    @field_validator("target_variant", "inference_component")
    @classmethod
    def _sagemaker_name(cls, value: str | None) -> str | None:
        return (
            value
            if value is None
            else matching(re.compile("[A-Za-z0-9][A-Za-z0-9-]{0,62}"), value, "letters, digits and '-', at most 63")
        )

    @field_validator("api_version")
    @classmethod
    def _version(cls, value: str | None) -> str | None:
        return value if value is None else matching(re.compile("[A-Za-z0-9._-]+"), value, "a version, such as '2024-10-21'")

    @field_validator("api_key_env")
    @classmethod
    def _env(cls, value: str | None) -> str | None:
        return value if value is None else unshown(ENV_NAME, value, "the name of an environment variable, never the key itself")
