"""What an answer says, whole or streamed: as much of it as two answers can be compared by."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson

from slipway_router.answer import UpstreamError
from slipway_router.asgi import Header
from slipway_router.providers.shapes import Object, an_object, count, objects, text
from slipway_router.providers.sse import Events

SLICE_BYTES = 32 * 1024
"""How much of an answer is read before others get a turn; about half a millisecond's work."""


@dataclass(slots=True)
class Reading:
    """An answer's first choice."""

    status: int = 0
    text: str = ""
    finish_reason: str | None = None
    tools: dict[int, str] = field(default_factory=dict[int, str])
    """Names of the tools that it calls, by their place."""
    prompt_tokens: int = 0
    answer_tokens: int = 0
    """0 where the answer does not tell, as streams do not unless they are asked to."""
    understood: bool = False
    """Whether it had the shape of OpenAI's API."""
    first_seconds: float = 0.0
    """To its first token; of a whole answer, to its end."""
    seconds: float = 0.0
    """To its end."""

    @property
    def good(self) -> bool:
        """Whether it is an answer rather than an error."""
        return self.status < 400

    def take(self, data: bytes) -> None:
        """Take in a whole answer, or one event of a stream."""
        try:
            body = an_object(orjson.loads(data))
        except orjson.JSONDecodeError:
            return
        usage = an_object(body.get("usage"))
        self.prompt_tokens = count(usage.get("prompt_tokens")) or self.prompt_tokens
        self.answer_tokens = count(usage.get("completion_tokens")) or self.answer_tokens
        for choice in objects(body.get("choices")):
            if count(choice.get("index")) == 0:
                self._take_choice(choice)

    def _take_choice(self, choice: Object) -> None:
        self.understood = True
        said = an_object(choice.get("delta")) or an_object(choice.get("message"))
        self.text += text(said.get("content")) or text(choice.get("text"))
        self.finish_reason = text(choice.get("finish_reason")) or self.finish_reason
        for place, call in enumerate(objects(said.get("tool_calls"))):
            name = text(an_object(call.get("function")).get("name"))
            if name:
                at = call.get("index", place)
                self.tools[at if isinstance(at, int) else place] = name


async def read(parts: Iterable[bytes], headers: Iterable[Header], into: Reading) -> None:
    """Read an answer that is there in full. Lets others have their turn.

    Args:
        parts: Its body, as it came.
        headers: For the content's type.
        into: What it says is added to this.
    """
    if not any(name == b"content-type" and value[:17].lower() == b"text/event-stream" for name, value in headers):
        into.take(b"".join(parts))
        return
    events, body = Events(), b"".join(parts)
    try:
        for at in range(0, len(body), SLICE_BYTES):
            for event in events.feed(body[at : at + SLICE_BYTES]):
                into.take(event)
            await asyncio.sleep(0)
    except UpstreamError:  # an event beyond all measure
        into.understood = False
