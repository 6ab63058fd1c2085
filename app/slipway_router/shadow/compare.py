"""How a candidate's answer compares with the one that the client got. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from slipway_router.providers.shapes import an_object
from slipway_router.shadow.reading import Reading

Verdict = Literal["same", "different", "better", "worse"]
"""'better' and 'worse' are about the candidate."""
Aspect = Literal["status", "text", "finish_reason", "tool_calls", "json"]
MOST_CHARACTERS = 8000
"""Of each text, how much is looked at for the similarity: it is a third of a millisecond's work."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One answer beside another."""

    verdicts: Mapping[Aspect, Verdict]
    """What could be compared. `status`: whether both answered. `text`: whether both say the very same, white space at the ends
    aside. `finish_reason`. `tool_calls`: whether both call the same tools, in whatever order; only where one calls any. `json`:
    which of them is JSON; only where the client asked for that."""
    similarity: float | None
    """Share of words that the texts have in common, 0 to 1, see `similarity`. None where one says nothing."""


def compare(answered: Reading, candidate: Reading, *, json_asked: bool) -> Comparison:
    """Compare two answers to the same request.

    Args:
        answered: What the client got.
        candidate: What it did not.
        json_asked: Whether the client asked for JSON, see `wants_json`.
    """
    verdicts: dict[Aspect, Verdict] = {"status": _which(answered.good, candidate.good)}
    if not (answered.good and candidate.good and answered.understood and candidate.understood):
        return Comparison(verdicts, None)
    one, other = answered.text.strip(), candidate.text.strip()
    verdicts["text"] = "same" if one == other else "different"
    verdicts["finish_reason"] = "same" if answered.finish_reason == candidate.finish_reason else "different"
    if answered.tools or candidate.tools:
        same = sorted(answered.tools.values()) == sorted(candidate.tools.values())
        verdicts["tool_calls"] = "same" if same else "different"
    if json_asked:
        verdicts["json"] = _which(is_json(one), is_json(other))
    return Comparison(verdicts, similarity(one, other) if one and other else None)


def similarity(one: str, other: str) -> float:
    """Words in common, each as often as both have it, over the mean number of words (Dice, "Measures of the Amount of Ecologic
    Association Between Species", 1945; here of multisets). Says nothing of their order or meaning."""
    if one == other:
        return 1.0
    a, b = (Counter(text[:MOST_CHARACTERS].lower().split()) for text in (one, other))
    words = a.total() + b.total()
    return 2 * (a & b).total() / words if words else 1.0


def wants_json(fields: Mapping[str, Any]) -> bool:
    """Whether a request asks for JSON."""
    return an_object(fields.get("response_format")).get("type") in ("json_object", "json_schema")


def is_json(text: str) -> bool:
    """Whether a text is JSON."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _which(answered: bool, candidate: bool) -> Verdict:
    if answered == candidate:
        return "same"
    return "better" if candidate else "worse"
