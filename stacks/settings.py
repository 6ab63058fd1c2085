"""What a stack's YAML may say. Every fault is told at once, by its path, before anything is registered."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import pulumi
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Place = Literal["local", "kubernetes", "aws", "gcp"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class _Open(BaseModel):
    """Passes what it does not name on to the component, which knows its own arguments best and checks them."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    @property
    def args(self) -> dict[str, Any]:
        """What is meant for the component."""
        return dict(self.model_extra or {})


class Routing(_Strict):
    """What the router is told of a backend, wherever that runs."""

    quality: Literal["low", "medium", "high"] = "medium"
    """How good its answers are beside the others."""
    cost_per_1k_tokens: Annotated[float, Field(ge=0)] = 0.0
    """List price in US dollars; 0 for hardware that is paid for anyway."""
    serves: tuple[str, ...] = ()
    """More model names that clients may ask for here."""


class ModelRouting(Routing):
    """What the router is told of a model, with what a managed endpoint's arguments may leave open."""

    model: Annotated[str, Field(min_length=1)] | None = None
    """Places `aws` and `gcp`: what the container calls the model. Default: what the endpoint's arguments tell. Clients need not
    know it: they ask by the model's `name` or `serves`, wherever it runs."""
    variant: str | None = None
    """Place `aws`: key of the variant that alone is asked."""
    component: str | None = None
    """Place `aws`: key of the inference component that is asked. Required where there are any."""
    instance_cost_per_hour: Annotated[float, Field(gt=0)] | None = None
    """What one instance costs in an hour, in US dollars: of `kubernetes` a replica with its GPUs, of `local` the machine. From it
    the router knows what its tokens cost. Default: not known, and they count as free."""
    project_number: Annotated[str, Field(pattern=r"^[0-9]{1,19}$", coerce_numbers_to_str=True)] | None = None
    """Place `gcp`: the project's number, for a dedicated endpoint of Model Garden's."""
    url: Annotated[str, Field(min_length=1)] | None = None
    """Place `gcp`: the endpoint's address by one's own forwarding rule, behind Private Service Connect."""


_ROUTING_OF: Mapping[str, tuple[Place, ...]] = {
    "model": ("aws", "gcp"),
    "variant": ("aws",),
    "component": ("aws",),
    "project_number": ("gcp",),
    "url": ("gcp",),
}
"""The places that a key of `routing` is for; what is not here is for all."""


class Model(_Open):
    """A model, and the place where it runs.

    The remaining keys are the arguments of that place's component: LocalModelServer (`local`), GpuModelServer (`kubernetes`),
    SageMakerEndpoint (`aws`) or VertexEndpoint (`gcp`).
    """

    name: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")]
    """Name of the component and of the backend. Lower case letters, digits and '-', at most 40."""
    place: Place
    routing: ModelRouting = ModelRouting()

    @property
    def routable(self) -> bool:
        """Whether a router can ask it: an asynchronous endpoint answers into S3, and is brought up beside the router."""
        return not (self.place == "aws" and self.args.get("async_inference") is not None)

    @property
    def backend(self) -> dict[str, Any]:
        """What the settings say of a backend, by the names of the `backend` of its place's component."""
        told = self.routing.model_dump(exclude_unset=True, exclude_none=True, mode="json")
        if self.place != "aws" and "instance_cost_per_hour" in told:
            # Elsewhere an instance and a replica are the same.
            told["replica_cost_per_hour"] = told.pop("instance_cost_per_hour")
        return told


class SecretKey(_Strict):
    """One key of a Kubernetes Secret that exists in the stack's namespace."""

    name: str
    key: str


class Vendor(_Strict):
    """A vendor's API as a backend of the router."""

    vendor: Literal["openai", "anthropic"]
    name: Annotated[str, Field(min_length=1)]
    """Name of the backend."""
    model: str
    """The vendor's name of the model."""
    api_key: SecretKey | None = None
    """In a cluster: the Secret and the key in it. On this machine the vendor's usual variable (OPENAI_API_KEY, ANTHROPIC_API_KEY)
    is read, and a vendor whose variable is unset is left out."""
    routing: Routing = Routing()


class Router(_Open):
    """The router, and the place where it runs. The remaining keys are arguments of LocalRouter or AiApiService."""

    place: Literal["local", "kubernetes"]
    build: dict[str, Any] | None = None
    """In a cluster: build the router's image instead of naming one, by `repository`, `tags` and any other argument of
    ContainerImage but `context`. Excludes `image`."""


