"""VertexEndpoint: a Model Garden or Hugging Face model behind a Vertex AI endpoint."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from slipway.args import Faults, check_shape, known
from slipway.backend import Backend
from slipway.gcp.machines import accelerator_fault
from slipway.vendors import PREDICT

try:
    import pulumi_gcp as gcp
except ImportError as error:
    raise ImportError("VertexEndpoint needs pulumi-gcp; install it with: pip install 'slipway[gcp]'") from error

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_ROLE_SUFFIX = "_invoker_"
_ROLE_DIGEST = 8
_NAME_LIMIT = 64 - len(_ROLE_SUFFIX) - _ROLE_DIGEST
"""A custom role's id has at most 64 characters (IAM API Reference: projects.roles.create)."""
_PUBLISHER_MODEL = re.compile(r"publishers/[^/@]+/models/[^/@]+@[^/@]+")
_HUGGING_FACE_MODEL = re.compile(r"[\w.-]+/[\w.-]+")
_MEMBER = re.compile(r"(serviceAccount|user|group|domain|principal|principalSet):.+")


class VertexEndpointArgs(TypedDict):
    """What a `VertexEndpoint` is told."""

    location: pulumi.Input[str]
    """Region, such as `europe-west4`. It must have the accelerator, and quota for it."""
    project: NotRequired[pulumi.Input[str]]
    """Project id. Default: the provider's."""
    publisher_model_name: NotRequired[pulumi.Input[str]]
    """Model Garden model: `publishers/PUBLISHER/models/MODEL@VERSION`. Give this or `hugging_face_model_id`."""
    hugging_face_model_id: NotRequired[pulumi.Input[str]]
    """Hugging Face model, such as `Qwen/Qwen3-0.6B`. Give this or `publisher_model_name`."""
    hugging_face_token: NotRequired[pulumi.Input[str]]
    """Read token for a gated Hugging Face model. Kept as a secret. Goes with `hugging_face_model_id`."""
    accept_eula: NotRequired[bool]
    """Whether you accept the model's licence. Models with one are not deployed without. Default false."""
    machine_type: NotRequired[str]
    """Machine type, such as `g2-standard-12`. Default: what Model Garden recommends for the model, one replica."""
    accelerator_type: NotRequired[str]
    """Accelerator, by Vertex AI's name, such as `NVIDIA_L4`. Goes with `machine_type`; machines with GPUs need it."""
    accelerator_count: NotRequired[int]
    """Accelerators of each replica. Goes with `accelerator_type`. Default 1."""
    min_replicas: NotRequired[int]
    """Fewest replicas, at least 1. Goes with `machine_type`. Default 1."""
    max_replicas: NotRequired[int]
    """Most replicas. Above `min_replicas`, Vertex AI scales between the two on the use of CPU and accelerator, target 60 %. Goes
    with `machine_type`. Default: `min_replicas`."""
    spot: NotRequired[bool]
    """Whether to run on spot machines: cheaper, and taken away at any time. Goes with `machine_type`. Default false."""
    dedicated_endpoint: NotRequired[bool]
    """Whether the endpoint has a DNS name of its own, apart from other users' traffic. The region's shared name no longer reaches
    it then. Default true."""


@dataclass(frozen=True)
class Machines:
    """The machines asked for, checked, with every default filled in."""

    machine_type: str
    accelerator_type: str | None
    accelerator_count: int
    min_replicas: int
    max_replicas: int
    spot: bool


def resolve(name: str, args: VertexEndpointArgs) -> Machines | None:
    """The machines, or None where Model Garden decides.

    Raises:
        pulumi.InputPropertiesError: with every fault of the arguments.
    """
    faults = Faults("VertexEndpoint")
    given = check_shape(args, VertexEndpointArgs, faults)
    if len(name) > _NAME_LIMIT or not _NAME.fullmatch(name):
        faults.add("name", f"(the component's own) is {name!r}; give at most {_NAME_LIMIT} letters, digits, '-', '.' and '_'")
    _check_model(given, faults)
    machines = _machines(given, faults)
    faults.refuse(name)
    return machines


def _check_model(given: Mapping[str, Any], faults: Faults) -> None:
    if ("publisher_model_name" in given) == ("hugging_face_model_id" in given):
        faults.add("publisher_model_name", "give either 'publisher_model_name' or 'hugging_face_model_id'")
    if "hugging_face_token" in given and "hugging_face_model_id" not in given:
        faults.add("hugging_face_token", "goes with 'hugging_face_model_id'")

    def shaped(key: str, shape: re.Pattern[str], wanted: str) -> None:
        def check(value: object) -> None:
            if isinstance(value, str) and not shape.fullmatch(value):
                faults.add(key, f"is {value!r}; give {wanted}")

        known(given.get(key), check)

    shaped("publisher_model_name", _PUBLISHER_MODEL, "publishers/PUBLISHER/models/MODEL@VERSION")
    shaped("hugging_face_model_id", _HUGGING_FACE_MODEL, "ORGANISATION/MODEL, such as 'Qwen/Qwen3-0.6B'")


