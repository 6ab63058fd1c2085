"""What a request needs a backend to be able to do, beyond its task: read from the body that was parsed anyway."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from slipway_router.asgi import ApiError
from slipway_router.policy import Statuses
from slipway_router.schema import ABILITIES, Ability

NOTHING: frozenset[Ability] = frozenset()
PARAMS: Mapping[Ability, str] = {
    "tools": "tools",
    "vision": "messages",
    "json_schema": "response_format",
    "logprobs": "logprobs",
}
"""The field of a request that asks for each."""
_IMAGES = ("image_url", "input_image")


def needs_of(fields: Mapping[str, Any], among: frozenset[Ability]) -> frozenset[Ability]:
    """What a body needs.

    Args:
        fields: Of a chat completion or a completion.
        among: The abilities that some backend lacks; what all have is not looked for.
    """
    needs: set[Ability] = set()
    if fields.get("tools") or fields.get("functions"):
        needs.add("tools")
    shape = fields.get("response_format")
    if isinstance(shape, dict) and cast("dict[str, Any]", shape).get("type") == "json_schema":
        needs.add("json_schema")
    told = fields.get("logprobs")
    # A number in completions, where 0 asks for those of the tokens chosen; in chat, yes or no.
    if told is True or (isinstance(told, int) and told is not False):
        needs.add("logprobs")
    if "vision" in among and _shows_an_image(fields.get("messages")):
        needs.add("vision")
    return among.intersection(needs)


def able(names: Sequence[str], needs: frozenset[Ability], statuses: Statuses) -> Sequence[str]:
    """Those backends that lack none of what is needed."""
    return [n for n in names if needs.isdisjoint(statuses[n].lacks)]


def unable(model: str, names: Sequence[str], needs: frozenset[Ability], statuses: Statuses) -> ApiError:
    """What the client is told where no backend of the model it asked for can do what its request needs.

    Args:
        model: As the client named it.
        names: The backends of that model.
        needs: What the request needs.
        statuses: Of every backend.
    """
    wanted: list[Ability] = [a for a in ABILITIES if a in needs]
    lacking = "; ".join(f"'{n}' lacks {', '.join(a for a in wanted if a in statuses[n].lacks)}" for n in names)
    others = able(list(statuses), needs, statuses)
    choice = f"ask for {' or '.join(repr(n) for n in others)}, which can" if others else "no backend here can"
    told = f"The request needs {' and '.join(wanted)}, which no backend of the model '{model[:128]}' has: {lacking}; {choice}."
    return ApiError(400, told, param=PARAMS[wanted[0]], code="unsupported")


def _shows_an_image(messages: object) -> bool:
    if not isinstance(messages, list):
        return False
    for message in cast("list[object]", messages):
        content = cast("dict[str, object]", message).get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            for part in cast("list[object]", content):
                if isinstance(part, dict) and cast("dict[str, object]", part).get("type") in _IMAGES:
                    return True
    return False
