"""VertexEndpoint: a model behind a Vertex AI endpoint: Model Garden's, Hugging Face's, or containers of one's own."""

import hashlib
import re
from typing import Any, cast

import pulumi

from slipway.args import known
from slipway.backend import Backend
from slipway.gcp import vertex_backend
from slipway.gcp.vertex_backend import Place
from slipway.gcp.vertex_endpoint_args import (
    VertexAlerts,
    VertexEndpointArgs,
    VertexModelArgs,
    VertexPrivateServiceConnect,
    VertexRequestLogging,
    VertexScalingTargets,
)
from slipway.gcp.vertex_endpoint_checks import ROLE_DIGEST, ROLE_SUFFIX, resolve
from slipway.vendors import PREDICT

try:
    import pulumi_gcp as gcp

    from slipway.gcp import vertex_garden, vertex_own_models
    from slipway.gcp.vertex_alerts import alert_policies
except ImportError as error:
    raise ImportError("VertexEndpoint needs pulumi-gcp; install it with: pip install 'slipway[gcp]'") from error

__all__ = [
    "VertexAlerts",
    "VertexEndpoint",
    "VertexEndpointArgs",
    "VertexModelArgs",
    "VertexPrivateServiceConnect",
    "VertexRequestLogging",
    "VertexScalingTargets",
]

_MEMBER = re.compile(r"(serviceAccount|user|group|domain|principal|principalSet):.+")


class VertexEndpoint(pulumi.ComponentResource):
    """A model behind a Vertex AI endpoint of its own.

    With `models`, containers of one's own are uploaded and deployed: a new image is deployed beside the old one, the traffic
    moves, and the old one goes. Of a model of Model Garden's, Vertex AI changes nothing in place: with any change a second
    endpoint is made, with an id of its own, and the first one goes when that is ready.

    Raises:
        pulumi.InputPropertiesError: The arguments have faults; the error lists every one.
    """

    endpoint_id: pulumi.Output[str]
    """Id of the endpoint, the last part of its name."""
    endpoint_name: pulumi.Output[str]
    """`projects/PROJECT/locations/LOCATION/endpoints/ID`."""
    deployed_model_id: pulumi.Output[str]
    """Id that the model has on this endpoint; of several, that with the most traffic."""

    def __init__(self, name: str, args: VertexEndpointArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        resolved = resolve(name, args)
        args = _hidden(args)
        super().__init__("slipway:index:VertexEndpoint", name, {**args}, opts)
        self._name = name
        self._args = args
        self._resolved = resolved
        self._grantees: set[str] = set()
        self._role: gcp.projects.IAMCustomRole | None = None
        self._dns: pulumi.Output[str] | None = None

        if resolved.models:
            own = vertex_own_models.endpoint(name, args, resolved, self)
            deployed = vertex_own_models.deploy(name, args, resolved.models, own, self).deployed
            main = max(resolved.models, key=lambda key: resolved.models[key].traffic)
            self.endpoint_id, self._location, self._project = own.name, own.location, own.project
            self._dns = own.dedicated_endpoint_dns
            self.deployed_model_id = deployed.apply(lambda ids: ids[main])
        else:
            made = gcp.vertex.AiEndpointWithModelGardenDeployment(
                f"{name}-endpoint",
                location=args["location"],
                project=args.get("project"),
                publisher_model_name=args.get("publisher_model_name"),
                hugging_face_model_id=args.get("hugging_face_model_id"),
                model_config=vertex_garden.model_config(name, args),
                endpoint_config=vertex_garden.endpoint_config(name, args, resolved.dedicated),
                deploy_config=vertex_garden.deploy_config(resolved.machines),
                opts=pulumi.ResourceOptions(parent=self),
            )
            self.endpoint_id, self._location, self._project = made.endpoint, made.location, made.project
            self.deployed_model_id = made.deployed_model_id
        if (alerts := args.get("alerts")) is not None:
            alert_policies(name, alerts, self.endpoint_id, args.get("project"), resolved.replicas, self)

        self.endpoint_name = pulumi.Output.concat(
            "projects/", self._project, "/locations/", self._location, "/endpoints/", self.endpoint_id
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
            endpoint=self.endpoint_id,
            location=self._location,
            project=self._project,
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
            project_number: Number of the project, which is part of the name of a dedicated endpoint: required for one of Model
                Garden's.
            replica_cost_per_hour: What one replica costs in an hour, in US dollars. Default: not known, and its tokens count as
                free.
            more: Any other field of `slipway.backend.Backend`, such as `quality`; it wins over what is known here. For `models`
                `model` is required, as the container calls it; behind Private Service Connect `url`, by the rule's address.

        Raises:
            BackendError: A dedicated endpoint's project number, the model, or a private endpoint's address is missing.
        """
        place = Place(self._project, self._location, self.endpoint_id, self.endpoint_name, self._dns)
        known: dict[str, Any] = {
            "name": name,
            "project_number": project_number,
            "replica_cost_per_hour": replica_cost_per_hour,
        }
        return vertex_backend.backend(self._name, self._args, self._resolved, place, known, more)

    def _invoker(self) -> gcp.projects.IAMCustomRole:
        if self._role is None:
            self._role = gcp.projects.IAMCustomRole(
                f"{self._name}-invoker",
                role_id=role_id(self._name),
                title=f"Invoke {self._name}",
                description=f"Asks the Vertex AI endpoint {self._name} for predictions",
                permissions=[PREDICT],
                project=self._project,
                opts=pulumi.ResourceOptions(parent=self),
            )
        return self._role


def role_id(name: str) -> str:
    """Id of the role for callers: the component's name, and a digest that tells stacks of one Google Cloud project apart.

    Pulumi's own name would have a '-', which IAM refuses in such an id (pulumi/pulumi-gcp#3328).
    """
    owner = f"{pulumi.get_project()}/{pulumi.get_stack()}/{name}"
    digest = hashlib.sha256(owner.encode()).hexdigest()[:ROLE_DIGEST]
    return re.sub(r"[^A-Za-z0-9_.]", "_", name) + ROLE_SUFFIX + digest


def _hidden(args: VertexEndpointArgs) -> VertexEndpointArgs:
    """With every value that is a secret marked as one, in the component's own inputs too."""
    found: dict[str, Any] = {**args}
    if (token := args.get("hugging_face_token")) is not None:
        found["hugging_face_token"] = pulumi.Output.secret(token)
    if (models := args.get("models")) is not None:
        found["models"] = {
            key: {**one, "environment": {k: _if_secret(k, v) for k, v in (one.get("environment") or {}).items()}}
            for key, one in models.items()
        }
    return cast("VertexEndpointArgs", found)


def _if_secret(variable: str, value: pulumi.Input[str]) -> pulumi.Input[str]:
    return pulumi.Output.secret(value) if vertex_own_models.SECRET_NAME.search(variable) else value


def _check_member(member: object) -> None:
    if not isinstance(member, str) or not _MEMBER.fullmatch(member):
        raise ValueError(
            f"member is {member!r}; give a principal such as 'serviceAccount:router@PROJECT.iam.gserviceaccount.com'"
        )
