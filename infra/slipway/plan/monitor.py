# ruff: noqa: N802, ARG002 -- methods have the names and parameters of the gRPC services that they stand for
"""The monitor that a program under plan talks to: it writes down every registration and creates nothing."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pulumi
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import alias_pb2, engine_pb2, provider_pb2, resource_pb2

from slipway.plan.plan import PlanError, Resource
from slipway.plan.values import of_id, of_struct, secret_struct, unknown_value

_STACK_TYPE = "pulumi:pulumi:Stack"
_ALWAYS: Mapping[str, Any] = {"protect": False, "retainOnDelete": False, "ignoreChanges": [], "aliases": [], "dependsOn": []}


class _NoMocks(pulumi.runtime.Mocks):
    """The monitor below answers itself."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        raise NotImplementedError

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
        raise NotImplementedError


class Monitor(pulumi.runtime.mocks.MockMonitor):
    """Answers as the engine does in a preview where every resource is new and no provider can be asked.

    Outputs are the inputs; all else stays unknown, ids too.
    """

    def __init__(self, project: str, stack: str) -> None:
        super().__init__(_NoMocks())
        self.project = project
        self.stack = stack
        self._stack_urn = ""
        self._lock = threading.Lock()
        self._found: dict[str, Resource] = {}
        self._states: dict[str, struct_pb2.Struct] = {}
        self._outputs: dict[str, dict[str, Any]] = {}
        self._twice: set[str] = set()
        self._messages: set[str] = set()
        self.calls: set[str] = set()
        """Tokens of the provider functions that the program called."""

    # The SDK calls these methods by the names of the gRPC service.

    def GetDeploymentInfo(self, request: empty_pb2.Empty) -> resource_pb2.DeploymentInfo:
        """All that a mock monitor supports, and state migrations, which concern no plan."""
        untyped: Any = super()
        info: resource_pb2.DeploymentInfo = untyped.GetDeploymentInfo(request)
        migrations = getattr(resource_pb2, "RESOURCE_MONITOR_FEATURE_STATE_MIGRATIONS", None)
        if migrations is not None:
            info.supportedFeatures.append(migrations)
        return info

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceResponse:
        """Write a registration down; its inputs are the answer."""
        urn = self._urn(request.parent, request.type, request.name)
        if request.type == _STACK_TYPE:
            self._stack_urn = urn
            return resource_pb2.RegisterResourceResponse(urn=urn)
        untyped: Any = request
        if untyped.transforms:
            self._say("warning: transforms are not applied to a plan")
        inputs = of_struct(request.object)
        inputs.pop("__provider", None)  # the pickled code of a dynamic provider: bytes that differ from run to run
        above = self._found.get(request.parent)
        options = _options(request, above.options if above else {})
        self._add(Resource(urn, request.type, request.name, above.urn if above else None, inputs, options, request.custom))
        state = _state(request.object, request.additionalSecretOutputs)
        with self._lock:
            self._states[urn] = state
        return resource_pb2.RegisterResourceResponse(urn=urn, id="", object=state)

    def ReadResource(self, request: resource_pb2.ReadResourceRequest) -> resource_pb2.ReadResourceResponse:
        """Write down that an existing resource is read. What it holds is unknown."""
        urn = self._urn(request.parent, request.type, request.name)
        above = self._found.get(request.parent)
        options: dict[str, Any] = {**_ALWAYS, "dependsOn": sorted(request.dependencies), "read": of_id(request.id)}
        inputs = of_struct(request.properties)
        self._add(Resource(urn, request.type, request.name, above.urn if above else None, inputs, options, True))
        return resource_pb2.ReadResourceResponse(urn=urn, properties=request.properties)

    def RegisterResourceOutputs(self, request: resource_pb2.RegisterResourceOutputsRequest) -> empty_pb2.Empty:
        """Keep the outputs of components and of the stack."""
        with self._lock:
            self._outputs[request.urn] = of_struct(request.outputs)
        return empty_pb2.Empty()

    def Invoke(self, request: resource_pb2.ResourceInvokeRequest) -> resource_pb2.ResourceInvokeResponse:
        """A provider's function: nobody can be asked, so the result is unknown."""
        if request.tok == "pulumi:pulumi:getResource":
            return self._get(request.args.fields["urn"].string_value)
        with self._lock:
            self.calls.add(request.tok)
        return resource_pb2.ResourceInvokeResponse(unknown=True)

    def Call(self, request: resource_pb2.ResourceCallRequest) -> None:
        """A method of a component written in another language: there is nobody to run it."""
        raise PlanError(f"{request.tok} is a method of a component from another program; a plan cannot call it")

    def RegisterStackTransform(self, request: object) -> empty_pb2.Empty:
        """Transforms run in the engine, which a plan has not."""
        self._say("warning: transforms are not applied to a plan")
        return empty_pb2.Empty()

    def RegisterStackInvokeTransform(self, request: object) -> empty_pb2.Empty:
        """Concerns calls only, and a plan makes none."""
        return empty_pb2.Empty()

    # The engine's service, as far as a program uses it.

    def Log(self, request: engine_pb2.LogRequest) -> None:
        """Keep warnings and errors."""
        if request.severity in (engine_pb2.WARNING, engine_pb2.ERROR):
            level = "warning" if request.severity == engine_pb2.WARNING else "error"
            self._say(f"{level}: {request.message.strip()}")

    def RequirePulumiVersion(self, request: object) -> None:
        """Which engine will deploy is not a plan's business."""

    def registered(self) -> list[Resource]:
        """All registrations so far, by URN.

        Raises:
            PlanError: some were registered twice; it names them all.
        """
        if self._twice:
            listed = "".join(f"\n  {urn}" for urn in sorted(self._twice))
            raise PlanError(f"registered twice, under one parent with one type and name; give each a name of its own:{listed}")
        return [replace(r, outputs=self._outputs.get(urn, {})) for urn, r in sorted(self._found.items())]

    def stack_outputs(self) -> dict[str, Any]:
        """What the program exported."""
        return self._outputs.get(self._stack_urn, {})

    def messages(self) -> tuple[str, ...]:
        """What was warned of, each once, in alphabetical order: resources register concurrently."""
        return tuple(sorted(self._messages))

    def _urn(self, parent: str, type_: str, name: str) -> str:
        above = parent.split("::")[2] if parent else ""
        qualified = type_ if above in ("", _STACK_TYPE) else f"{above}${type_}"
        return f"urn:pulumi:{self.stack}::{self.project}::{qualified}::{name}"

    def _add(self, resource: Resource) -> None:
        with self._lock:
            if resource.urn in self._found:
                self._twice.add(resource.urn)
            self._found[resource.urn] = resource

    def _get(self, urn: str) -> resource_pb2.ResourceInvokeResponse:
        """What the SDK asks for when one resource was handed to another as an input."""
        if urn not in self._states:
            failure = provider_pb2.CheckFailure(property="urn", reason=f"nothing is registered as {urn}")
            return resource_pb2.ResourceInvokeResponse(failures=[failure])
        found = struct_pb2.Struct(
            fields={
                "urn": struct_pb2.Value(string_value=urn),
                "id": struct_pb2.Value(string_value=""),
                "state": struct_pb2.Value(struct_value=self._states[urn]),
            }
        )
        answer: dict[str, Any] = {"return": found}
        return resource_pb2.ResourceInvokeResponse(**answer)

    def _say(self, message: str) -> None:
        with self._lock:
            self._messages.add(message)


