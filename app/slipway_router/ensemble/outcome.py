"""What became of one branch of an ensemble."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import orjson

from slipway_router.asgi import Message
from slipway_router.providers.shapes import Object, an_object, objects, text

Status = Literal["answered", "failed", "timed_out", "cancelled"]


class Collected:
    """Takes in an answer as the data path sends it."""

    def __init__(self) -> None:
        self.status = 0
        self._parts: list[bytes] = []

    async def send(self, message: Message) -> None:
        """ASGI's."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self._parts.append(message.get("body", b""))

    @property
    def body(self) -> Object:
        """The answer's JSON object; an empty one where it is none."""
        try:
            return an_object(orjson.loads(b"".join(self._parts)))
        except orjson.JSONDecodeError:
            return {}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one branch."""

    model: str
    """As the client named it."""
    status: Status
    backend: str | None = None
    """Who answered, where one did."""
    seconds: float = 0.0
    attempts: int = 0
    code: int | None = None
    """The HTTP status, of the answer or the error."""
    error: str | None = None
    """Why there is no answer."""
    error_code: str | None = None
    retry_after: bytes | None = None
    """Seconds after which the backends may be asked again, where they tell."""
    body: Mapping[str, Any] | None = None
    """The chat completion."""

    @property
    def choice(self) -> Object:
        """Its first choice."""
        return objects(an_object(self.body).get("choices"))[0]

    @property
    def text(self) -> str:
        """What it says."""
        return text(an_object(self.choice.get("message")).get("content"))

    @property
    def calls(self) -> Sequence[tuple[str, str]]:
        """Name and arguments of each tool that it calls."""
        calls = objects(an_object(self.choice.get("message")).get("tool_calls"))
        functions = [an_object(c.get("function")) for c in calls]
        return [(text(f.get("name")), text(f.get("arguments"))) for f in functions]

    def told(self) -> dict[str, Any]:
        """For the client."""
        answered = self.body is not None
        return {
            "model": self.model,
            "backend": self.backend,
            "status": self.status,
            "code": self.code,
            "seconds": round(self.seconds, 3),
            "attempts": self.attempts,
            "finish_reason": self.choice.get("finish_reason") if answered else None,
            "usage": an_object(self.body).get("usage") if answered else None,
            "error": {"message": self.error, "code": self.error_code} if self.error is not None else None,
        }


def is_completion(body: Object) -> bool:
    """Whether a body has a choice with a message."""
    choices = objects(body.get("choices"))
    return bool(choices) and isinstance(choices[0].get("message"), dict)


def error_of(body: Object) -> str:
    """What an error in OpenAI's shape says."""
    return text(an_object(body.get("error")).get("message"))[:1000] or "no reason was given"


def summed(usages: Sequence[object]) -> dict[str, Any]:
    """Usage of several answers together: every number there is, at its place."""
    total: dict[str, Any] = {}
    for usage in usages:
        for name, value in an_object(usage).items():
            before = total.get(name, 0)
            if isinstance(value, int | float) and not isinstance(value, bool) and isinstance(before, int | float):
                total[name] = before + value
            elif isinstance(value, dict):
                total[name] = summed([before, cast("object", value)])
    return total