class Settings(_Strict):
    """One stack."""

    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")] = "slipway"
    createNamespace: bool = True  # noqa: N815 -- Pulumi's configuration is in camelCase
    namespaceArgs: dict[str, Any] = {}  # noqa: N815 -- as above
    """How the namespace is made: arguments of AiNamespace but `namespace`."""
    gpuPrerequisites: dict[str, Any] = {}  # noqa: N815 -- as above
    """What pods with GPUs need of the cluster: arguments of GpuPrerequisites, such as `existing: true` where it has that. Without
    them none is made, and a plan with GPUs warns."""
    models: tuple[Model, ...] = ()
    vendors: tuple[Vendor, ...] = ()
    router: Router | None = None

    @classmethod
    def of(cls, config: pulumi.Config) -> "Settings":
        """Read the stack's configuration.

        Raises:
            pulumi.RunError: with every fault there is; the engine prints it without a traceback.
        """
        structures = ("models", "vendors", "router", "namespaceArgs", "gpuPrerequisites")
        data: dict[str, Any] = {key: config.get_object(key) or None for key in structures}
        data |= {"namespace": config.get("namespace"), "createNamespace": config.get_bool("createNamespace")}
        return cls.parse({k: v for k, v in data.items() if v is not None})

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> "Settings":
        """Check plain data.

        Raises:
            pulumi.RunError: with every fault there is.
        """
        faults: list[str] = []
        settings: Settings | None = None
        try:
            settings = cls.model_validate(data)
        except ValidationError as error:
            faults += [f"{_path(e['loc'])}: {_reason(e['type'], e['msg'], e.get('input'))}" for e in error.errors()]
        if settings:
            faults += settings._faults()
        if faults or settings is None:
            count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
            raise pulumi.RunError(f"Pulumi.{pulumi.get_stack()}.yaml has {count}:" + "".join(f"\n  {f}" for f in faults))
        return settings

    def _faults(self) -> Iterator[str]:
        if not self.models and not self.vendors:
            yield "slipway:models: is empty, and so is slipway:vendors; give at least one model or vendor"
        first: dict[str, str] = {}
        for kind, entries in (("models", self.models), ("vendors", self.vendors)):
            for i, entry in enumerate(entries):
                here = f"slipway:{kind}[{i}]"
                if first.setdefault(entry.name, here) != here:
                    yield f"{here}.name: '{entry.name}' is there twice, first as {first[entry.name]}; names must differ"
        for i, model in enumerate(self.models):
            for key in model.routing.model_dump(exclude_unset=True, exclude_none=True):
                places = _ROUTING_OF.get(key, (model.place,))
                if model.place not in places:
                    goes = " or ".join(f"'{place}'" for place in places)
                    yield f"slipway:models[{i}].routing.{key}: goes with place {goes}, and this is '{model.place}'; leave it out"
        if self.router is None and self.vendors:
            yield "slipway:vendors: need a router to use them; give slipway:router, or leave the vendors out"
        if self.router and self.router.build is not None:
            if self.router.place == "local":
                yield "slipway:router.build: is for a cluster; a local router runs from what is installed"
            if "image" in self.router.args:
                yield "slipway:router.build: excludes 'image'; keep one of the two"
        if self.namespaceArgs and not self.createNamespace:
            yield "slipway:namespaceArgs: are of no use where slipway:createNamespace is false; leave them out"
        if "namespace" in self.namespaceArgs:
            yield "slipway:namespaceArgs.namespace: has a setting of its own; give slipway:namespace"
        # Where keys come from elsewhere, the component tells which one is missing.
        elsewhere = {"external_secrets", "env_from_secrets"} & (self.router.args.keys() if self.router else set[str]())
        for i, vendor in enumerate(self.vendors):
            if self.router and self.router.place == "kubernetes" and vendor.api_key is None and not elsewhere:
                yield f"slipway:vendors[{i}].api_key: is required in a cluster; give 'name' and 'key' of the Secret that holds it"


def _path(loc: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    return f"slipway:{path}" if path else "slipway"


def _reason(kind: str, message: str, given: object) -> str:
    match kind:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a setting here"
        case _:
            return f"is {given!r}; {message[0].lower()}{message[1:]}" if isinstance(given, str | int | float) else message
