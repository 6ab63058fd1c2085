"""The schema of shadow traffic."""

from pydantic import Field, field_validator

from slipway_router.policies import ROUTE_NAME, Match
from slipway_router.schema import Strict


class Samples(Strict):
    """A file with one JSON object a line for each comparison."""

    file: str
    """Where to append them; `/dev/stdout` in a container."""
    text: bool = False
    """Whether the request's body and both answers' texts are in them. They may be confidential."""
    most_mib: int = Field(default=100, ge=1)
    """Size, in MiB, from which on nothing more is written to a regular file."""

    @field_validator("file")
    @classmethod
    def _file(cls, value: str) -> str:
        if not value.startswith("/"):
            raise ValueError(f"is {value!r}; give a path from '/' on")
        return value


class Shadow(Strict):
    """Copies a share of the requests to a candidate, once their clients have their answers, and compares."""

    name: str
    """Unique; the label of its metrics."""
    backend: str
    """The candidate, one of `backends`. It answers no client: no policy may name it, and no model name leads to it."""
    share: float = Field(gt=0, le=1)
    """How much of what `match` takes is copied: above 0, at most 1."""
    match: Match = Match()
    """Which requests are copied. Default: all conversations and completions that the candidate does."""
    sticky: bool = False
    """Whether a share of the users is drawn rather than of the requests: all of theirs are copied, or none. Requests that tell
    no user are drawn one by one."""
    max_in_flight: int = Field(default=16, ge=1, le=1024)
    """Most requests whose answer is kept for the comparison, or whose copy is under way. What is over is not copied."""
    deadline_seconds: float = Field(default=120.0, gt=0, le=3600)
    """How long a copy may take, within the candidate's own `timeouts`."""
    samples: Samples | None = None
    """Write each comparison to a file. Absent: metrics only."""

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not ROUTE_NAME.fullmatch(value):
            raise ValueError(f"is {value!r}; give lower case letters, digits, '-' and '.', at most 63")
        return value
