"""What every part of the configuration's schema is made of."""

import re
from collections.abc import Mapping
from typing import Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

Tier = Literal["free", "paid", "enterprise"]
"""Tiers of seed users, least first."""
Quality = Literal["low", "medium", "high"]
RANK = {"low": 0, "medium": 1, "high": 2}
"""Qualities, least first."""
Task = Literal["chat", "completions", "embeddings"]
"""What a backend can be asked for: `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`."""


Ability = Literal["tools", "vision", "json_schema", "logprobs"]
"""What a request can need beyond its task: to call tools, to see images, to answer by a JSON schema, to tell the probabilities of
its tokens."""
ABILITIES: tuple[Ability, ...] = get_args(Ability)

AUTO = "auto"
"""The model name by which a client leaves the choice of the backend to the policy."""
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
HOST = re.compile(r"[A-Za-z0-9._:%-]+")


class Strict(BaseModel):
    """Settings that refuse a name they do not know, and do not change once they are parsed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth(cls, value: object, info: ValidationInfo) -> object:
        # YAML's `yes` and `on` are true, which pydantic would take for 1.
        if isinstance(value, bool) and info.field_name is not None:
            annotation = cls.model_fields[info.field_name].annotation
            kinds = {annotation, *get_args(annotation)}
            if kinds & {int, float} and bool not in kinds:
                raise ValueError(f"is {str(value).lower()}; give a number")
        return value


def matching(shape: re.Pattern[str], value: str, wanted: str) -> str:
    """A text that has this shape.

    Raises:
        ValueError: it has not; says what is wanted.
    """
    if not shape.fullmatch(value):
        raise ValueError(f"is {value!r}; give {wanted}")
    return value


def to_bind(value: str) -> str:
    """An address to listen at.

    Raises:
        ValueError: it is none: the empty one would be every address of the machine.
    """
    return matching(HOST, value, "an address, such as '127.0.0.1' or '0.0.0.0'")


def unshown(shape: re.Pattern[str], value: str, wanted: str) -> str:
    """As `matching`, of what may be a secret in the wrong place: it is not repeated."""
    if not shape.fullmatch(value):
        raise ValueError(f"is not what belongs here; give {wanted}")
    return value


def faults_of(error: ValidationError) -> list[tuple[str, str]]:
    """Path and reason of each of pydantic's errors."""
    return [(path_of(e["loc"]), reason_of(cast("Mapping[str, Any]", e))) for e in error.errors()]


def path_of(loc: tuple[int | str, ...]) -> str:
    """Where a fault is, such as `backends[0].url`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".") or "(top)"


def reason_of(error: Mapping[str, Any]) -> str:
    """What one of pydantic's errors says, in our words."""
    match error["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a setting here"
        case "value_error":
            return str(error["ctx"]["error"])
        case "literal_error":
            return f"is {error['input']!r}; give {error['ctx']['expected']}"
        case _:
            said = str(error["msg"])
            return (
                f"is {error['input']!r}; {said[0].lower()}{said[1:]}" if isinstance(error["input"], str | int | float) else said
            )
