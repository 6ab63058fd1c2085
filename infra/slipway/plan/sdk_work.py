# pyright: reportPrivateUsage=false
"""What of the SDK's work a plan does later, once or never (`python -m bench.plan_servers` shows the gain).

A plan of many resources spends most of its time in the SDK, and half of that on what nobody looks at. Here its own functions are
replaced for the time of a plan by such as call them when their result is asked for. This rests on names inside the SDK, so each
is used only where it takes the parameters that it took when this was written: with another SDK a plan is slower, not wrong.
"""

import inspect
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import cache, cached_property, partial
from typing import Any

import pulumi
import pulumi.resource as sdk_resources
from pulumi import _types as sdk_types
from pulumi.runtime import resource as sdk_registration
from pulumi.runtime import rpc as sdk_rpc
from pulumi.runtime.proto.source_pb2 import StackTrace

_Resolvers = Mapping[str, Callable[..., None]]


class Deferred(pulumi.Output[Any]):
    """An Output that is made when it is first asked for. Its only field is the future of what it holds."""

    def __init__(self, make: Callable[[], pulumi.Output[Any]]) -> None:
        """
        Args:
            make: Makes it.
        """
        self._make = make

    @cached_property
    def _data(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride] -- a field there
        return self._make()._data

    def _untrack(self) -> None:
        # The SDK asks for the future with a lock held that making one needs too.
        _ = self._data
        super()._untrack()


class Properties:
    """All properties of one resource. The SDK makes five futures for each, and typed objects of all that a registration
    answers; few are ever read."""

    def __init__(self, resource: pulumi.Resource, props: Iterable[str], custom: bool) -> None:
        """As the SDK's `transfer_properties`: puts Outputs on the resource, and is what later resolves them."""
        self._resource = resource
        self._custom = custom
        # The SDK sees to these two elsewhere.
        self._names = [name for name in props if name != "urn" and not (name == "id" and custom)]
        self._resolvers: _Resolvers | None = None
        self._outputs: dict[str, pulumi.Output[Any]] = {}
        self._answer: Callable[[_Resolvers], None] | None = None
        vars(resource).update({name: Deferred(partial(self._output, name)) for name in self._names})

    def resolve(self, answer: Callable[[_Resolvers], None]) -> None:
        """Hand the answer to the SDK's resolvers, now or when there are any."""
        if self._resolvers is None:
            self._answer = answer
        else:
            answer(self._resolvers)

    def _output(self, name: str) -> pulumi.Output[Any]:
        if self._resolvers is None:
            fields = vars(self._resource)
            kept = {n: fields[n] for n in self._names}
            made = self._resolvers = _SDK["transfer_properties"](self._resource, dict.fromkeys(self._names), self._custom)
            self._outputs = {n: fields[n] for n in self._names}
            # A component may have put something of its own there.
            fields.update(kept)
            if self._answer is not None:
                try:
                    self._answer(made)
                except Exception as error:  # noqa: BLE001 -- for whoever awaits it
                    _SDK["resolve_outputs_due_to_exception"](made, error)
        return self._outputs[name]


def _resolve_outputs(res: Any, serialized_props: Any, outputs: Any, deps: Any, resolvers: Any, *more: Any, **named: Any) -> None:
    def answer(made: _Resolvers) -> None:
        _SDK["resolve_outputs"](res, serialized_props, outputs, deps, made, *more, **named)

    _give(resolvers, answer)


def _resolve_outputs_due_to_exception(resolvers: Any, exn: Exception) -> None:
    _give(resolvers, lambda made: _SDK["resolve_outputs_due_to_exception"](made, exn))


def _give(resolvers: Properties | _Resolvers, answer: Callable[[_Resolvers], None]) -> None:
    if isinstance(resolvers, Properties):
        resolvers.resolve(answer)
    else:
        answer(resolvers)


def _collapse_alias_to_urn(alias: Any, name: Any, type_: Any, parent: Any) -> pulumi.Output[str]:
    """Each alias of a resource as a URN: Outputs of Outputs, for children that inherit it, which the engine sees to."""

    def make() -> pulumi.Output[str]:
        return _SDK["collapse_alias_to_urn"](alias, name, type_, parent)

    sound = isinstance(alias, str) or (isinstance(alias, pulumi.Alias) and None not in (alias.name, alias.type_))
    # What the SDK would refuse it still refuses.
    return Deferred(make) if sound else make()


def _create_urn(name: Any, type_: Any, parent: Any = None, project: Any = None, stack: Any = None) -> pulumi.Output[str]:
    """Asked for with each registration, where a parent's URN is a text: nothing to wait for."""
    if isinstance(name, str) and isinstance(type_, str) and isinstance(parent, str):
        return pulumi.Output.from_input(f"{parent[: parent.rfind('::')]}${type_}::{name}")
    return _SDK["create_urn"](name, type_, parent, project, stack)


class _Unwrapped(dict[int, tuple[Any, Any]]):
    """What `Input[T]` and the like hold, looked up for each value on its way out. By identity: unions are equal in any order,
    and the order tells. Each entry keeps its type alive, so that no other gets its address."""

    def __call__(self, val: Any) -> Any:
        found = self.get(id(val))
        if found is None:
            found = self[id(val)] = (val, _SDK["unwrap_type"](val))
        return found[1]


_RESOLVE = (
    "res serialized_props outputs deps resolvers custom transform_using_type_metadata keep_unknowns resolve_missing_as_unknown"
)
_REPLACED: tuple[tuple[Any, str, str, Callable[[], Any]], ...] = (
    (sdk_rpc, "transfer_properties", "res props custom", lambda: Properties),
    (sdk_rpc, "resolve_outputs", _RESOLVE, lambda: _resolve_outputs),
    (sdk_rpc, "resolve_outputs_due_to_exception", "resolvers exn", lambda: _resolve_outputs_due_to_exception),
    (sdk_resources, "collapse_alias_to_urn", "alias defaultName defaultType defaultParent", lambda: _collapse_alias_to_urn),
    (sdk_registration, "create_urn", "name type_ parent project stack", lambda: _create_urn),
    (sdk_types, "unwrap_type", "val", _Unwrapped),
)
"""Where, what, the parameters that it must have, and what makes the one that stands for it."""
_SDK: Mapping[str, Any] = {name: getattr(owner, name, None) for owner, name, _, _ in _REPLACED}


@cache
def fits() -> bool:
    """Whether the SDK is made as this file expects."""
    return list(pulumi.Output.__annotations__) == ["_data"] and all(
        function is not None and list(inspect.signature(function).parameters) == parameters.split()
        for function, (_, _, parameters, _) in zip(_SDK.values(), _REPLACED, strict=True)
    )


@contextmanager
def put_off() -> Generator[None]:
    """Within, properties and aliases of resources are worked out when they are asked for, and types looked up once.

    An output whose type does not fit what was given is told only where it is read; the SDK would tell it always.
    """
    if not fits():
        yield
        return
    with _set((owner, name, make()) for owner, name, _, make in _REPLACED):
        yield


@contextmanager
def without_positions() -> Generator[None]:
    """For each registration the SDK reads the whole stack, so that an engine can tell where it was made: an eighth of the time of
    a plan, which shows it nowhere."""
    with _set([(sdk_registration, "_get_stack_trace", StackTrace)]):
        yield


@contextmanager
def _set(replaced: Iterable[tuple[Any, str, Any]]) -> Generator[None]:
    saved = [(owner, name, getattr(owner, name), setattr(owner, name, by)) for owner, name, by in replaced]
    try:
        yield
    finally:
        for owner, name, before, _ in saved:
            setattr(owner, name, before)
