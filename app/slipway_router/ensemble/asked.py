"""The body of an ensemble request, understood."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import orjson
from pydantic import BeforeValidator, Field, ValidationError

from slipway_router.asgi import ApiError
from slipway_router.ensemble.settings import EnsembleSettings
from slipway_router.request import Asked, parse
from slipway_router.schema import Strict, faults_of

Aggregate = Literal["first", "all", "majority", "longest", "judge"]


def _named(given: object) -> object:
    """A model's name alone stands for the object with that name."""
    return {"model": given} if isinstance(given, str) else given


class BranchSettings(Strict):
    """One model of an ensemble."""

    model: str
    """What a client could ask for on `/v1/chat/completions`, 'auto' included. One model may be there several times."""
    deadline_seconds: float | None = Field(default=None, gt=0)
    """How long it may take. Default, and the most: that of the ensemble."""


class JudgeSettings(Strict):
    """Who chooses among the answers."""

    model: str
    """Likewise."""
    deadline_seconds: float = Field(default=30.0, gt=0)
    """How long it may take, once the answers are there."""
    instructions: str = Field(default="", max_length=8000)
    """What a good answer is here, in words."""


_BranchInput = Annotated[BranchSettings, BeforeValidator(_named, json_schema_input_type=str | BranchSettings)]
_JudgeInput = Annotated[JudgeSettings, BeforeValidator(_named, json_schema_input_type=str | JudgeSettings)]


class Settings(Strict):
    """The field `ensemble`."""

    models: list[_BranchInput] = Field(min_length=1)
    """Whom to ask, by name or as an object with a deadline."""
    aggregate: Aggregate
    """What is made of the answers: see `slipway_router.ensemble.aggregate`."""
    deadline_seconds: float | None = Field(default=None, gt=0)
    """How long they may take. Default, and the most: the router's `ensemble.deadline_seconds`."""
    min_answers: int = Field(default=1, ge=1)
    """How many must answer; with fewer the request fails."""
    judge: _JudgeInput | None = None
    """With the aggregate `judge` only: which model that is."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One model to ask."""

    model: str
    deadline_seconds: float


@dataclass(frozen=True, slots=True)
class AskedOfSeveral:
    """An ensemble request, understood."""

    asked: Asked
    """The conversation, without the field `ensemble`."""
    branches: Sequence[Branch]
    aggregate: Aggregate
    min_answers: int
    judge: JudgeSettings | None

    @property
    def longest_seconds(self) -> float:
        """How long all of it may take."""
        return max(b.deadline_seconds for b in self.branches) + (self.judge.deadline_seconds if self.judge else 0.0)


def understood(raw: bytes, models: Collection[str], bounds: EnsembleSettings) -> AskedOfSeveral:
    """Understand a body.

    Args:
        raw: As it came.
        models: Every name that can be asked for.
        bounds: What the router allows.

    Raises:
        ApiError: 400 with every fault there is; 'param' names the first.
    """
    asked, told, first = _conversation(raw)
    fields = cast("dict[str, Any]", orjson.loads(raw))
    faults: list[tuple[str, str]] = []
    if fields.get("stream") is True:
        faults.append(("stream", "must be false: answers are compared whole; for one stream ask /v1/chat/completions"))
    if fields.get("n") not in (None, 1):
        faults.append(("n", "must be 1: every model gives one answer; name a model several times for more of it"))
    settings: Settings | None = None
    if "ensemble" not in fields:
        faults.append(("ensemble", "is required: an object with 'models' and 'aggregate'"))
    else:
        try:
            settings = Settings.model_validate(fields["ensemble"])
        except ValidationError as error:
            faults += [("ensemble" if path == "(top)" else f"ensemble.{path}", reason) for path, reason in faults_of(error)]
    if settings is not None:
        faults += _cross_faults(settings, models, bounds)
    if faults or told or asked is None or settings is None:
        said = "; ".join([*told, *(f"'{path}' {reason}" for path, reason in faults)])
        raise ApiError(
            400, f"{said[0].upper()}{said[1:]}.", param=first or (faults[0][0] if faults else None), code="invalid_body"
        )
    whole = settings.deadline_seconds or bounds.deadline_seconds
    branches = [Branch(b.model, b.deadline_seconds or whole) for b in settings.models]
    plain = {k: v for k, v in fields.items() if k not in ("ensemble", "stream", "stream_options")}
    try:
        orjson.dumps(plain)
    except orjson.JSONEncodeError:
        raise ApiError(400, "The body is nested too deeply; at most 254 levels can be passed on.", code="invalid_body") from None
    asked = Asked("chat", asked.model, False, asked.estimated_tokens, raw, plain)
    return AskedOfSeveral(asked, branches, settings.aggregate, settings.min_answers, settings.judge)


def _conversation(raw: bytes) -> tuple[Asked | None, list[str], str | None]:
    """The chat completion that is asked for; or what is wrong with it, and where first."""
    try:
        return parse("chat", raw), [], None
    except ApiError as error:
        # What is no JSON object has no other faults.
        if error.param is None:
            raise
        return None, [error.message.rstrip(".")], error.param


def _cross_faults(settings: Settings, models: Collection[str], bounds: EnsembleSettings) -> list[tuple[str, str]]:
    faults: list[tuple[str, str]] = []
    count = len(settings.models)
    choice = ", ".join(f"'{m}'" for m in models)
    if count > bounds.max_branches:
        faults.append(("ensemble.models", f"has {count} models; at most {bounds.max_branches} are allowed here"))
    named = [(f"ensemble.models[{i}].model", b.model) for i, b in enumerate(settings.models)]
    if settings.judge is not None:
        named.append(("ensemble.judge.model", settings.judge.model))
    faults += [(path, f"is '{m[:128]}', which does not exist here; there are {choice}") for path, m in named if m not in models]
    most = bounds.deadline_seconds
    whole = settings.deadline_seconds
    if whole is not None and whole > most:
        faults.append(("ensemble.deadline_seconds", f"is {whole:g}; at most {most:g} s are allowed here"))
    within = min(whole or most, most)
    for i, branch in enumerate(settings.models):
        if branch.deadline_seconds is not None and branch.deadline_seconds > within:
            told = f"is {branch.deadline_seconds:g}, longer than the {within:g} s of the whole ensemble"
            faults.append((f"ensemble.models[{i}].deadline_seconds", told))
    if settings.judge is not None and settings.judge.deadline_seconds > most:
        told = f"is {settings.judge.deadline_seconds:g}; at most {most:g} s are allowed here"
        faults.append(("ensemble.judge.deadline_seconds", told))
    if settings.aggregate == "first" and settings.min_answers > 1:
        faults.append(("ensemble.min_answers", "must be 1 with the aggregate 'first', which takes one answer"))
    elif settings.min_answers > count:
        faults.append(("ensemble.min_answers", f"is {settings.min_answers}, but only {count} models are asked"))
    if (settings.judge is not None) != (settings.aggregate == "judge"):
        told = "is required with the aggregate 'judge'" if settings.judge is None else "goes with the aggregate 'judge' only"
        faults.append(("ensemble.judge", told))
    return faults
