"""What every part of the configuration's schema is made of."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Tier = Literal["free", "paid", "enterprise"]
"""Tiers of seed users, least first."""
Quality = Literal["low", "medium", "high"]
Task = Literal["chat", "completions", "embeddings"]
"""What a backend can be asked for: `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`."""


class Strict(BaseModel):
    """Settings that refuse a name they do not know, and do not change once they are parsed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
