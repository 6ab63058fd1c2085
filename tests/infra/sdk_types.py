"""Compares planned inputs with the input types of the provider's own SDK.

At run time nothing else does: a dictionary with a misspelled key registers without a word, and the provider drops or refuses it
at `up`. This proves names, nesting, required properties and plain types; not that the service accepts the values.
"""

import functools
import importlib
import inspect
import types
import typing
from collections.abc import Awaitable, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

import pulumi

from slipway.plan import UNKNOWN, Resource, Secret

_PACKAGES = {"docker-build": "pulumi_docker_build"}


def faults(resource: Resource) -> list[str]:
    """What the SDK's input types do not know, lack or type otherwise, one line each; empty if nothing."""
    return _object(resource.inputs, args_class(resource.type), resource.name)


def args_class(token: str) -> type:
    """The class of a resource's arguments: `aws:iam/role:Role` is `pulumi_aws.iam.RoleArgs`.

    Raises:
        LookupError: The SDK has no such resource.
    """
    package, module, name = token.split(":")
    root = _PACKAGES.get(package, f"pulumi_{package}")
    if package == "kubernetes":
        group, _, version = module.partition("/")
        path, suffix = f"{root}.{group.split('.')[0]}.{version}", "InitArgs"
    else:
        path, suffix = (root if module == "index" else f"{root}.{module.split('/')[0]}"), "Args"
    try:
        return cast("type", getattr(importlib.import_module(path), f"{name}{suffix}"))
    except (ImportError, AttributeError):
        raise LookupError(f"{path} has no {name}{suffix}") from None


@functools.cache
def _properties(cls: type) -> dict[str, tuple[Any, bool]]:
    """The type of each property by the provider's name, and whether it is required."""
    namespace = {**vars(importlib.import_module(cls.__module__)), "Output": pulumi.Output, "T": TypeVar("T")}
    parameters = inspect.signature(cls).parameters
    found: dict[str, tuple[Any, bool]] = {}
    for attribute, member in inspect.getmembers_static(cls, lambda m: isinstance(m, property)):
        getter = cast("property", member).fget
        wire_name = getattr(getter, "_pulumi_name", attribute)
        hint = typing.get_type_hints(getter, globalns=namespace)["return"]
        found[wire_name] = hint, parameters[attribute].default is inspect.Parameter.empty
    return found


def _object(given: Mapping[str, Any], cls: type, path: str) -> list[str]:
    known = _properties(cls)
    told = [f"{path}.{key}: {cls.__name__} has no such property" for key in given if key not in known]
    for key, (hint, required) in known.items():
        if key in given:
            told += _value(given[key], hint, f"{path}.{key}")
        elif required:
            told.append(f"{path}.{key}: {cls.__name__} requires it")
    return told


def _value(value: Any, hint: Any, path: str) -> list[str]:
    if isinstance(value, Secret):
        value = value.value
    if value is UNKNOWN:
        return []
    tried = [_option(value, option, path) for option in _options(hint)]
    return min(tried, key=len) if tried else [f"{path}: {value!r} fits no type"]


def _options(hint: Any) -> list[Any]:
    """What plain values an Input takes: its union, without what stands for later values."""
    if get_origin(hint) not in (typing.Union, types.UnionType):
        return [hint]
    flat = [option for part in get_args(hint) for option in _options(part)]
    return [o for o in flat if o is not type(None) and get_origin(o) not in (pulumi.Output, Awaitable) and o is not pulumi.Output]


def _option(value: Any, option: Any, path: str) -> list[str]:
    origin = get_origin(option)
    if option is Any:
        return []
    if origin is Literal:
        return [] if value in get_args(option) else [f"{path}: {value!r} is none of {get_args(option)}"]
    if origin in (Mapping, dict) and isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return [line for key, item in items for line in _value(item, get_args(option)[1], f"{path}.{key}")]
    if origin in (Sequence, list) and isinstance(value, Sequence) and not isinstance(value, str):
        each = enumerate(cast("Sequence[Any]", value))
        return [line for i, item in each for line in _value(item, get_args(option)[0], f"{path}[{i}]")]
    if inspect.isclass(option):
        if issubclass(option, Enum):
            return [] if value in [m.value for m in option] else [f"{path}: {value!r} is not of {option.__name__}"]
        if option is float:
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        elif option is int:
            fits = isinstance(value, int) and not isinstance(value, bool)
        elif option in (str, bool):
            fits = isinstance(value, option)
        elif isinstance(value, Mapping):
            given = cast("Mapping[str, Any]", value)
            return [] if issubclass(option, pulumi.Asset | pulumi.Archive) else _object(given, option, path)
        else:
            fits = False
        return [] if fits else [f"{path}: {value!r} is no {option.__name__}"]
    return [f"{path}: {value!r} is no {option}"]
