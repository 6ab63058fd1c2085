"""VertexModel: a container and its weights in Vertex AI's Model Registry, as a resource of its own provider.

pulumi-gcp has no resource that uploads a model (10.2.0; hashicorp/terraform-provider-google#15303).
"""

import time
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi import dynamic

from slipway.gcp.vertex_cancel import hear_cancel
from slipway.gcp.vertex_login import Login
from slipway.gcp.vertex_model_spec import CONTAINER, OWNER_LABEL, PLACE, message, model_id, plain

ADOPTED: set[str] = set()
"""Names of what this run found there already when it was to be made. Of a replacement (`pulumi up --replace`) what is made and
what is then deleted are the same: that is not deleted."""
UPLOAD_SECONDS = 1800.0
"""How long an upload may take: Vertex AI copies the image and the weights."""


class VertexProvider(dynamic.ResourceProvider):
    """What both providers share: the engine keeps them in state by their module's path, and there is nothing in them to hide."""

    serialize_as_secret_always = False
    login = Login()
    """Set by `configure`, in the provider's process."""

    def configure(self, req: dynamic.ConfigureRequest) -> None:
        """Take the identity that the stack gives Google's own provider, and hear when the engine is told to stop."""
        hear_cancel()
        self.login = Login.of(req.config.get)

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def connect(self, props: Mapping[str, Any]) -> Any:
        """The services in the region of these inputs."""
        from slipway.gcp.vertex_client import Vertex

        return Vertex(str(props["location"]), self.login)


class VertexModelProvider(VertexProvider):
    """Uploads, finds and deletes models. Pulumi's engine calls it through Pulumi's dynamic provider."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """What the service needs, where it is known already."""
        missing = [key for key in ("image", *PLACE) if key not in news or news[key] in (None, "")]
        return dynamic.CheckResult(dict(news), [dynamic.CheckFailure(key, "is required") for key in missing])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Content and place make another model, before the old one goes; labels change in place."""
        replaces = [key for key in (*PLACE, *CONTAINER) if plain(_olds.get(key)) != plain(_news.get(key))]
        changes = bool(replaces) or plain(_olds.get("labels")) != plain(_news.get("labels"))
        return dynamic.DiffResult(changes=changes, replaces=replaces, stables=[], delete_before_replace=False)

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Upload it. One that an earlier run uploaded, or began to, is adopted.

        Raises:
            VertexError: It could not be uploaded; nothing of it is left.
        """
        from google.api_core import exceptions

        from slipway.gcp.vertex_client import VertexError
        from slipway.gcp.vertex_operation import say, settle, wait

        vertex = self.connect(props)
        parent = f"projects/{props['project']}/locations/{props['location']}"
        name = f"{parent}/models/{model_id(props)}"
        what, deadline = f"uploading model {props['name']}", time.monotonic() + UPLOAD_SECONDS
        settle(vertex, vertex.models, name, what, deadline)
        if (found := self._get(vertex, name)) is not None:
            say(f"{name} is there already, from an earlier run; it is used")
            ADOPTED.add(name)
            return dynamic.CreateResult(name, self._outputs(props, found))
        try:
            request = {"parent": parent, "model_id": model_id(props), "model": message(props)}
            begun: Any = vertex.ask(vertex.models.upload_model, request)
            wait(vertex.models, begun.operation.name, what, deadline)
        except exceptions.Conflict:
            # The answer to a first try was lost, or another run is at it.
            settle(vertex, vertex.models, name, what, deadline)
        except VertexError as error:
            raise VertexError(f"{error}; {self._clean(vertex, name)}") from None
        if (found := self._get(vertex, name)) is None:
            raise VertexError(f"{what}: Vertex AI says that it is done, and there is no {name}")
        return dynamic.CreateResult(name, self._outputs(props, found))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.UpdateResult:
        """Set the labels.

        Raises:
            VertexError: The service refuses it.
        """
        vertex = self.connect(_news)
        request = {"model": {"name": _id, "labels": message(_news)["labels"]}, "update_mask": {"paths": ["labels"]}}
        return dynamic.UpdateResult(self._outputs(_news, vertex.ask(vertex.models.update_model, request)))

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """What is there; a model that is gone is told by an empty id."""
        vertex = self.connect(props)
        found = self._get(vertex, id_)
        if found is None:
            return dynamic.ReadResult("", {})
        labels = {key: value for key, value in found.labels.items() if key != OWNER_LABEL}
        inputs = {key: value for key, value in props.items() if key in (*PLACE, *CONTAINER)} | {"labels": labels}
        return dynamic.ReadResult(id_, self._outputs({**props, "labels": labels}, found), inputs)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Delete it with its versions. It may be gone already.

        Raises:
            VertexError: It is deployed somewhere else, or cannot be deleted.
        """
        from google.api_core import exceptions

        from slipway.gcp.vertex_client import VertexError
        from slipway.gcp.vertex_operation import OperationError, settle, wait

        if _id in ADOPTED:
            return
        vertex = self.connect(_props)
        what, deadline = f"deleting model {_props['name']}", time.monotonic() + UPLOAD_SECONDS
        settle(vertex, vertex.models, _id, what, deadline)
        try:
            begun: Any = vertex.ask(vertex.models.delete_model, {"name": _id})
            wait(vertex.models, begun.operation.name, what, deadline)
        except exceptions.NotFound:
            return
        except OperationError:
            raise
        except VertexError as error:
            raise VertexError(f"{what} failed: {error}") from None

    def _get(self, vertex: Any, name: str) -> Any:
        from google.api_core import exceptions

        try:
            return vertex.ask(vertex.models.get_model, {"name": name})
        except exceptions.NotFound:
            return None

    def _clean(self, vertex: Any, name: str) -> str:
        """A model that is half there costs its storage: what became of it, in words."""
        from google.api_core import exceptions

        from slipway.gcp.vertex_client import VertexError

        try:
            vertex.ask(vertex.models.delete_model, {"name": name})
        except exceptions.NotFound:
            return "nothing of it is left"
        except (VertexError, exceptions.Conflict) as error:
            return f"{name} may be left, and could not be deleted: {error}"
        return "what was there of it is deleted"

    def _outputs(self, props: Mapping[str, Any], found: Any) -> dict[str, Any]:
        kept = {key: value for key, value in props.items() if not key.startswith("__")}
        return {**kept, "model_name": found.name, "version_id": found.version_id}


class VertexModel(dynamic.Resource, module="slipway", name="VertexModel"):
    """A model in the registry. Another container or other weights make another model, and the old one goes last."""

    model_name: pulumi.Output[str]
    """`projects/PROJECT/locations/LOCATION/models/ID`."""
    version_id: pulumi.Output[str]
    """Its version, '1' where nobody else uploads into it."""

    def __init__(self, name: str, props: Mapping[str, pulumi.Input[Any]], opts: pulumi.ResourceOptions | None = None) -> None:
        """
        Args:
            name: Logical name.
            props: What `vertex_model_spec` names: place and container, and `labels`.
            opts: Options of the resource.
        """
        hidden = pulumi.ResourceOptions(additional_secret_outputs=["secret_env"])
        every = {**dict.fromkeys(("model_name", "version_id")), **props}
        super().__init__(VertexModelProvider(), name, every, pulumi.ResourceOptions.merge(hidden, opts))
