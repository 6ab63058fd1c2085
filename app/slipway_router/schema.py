"""What every part of the configuration's schema is made of."""

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

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


class Strict(BaseModel):
    """Settings that refuse a name they do not know, and do not change once they are parsed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
