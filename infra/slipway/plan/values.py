# pyright: reportPrivateUsage=false
# (The SDK has names for its wire format, all of them private.)
"""What the inputs of a planned resource can hold beside plain JSON values, and how Pulumi's wire format tells it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from google.protobuf import struct_pb2
from pulumi.runtime import rpc

# Signatures that mark a map as something else; Pulumi's wire format has had these five since 2018.
_SIGNATURE = rpc._special_sig_key
_SECRET = rpc._special_secret_sig
_ASSET = rpc._special_asset_sig
_ARCHIVE = rpc._special_archive_sig
_RESOURCE = rpc._special_resource_sig

HIDDEN = "[secret]"
"""What stands for a secret wherever one could be read."""
UNKNOWN_JSON = {"$unknown": True}
"""What stands for an unknown value in JSON: an object, so that no text can be mistaken for it."""


class Unknown:
    """A value that a provider computes, and that nobody knows before `up`. There is one: `UNKNOWN`."""

    _only: "Unknown | None" = None

    def __new__(cls) -> "Unknown":
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __copy__(self) -> "Unknown":
        return self

    def __deepcopy__(self, memo: object) -> "Unknown":
        return self

    def __reduce__(self) -> tuple[type["Unknown"], tuple[()]]:
        return Unknown, ()


UNKNOWN: Final = Unknown()
"""Stands in a plan for every value that is known only after `up`."""


@dataclass(frozen=True, repr=False)
class Secret:
    """A value marked as secret. Neither its text nor its JSON shows it."""

    value: Any = UNKNOWN
    """The value itself; `UNKNOWN` where a provider computes it, and in a plan that was read from JSON."""

    def __repr__(self) -> str:
        return HIDDEN


def of_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Properties on the wire as plain values, with `UNKNOWN` and `Secret` where they apply.

    Assets and archives become `{"$asset": {...}}` and `{"$archive": {...}}`, references to resources their URN.
    Whole numbers become integers: the wire has only floats. Keys are sorted: the wire has no order.
    """
    return {key: of_value(struct.fields[key]) for key in sorted(struct.fields)}


def of_id(id_: str) -> str | Unknown:
    """An id on the wire."""
    return UNKNOWN if id_ == rpc.UNKNOWN else id_


def of_value(value: struct_pb2.Value) -> Any:
    """One value of `of_struct`."""
    match value.WhichOneof("kind"):
        case "string_value":
            return UNKNOWN if value.string_value == rpc.UNKNOWN else value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [of_value(item) for item in value.list_value.values]
        case "struct_value":
            return _marked(value.struct_value)
        case _:
            return None


def _marked(struct: struct_pb2.Struct) -> Any:
    signature = struct.fields[_SIGNATURE].string_value if _SIGNATURE in struct.fields else None
    if signature is None:
        return of_struct(struct)
    if signature == _SECRET:
        return Secret(of_value(struct.fields["value"]))
    if signature == _RESOURCE:
        return struct.fields["urn"].string_value
    rest = {key: of_value(value) for key, value in sorted(struct.fields.items()) if key != _SIGNATURE}
    if signature in (_ASSET, _ARCHIVE):
        # The digest depends on the file's bytes only where the SDK computed one; a plan compares what was asked.
        return {"$asset" if signature == _ASSET else "$archive": {k: v for k, v in rest.items() if k != "hash"}}
    return rest.get("value", UNKNOWN)


def secret_struct(value: struct_pb2.Value) -> struct_pb2.Value:
    """A value on the wire, marked as secret."""
    marked = struct_pb2.Struct(fields={_SIGNATURE: struct_pb2.Value(string_value=_SECRET), "value": value})
    return struct_pb2.Value(struct_value=marked)


def unknown_value() -> struct_pb2.Value:
    """An unknown value on the wire."""
    return struct_pb2.Value(string_value=rpc.UNKNOWN)


def to_json(value: Any, text: Callable[[str], str] = str) -> Any:
    """Plain values for `json.dumps`: unknown ones as `UNKNOWN_JSON`, secret ones as `HIDDEN`.

    Args:
        value: A value as in `of_struct`.
        text: Applied to every text, keys excepted.
    """
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Unknown):
        return UNKNOWN_JSON
    if isinstance(value, Secret):
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: to_json(item, text) for key, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, Sequence):
        return [to_json(item, text) for item in cast("Sequence[Any]", value)]
    return value


def from_json(value: Any) -> Any:
    """The reverse of `to_json`; a secret's value does not come back."""
    if value == UNKNOWN_JSON:
        return UNKNOWN
    if value == HIDDEN:
        return Secret()
    if isinstance(value, dict):
        return {key: from_json(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [from_json(item) for item in cast("list[Any]", value)]
    return value
