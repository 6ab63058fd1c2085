"""Counts what a stream passes on, so that it can be booked whenever it ends: its usage if the backend tells it, else its
events."""

import contextlib
import re
from typing import Any, cast

import orjson

from slipway_router.asgi import Message, Send
from slipway_router.providers.shapes import Object, an_object
from slipway_router.providers.sse import Events
from slipway_router.request import Asked
from slipway_router.usage import tokens_in

_ONLY_USAGE = re.compile(rb'data: ?\{[^\n]*"choices"\s*:\s*\[\s*\][^\n]*\}\r?\n\r?\n')


class Meter:
    """Of one stream.

    Backends tell the usage of a stream only when they are asked to. Where the client did not ask, the router does, and the event
    that tells it is not passed on: clients that did not ask may not be ready for one without choices.
    """

    __slots__ = ("_mark", "_of_messages", "_strips", "events", "prompt", "tokens")

    def __init__(self, *, strips: bool) -> None:
        """
        Args:
            strips: Whether the usage is kept from the client.
        """
        self._strips = strips
        self._mark = b"\n\n"
        """What is in each event that is counted."""
        self.events = 0
        """Passed on so far: about one token each."""
        self.tokens: tuple[int, int] | None = None
        """Of prompt and answer, once the stream has told."""
        self.prompt: int | None = None
        """Tokens of the prompt, where the stream's beginning told them."""
        self._of_messages: dict[str, Any] = {}

    def feed(self, data: bytes) -> bytes:
        """Take in whole events; returns what the client gets of them."""
        # The usage alone comes last, after every event with choices: what ends in one of those is not looked through for it,
        # which would cost half of what passing it on does.
        if data.endswith(b"}]}\n\n") and data.startswith(b"data:"):
            self.events += data.count(b"\n\ndata:") + 1
            return data
        self.events += data.count(self._mark)
        at = data.rfind(b'"usage"')
        if at < 0:
            return data
        told = tokens_in(data)
        if told is None:
            self._feed_messages(data)
            return data
        self.tokens = told
        if self._strips:
            lf, crlf = data.rfind(b"\n\n", 0, at), data.rfind(b"\n\r\n", 0, at)
            begin = max(lf + 2 if lf >= 0 else 0, crlf + 3 if crlf >= 0 else 0)
            alone = _ONLY_USAGE.match(data, begin)
            if alone is not None:
                return data[:begin] + data[alone.end() :]
        return data

    def _feed_messages(self, data: bytes) -> None:
        """Events of Anthropic's Messages API: the first tells the tokens of the prompt, one of the last those of both."""
        for found in Events().feed(data):
            if b'"usage"' not in found:
                continue
            given = _parsed(found)
            if given.get("type") == "message_start":
                self.prompt = self._told(an_object(given.get("message")))[0]
                self._mark = b"event: content_block_delta\n"
                self.events = data.count(self._mark)
            elif given.get("type") == "message_delta":
                self.tokens = self._told(given)

    def _told(self, given: Object) -> tuple[int, int]:
        # Loaded already: by the backend whose answer this is.
        from slipway_router.providers.anthropic_answer import to_usage

        self._of_messages |= {name: value for name, value in an_object(given.get("usage")).items() if value is not None}
        usage = to_usage(self._of_messages)
        return usage["prompt_tokens"], usage["completion_tokens"]

    def sending(self, send: Send) -> Send:
        """Where an answer goes through this."""

        async def metered(message: Message) -> None:
            if message["type"] == "http.response.body" and message.get("body"):
                message = {**message, "body": self.feed(message["body"])}
            await send(message)

        return metered


def _parsed(data: bytes) -> Object:
    with contextlib.suppress(orjson.JSONDecodeError):
        return an_object(orjson.loads(data))
    return {}


def telling_usage(asked: Asked) -> Asked:
    """The same request, whose stream ends in its usage."""
    options = asked.fields.get("stream_options")
    known: dict[str, Any] = cast("dict[str, Any]", options) if isinstance(options, dict) else {}
    fields = {**asked.fields, "stream_options": {**known, "include_usage": True}}
    if "stream_options" in asked.fields:
        raw = orjson.dumps(fields)
    else:
        # As it came, which is longer than what is added to it. It has a field at least: what it asks for.
        raw = asked.raw.rstrip()[:-1] + b',"stream_options":{"include_usage":true}}'
    return Asked(asked.task, asked.model, asked.stream, asked.estimated_tokens, raw, fields)


def asks_usage(asked: Asked) -> bool:
    """Whether the client wants the usage of its stream."""
    options = asked.fields.get("stream_options")
    return isinstance(options, dict) and cast("dict[str, Any]", options).get("include_usage") is True