def _machines(given: Mapping[str, Any], faults: Faults) -> Machines | None:
    machine = given.get("machine_type")
    if machine is None:
        for key in ("accelerator_type", "min_replicas", "max_replicas", "spot"):
            if key in given:
                faults.add(key, "goes with 'machine_type'; give that too, or leave both to Model Garden")
    kind = given.get("accelerator_type")
    if "accelerator_count" in given and kind is None:
        faults.add("accelerator_count", "goes with 'accelerator_type'")
    numbers: dict[str, int] = {}
    for key, default in (("accelerator_count", 1), ("min_replicas", 1)):
        numbers[key] = given.get(key, default)
        if not faults.at(key) and numbers[key] < 1:
            faults.add(key, f"is {numbers[key]}; give at least 1")
    most = given.get("max_replicas", numbers["min_replicas"])
    if not faults.at("max_replicas") and not faults.at("min_replicas") and most < numbers["min_replicas"]:
        faults.add("max_replicas", f"is {most}, below min_replicas ({numbers['min_replicas']}); give at least that")
    if machine is None or any(faults.at(k) for k in ("machine_type", "accelerator_type", "accelerator_count")):
        return None
    fault = accelerator_fault(machine, kind, numbers["accelerator_count"])
    if fault:
        faults.add(*fault)
    return Machines(machine, kind, numbers["accelerator_count"], numbers["min_replicas"], most, given.get("spot", False))


