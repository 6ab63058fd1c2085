"""Counts what a stream passes on, so that it can be booked whenever it ends: its usage if the backend tells it, else its
events."""

import re
from dataclasses import replace
from typing import Any, cast

import orjson

from slipway_router.asgi import Message, Send
from slipway_router.lean import LeanCycle
from slipway_router.request import Asked
from slipway_router.usage import tokens_in

_ONLY_USAGE = re.compile(rb'data: ?\{[^\n]*"choices"\s*:\s*\[\s*\][^\n]*\}\r?\n\r?\n')


class Meter:
    """Of one stream.

    Backends tell the usage of a stream only when they are asked to. Where the client did not ask, the router does, and the event
    that tells it is not passed on: clients that did not ask may not be ready for one without choices.
    """

    __slots__ = ("_strips", "events", "tokens")

    def __init__(self, *, strips: bool) -> None:
        """
        Args:
            strips: Whether the usage is kept from the client.
        """
        self._strips = strips
        self.events = 0
        """Passed on so far: about one token each."""
        self.tokens: tuple[int, int] | None = None
        """Of prompt and answer, once the stream has told."""

    def feed(self, data: bytes) -> bytes:
        """Take in whole events; returns what the client gets of them."""
        self.events += data.count(b"\n\n")
        if b'"usage"' not in data:
            return data
        told = tokens_in(data)
        if told is None:
            return data
        self.tokens = told
        return _ONLY_USAGE.sub(_kept, data) if self._strips else data

    def tap(self, cycle: LeanCycle) -> None:
        """Have an answer go through this, however it is written."""
        write = cycle.write

        def metered(body: bytes, *, more: bool) -> None:
            write(self.feed(body) if body else body, more=more)

        cycle.write = metered

    def sending(self, send: Send) -> Send:
        """Where an answer goes through this."""

        async def metered(message: Message) -> None:
            if message["type"] == "http.response.body" and message.get("body"):
                message = {**message, "body": self.feed(message["body"])}
            await send(message)

        return metered


def _kept(found: "re.Match[bytes]") -> bytes:
    return b"" if tokens_in(found[0]) is not None else found[0]


def telling_usage(asked: Asked) -> Asked:
    """The same request, whose stream ends in its usage."""
    options = asked.fields.get("stream_options")
    known: dict[str, Any] = cast("dict[str, Any]", options) if isinstance(options, dict) else {}
    fields = {**asked.fields, "stream_options": {**known, "include_usage": True}}
    return replace(asked, fields=fields, raw=orjson.dumps(fields))


def asks_usage(asked: Asked) -> bool:
    """Whether the client wants the usage of its stream."""
    options = asked.fields.get("stream_options")
    return isinstance(options, dict) and cast("dict[str, Any]", options).get("include_usage") is True