def _options(request: resource_pb2.RegisterResourceRequest, above: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a registration. Unless a child says otherwise, the engine hands it three of its component's."""
    protect = request.protect if request.HasField("protect") else above.get("protect", False)
    retain = request.retainOnDelete if request.HasField("retainOnDelete") else above.get("retainOnDelete", False)
    timeouts = request.customTimeouts
    untyped: Any = request
    given: dict[str, Any] = {
        "additionalSecretOutputs": list(request.additionalSecretOutputs),
        "customTimeouts": {k: getattr(timeouts, k) for k in ("create", "update", "delete") if getattr(timeouts, k)},
        "deleteBeforeReplace": request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
        "deletedWith": request.deletedWith or above.get("deletedWith"),
        "hideDiffs": list(request.hideDiffs),
        "import": request.importId,
        "provider": _provider(request.provider),
        "providers": {package: _provider(reference) for package, reference in sorted(request.providers.items())},
        "remote": request.remote or None,
        "replaceOnChanges": list(request.replaceOnChanges),
        "replaceWith": sorted(request.replace_with),
    }
    return {
        "protect": protect,
        "retainOnDelete": retain,
        "ignoreChanges": list(request.ignoreChanges),
        "aliases": [_alias(a) for a in untyped.aliases],
        "dependsOn": sorted(set(request.dependencies)),
        # `deleteBeforeReplace` given as False says more than not given.
        **{k: v for k, v in given.items() if v or v is False},
    }


def _provider(reference: str) -> str:
    """The URN of a provider, without the id that nobody knows yet."""
    return reference.rpartition("::")[0]


def _alias(alias: alias_pb2.Alias) -> str | dict[str, Any]:
    if alias.urn:
        return alias.urn
    spec = alias.spec
    told = {k: getattr(spec, k) for k in ("name", "type", "stack", "project", "parentUrn") if getattr(spec, k)}
    return {**told, "noParent": True} if spec.noParent else told


def _state(inputs: struct_pb2.Struct, secret: Iterable[str]) -> struct_pb2.Struct:
    """What the program sees of a resource: its inputs, and a mark that a named object's name is up to the cluster."""
    state = struct_pb2.Struct()
    state.CopyFrom(inputs)
    fields: Any = state.fields
    if "apiVersion" in fields and "kind" in fields:
        metadata = fields["metadata"].struct_value
        if fields["metadata"].WhichOneof("kind") in (None, "struct_value") and "name" not in metadata.fields:
            metadata.fields["name"].CopyFrom(unknown_value())
    for key in secret:
        value = fields[key] if key in fields else unknown_value()
        fields[key].CopyFrom(secret_struct(value))
    return state