class VertexEndpoint(pulumi.ComponentResource):
    """A Model Garden or Hugging Face model, deployed to a Vertex AI endpoint of its own.

    Vertex AI changes nothing of such an endpoint in place: with any change a second one is made, with an id of its own, and the
    first one goes when that is ready.

    Raises:
        pulumi.InputPropertiesError: The arguments have faults; the error lists every one.
    """

    endpoint_id: pulumi.Output[str]
    """Id of the endpoint, the last part of its name."""
    endpoint_name: pulumi.Output[str]
    """`projects/PROJECT/locations/LOCATION/endpoints/ID`."""
    deployed_model_id: pulumi.Output[str]
    """Id that Vertex AI gave the model on this endpoint."""

    def __init__(self, name: str, args: VertexEndpointArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        machines = resolve(name, args)
        token = args.get("hugging_face_token")
        if token is not None:
            args = {**args, "hugging_face_token": pulumi.Output.secret(token)}
        super().__init__("slipway:index:VertexEndpoint", name, {**args}, opts)
        self._name = name
        self._args = args
        self._machines = machines
        self._grantees: set[str] = set()
        self._role: gcp.projects.IAMCustomRole | None = None

        self._deployment = gcp.vertex.AiEndpointWithModelGardenDeployment(
            f"{name}-endpoint",
            location=args["location"],
            project=args.get("project"),
            publisher_model_name=args.get("publisher_model_name"),
            hugging_face_model_id=args.get("hugging_face_model_id"),
            model_config=model_config(name, args),
            endpoint_config={
                "endpoint_display_name": name,
                "dedicated_endpoint_enabled": args.get("dedicated_endpoint", True),
            },
            deploy_config=deploy_config(machines),
            opts=pulumi.ResourceOptions(parent=self),
        )

        made = self._deployment
        self.endpoint_id, self.deployed_model_id = made.endpoint, made.deployed_model_id
        self.endpoint_name = pulumi.Output.concat(
            "projects/", made.project, "/locations/", made.location, "/endpoints/", made.endpoint
        )
        self.register_outputs(
            {
                "endpoint_id": self.endpoint_id,
                "endpoint_name": self.endpoint_name,
                "deployed_model_id": self.deployed_model_id,
            }
        )

    def grant_invoke(self, member: pulumi.Input[str], *, grantee: str = "caller") -> gcp.vertex.AiEndpointIamMember:
        """Let a principal ask this endpoint for predictions, and nothing else.

        A custom role with the one permission is bound on the endpoint itself; `roles/aiplatform.user` would also let its holder
        change the project's endpoints. The provider's region must be the endpoint's location
        (hashicorp/terraform-provider-google#27723).

        Args:
            member: Principal by IAM's name, such as `serviceAccount:router@PROJECT.iam.gserviceaccount.com`.
            grantee: What this grant is called among those of this endpoint. Part of the binding's logical name, so keep it.

        Raises:
            ValueError: The endpoint has a grant of that name already, or `member` names no principal of IAM.
        """
        if grantee in self._grantees:
            raise ValueError(f"endpoint '{self._name}' has a grant '{grantee}' already; give each its own `grantee`")
        known(member, _check_member)
        self._grantees.add(grantee)
        return gcp.vertex.AiEndpointIamMember(
            f"{self._name}-invoke-{grantee}",
            endpoint=self._deployment.endpoint,
            location=self._deployment.location,
            project=self._deployment.project,
            role=self._invoker().name,
            member=member,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def backend(
        self,
        name: str | None = None,
        *,
        project_number: str | None = None,
        replica_cost_per_hour: float | None = None,
        **more: Any,
    ) -> Backend:
        """This endpoint as a backend of a router, whose account may ask just this: `AiApiService` makes one (`make_identity`), or
        give yours to `grant_invoke`.

        Args:
            name: Name in metrics, headers and the policy. Default: the component's.
            project_number: Number of the project, which is part of the name of a dedicated endpoint: required for one.
            replica_cost_per_hour: What one replica costs in an hour, in US dollars. Default: not known, and its tokens count as
                free.
            more: Any other field of `slipway.backend.Backend`, such as `quality`; it wins over what is known here.

        Raises:
            ValueError: A dedicated endpoint's project number, or the model, is missing.
        """
        given = self._args
        model = given.get("hugging_face_model_id") or given.get("publisher_model_name")
        if not isinstance(more.get("model", model), str):
            raise ValueError(f"what endpoint '{self._name}' serves is not known yet; give backend() 'model'")
        location = given["location"]
        if not given.get("dedicated_endpoint", True):
            host = pulumi.Output.concat(location, "-aiplatform.googleapis.com")
        elif project_number is not None:
            host = pulumi.Output.concat(self.endpoint_id, ".", location, f"-{project_number}.prediction.vertexai.goog")
        else:
            raise ValueError(
                f"endpoint '{self._name}' has a name of its own, with the project's number in it; give backend() "
                "'project_number', or the component 'dedicated_endpoint': False"
            )
        known: dict[str, Any] = {
            "name": name or self._name,
            "url": pulumi.Output.concat("https://", host, "/v1/", self.endpoint_name),
            "protocol": "vertex",
            "model": model,
            "tasks": ["chat"],
            "self_hosted": True,
            "resource": self._name,
            "domain": f"gcp/{location}" if isinstance(location, str) else "gcp",
            "gcp_permissions": [
                {
                    "project": self._deployment.project,
                    "location": location,
                    "endpoint": self.endpoint_id,
                    "permissions": [PREDICT],
                }
            ],
        }
        if self._machines is not None:
            known |= {"min_replicas": self._machines.min_replicas, "max_replicas": self._machines.max_replicas}
        if replica_cost_per_hour is not None:
            known["replica_cost_per_hour"] = replica_cost_per_hour
        return cast("Backend", {**known, **more})

    def _invoker(self) -> gcp.projects.IAMCustomRole:
        if self._role is None:
            self._role = gcp.projects.IAMCustomRole(
                f"{self._name}-invoker",
                role_id=role_id(self._name),
                title=f"Invoke {self._name}",
                description=f"Asks the Vertex AI endpoint {self._name} for predictions",
                permissions=[PREDICT],
                project=self._deployment.project,
                opts=pulumi.ResourceOptions(parent=self),
            )
        return self._role


def role_id(name: str) -> str:
    """Id of the role for callers: the component's name, and a digest that tells stacks of one Google Cloud project apart.

    Pulumi's own name would have a '-', which IAM refuses in such an id (pulumi/pulumi-gcp#3328).
    """
    owner = f"{pulumi.get_project()}/{pulumi.get_stack()}/{name}"
    digest = hashlib.sha256(owner.encode()).hexdigest()[:_ROLE_DIGEST]
    return re.sub(r"[^A-Za-z0-9_.]", "_", name) + _ROLE_SUFFIX + digest


def model_config(name: str, args: VertexEndpointArgs) -> gcp.vertex.AiEndpointWithModelGardenDeploymentModelConfigArgsDict:
    """Licence, name and token of the model."""
    made: gcp.vertex.AiEndpointWithModelGardenDeploymentModelConfigArgsDict = {
        "accept_eula": args.get("accept_eula", False),
        "model_display_name": name,
    }
    # What is there as None is sent as a null.
    if (token := args.get("hugging_face_token")) is not None:
        made["hugging_face_access_token"] = token
    return made


def deploy_config(machines: Machines | None) -> gcp.vertex.AiEndpointWithModelGardenDeploymentDeployConfigArgsDict | None:
    """The machines in the provider's terms."""
    if machines is None:
        return None
    spec: gcp.vertex.AiEndpointWithModelGardenDeploymentDeployConfigDedicatedResourcesMachineSpecArgsDict = {
        "machine_type": machines.machine_type,
    }
    if machines.accelerator_type is not None:
        spec["accelerator_type"], spec["accelerator_count"] = machines.accelerator_type, machines.accelerator_count
    return {
        "dedicated_resources": {
            "machine_spec": spec,
            "min_replica_count": machines.min_replicas,
            "max_replica_count": machines.max_replicas,
            "spot": machines.spot,
        },
    }


def _check_member(member: object) -> None:
    if not isinstance(member, str) or not _MEMBER.fullmatch(member):
        raise ValueError(
            f"member is {member!r}; give a principal such as 'serviceAccount:router@PROJECT.iam.gserviceaccount.com'"
        )
