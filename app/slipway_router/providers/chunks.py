"""The chunks of one streamed chat completion, made out of what another API streams.

After "Chat completion chunk object" in OpenAI's API reference.
"""

import time
from typing import Any

import orjson

from slipway_router.providers.sse import event


def envelope(kind: str, identity: str, model: str) -> dict[str, Any]:
    """What every answer and every chunk begins with."""
    return {"id": identity, "object": kind, "created": int(time.time()), "model": model}


class Chunks:
    """Says one answer in chunks. The first that has anything to say also tells the role."""

    def __init__(self, *, include_usage: bool) -> None:
        """
        Args:
            include_usage: Whether the client asked for the usage (`stream_options.include_usage`).
        """
        self._include_usage = include_usage
        self._envelope: dict[str, Any] = {}
        self._calls = -1
        self._in_call = False
        self._arguments = False
        self._begun = False
        self.over = False
        """Whether `end` was said."""
        self.unsaid = b""
        """The usage, where the client did not ask for it."""

    def begin(self, identity: str, model: str) -> None:
        """Whose answer it is; says nothing yet."""
        self._envelope = envelope("chat.completion.chunk", identity, model)

    def delta(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        """A part of the message, or its end with the reason."""
        if not self._begun:
            self._begun = True
            delta = {"role": "assistant", "content": "", **delta}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event(orjson.dumps({**self._envelope, "choices": [choice]}))

    def call(self, identity: object, name: object) -> bytes:
        """The beginning of a tool's call."""
        self._calls += 1
        self._in_call = True
        self._arguments = False
        call = {"index": self._calls, "id": identity, "type": "function", "function": {"name": name, "arguments": ""}}
        return self.delta({"tool_calls": [call]})

    def arguments(self, part: str) -> bytes:
        """A part of the call's arguments. Nothing where it is none of a call."""
        if not part or not self._in_call:
            return b""
        self._arguments = True
        return self._call_part(part)

    def end_block(self) -> bytes:
        """The end of a text or call. One without a single argument gets `{}`: OpenAI's clients cannot parse nothing."""
        missing = self._in_call and not self._arguments
        self._in_call = False
        return self._call_part("{}") if missing else b""

    def end(self, usage: dict[str, Any]) -> bytes:
        """The end of the stream, after the usage where the client asked for it."""
        self.over = True
        told = orjson.dumps({**self._envelope, "choices": [], "usage": usage})
        if self._include_usage:
            return event(told) + event(b"[DONE]")
        self.unsaid = told
        return event(b"[DONE]")

    def _call_part(self, arguments: str) -> bytes:
        return self.delta({"tool_calls": [{"index": self._calls, "function": {"arguments": arguments}}]})
