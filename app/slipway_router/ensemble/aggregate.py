"""What is made of several answers. Pure.

`first`: the first that comes; the others are given up. `all`: every one, as choices in the order of the models. `majority`: the
one that most agree on; of equals the one whose model is listed first. `longest`: the one with the most characters; of equals,
likewise. `judge`: the one that another model chooses.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

import orjson

from slipway_router.ensemble.outcome import Outcome

Vote = tuple[str, ...]
_EDGES = re.compile(r"^[\s\"'`*_.,;:!?()]+|[\s\"'`*_.,;:!?()]+$")


def vote(answer: Outcome) -> Vote:
    """What an answer amounts to: answers with the same vote agree.

    Calls of tools: their names and arguments, as JSON with sorted keys. A JSON object or list: itself, with sorted keys. Any
    other text: in NFKC, without case, with single spaces, and without punctuation, quotes and emphasis at its ends.
    """
    if answer.calls:
        return ("tools", *(part for name, arguments in answer.calls for part in (name, _canonical(arguments) or arguments)))
    text = answer.text.strip()
    if text[:1] in ("{", "["):
        canonical = _canonical(text)
        if canonical is not None:
            return ("json", canonical)
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return ("text", _EDGES.sub("", plain) or plain)


def majority(answers: Mapping[int, Outcome]) -> tuple[int, int]:
    """The answer that most agree on.

    Args:
        answers: By the place of their model; at least one.

    Returns:
        The place of the first model that gave it, and how many did.
    """
    places: dict[Vote, list[int]] = {}
    for place in sorted(answers):
        places.setdefault(vote(answers[place]), []).append(place)
    # Of equals `max` takes the first, which the earliest model gave.
    agreed = max(places.values(), key=len)
    return agreed[0], len(agreed)


def longest(answers: Mapping[int, Outcome]) -> int:
    """The place of the answer with the most characters, arguments of tools included."""

    def length(place: int) -> int:
        answer = answers[place]
        return len(answer.text) + sum(len(arguments) for _, arguments in answer.calls)

    return max(sorted(answers), key=length)


def settled(aggregate: str, outcomes: Sequence[Outcome | None], min_answers: int) -> bool:
    """Whether what is still under way (None) can change nothing, so that it need not be waited for."""
    answers = {i: o for i, o in enumerate(outcomes) if o is not None and o.status == "answered"}
    if aggregate == "first":
        return bool(answers)
    if aggregate == "majority" and len(answers) >= min_answers:
        return 2 * majority(answers)[1] > len(outcomes)
    return False


def _canonical(text: str) -> str | None:
    """JSON with sorted keys; None where it is none."""
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
