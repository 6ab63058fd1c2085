"""Reading a chat completion's body, for the APIs in which it is said differently.

After "Create chat completion" in OpenAI's API reference.
"""

from collections.abc import Mapping

import orjson

from slipway_router.answer import UpstreamError
from slipway_router.providers.shapes import Faults, Object, an_object, text

_CANNOT_SAY = {
    "n": "must be 1",
    "logprobs": "must be left out: there are none",
    "top_logprobs": "must be left out: there are none",
    "logit_bias": "must be left out: there is none",
    "audio": "must be left out: there is no audio",
    "functions": "must be left out; give 'tools'",
    "function_call": "must be left out; give 'tool_choice'",
    "web_search_options": "must be left out: there is no web search for chat completions",
}
"""Fields that ask for what no other vendor's API has, where they ask for anything."""
_HARMLESS: dict[str, tuple[object, ...]] = {"n": (1,), "top_logprobs": (0,), "logit_bias": ({},), "functions": ([],)}


def check_sayable(fields: Object, faults: Faults) -> None:
    """Tell which fields only OpenAI's own API knows."""
    for name, reason in _CANNOT_SAY.items():
        if fields.get(name) not in (None, False, *_HARMLESS.get(name, ())):
            faults.append((name, reason))


def refuse(faults: Faults, api: str) -> None:
    """Raise `UpstreamError` 'unsupported' with every fault, if there is one."""
    if faults:
        told = "; ".join(f"'{path}' {reason}" for path, reason in faults)
        raise UpstreamError("unsupported", f"has {api}, where {told}")


def encoded(body: Mapping[str, object]) -> bytes:
    """The body as JSON.

    Raises:
        UpstreamError: 'unsupported' where it is nested too deeply.
    """
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        raise UpstreamError("unsupported", "takes at most 254 levels of nesting") from None


def call_arguments(function: Object, path: str, faults: Faults) -> object:
    """The arguments of a tool's call, which are JSON as text, as an object."""
    arguments = text(function.get("arguments"))
    try:
        given: object = orjson.loads(arguments) if arguments.strip() else {}
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        faults.append((f"{path}.function.arguments", "must be a JSON object, as text"))
    return given  # pyright: ignore[reportUnknownVariableType] -- JSON


def image_url(part: Object) -> str:
    """Address of an image, which some clients give without the object around it."""
    given = part.get("image_url")
    return text(given if isinstance(given, str) else an_object(given).get("url"))


def data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 of `data:TYPE;base64,...`. None where it is something else."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    return head.removeprefix("data:").split(";")[0], data


def include_usage(fields: Object) -> bool:
    """Whether the client wants the usage at a stream's end."""
    return an_object(fields.get("stream_options")).get("include_usage") is True
