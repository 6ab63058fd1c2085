"""What every part of the configuration's schema is made of."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Settings that refuse a name they do not know, and do not change once they are parsed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
