"""A request's prompt as the choice of a replica looks at it: the same bytes whenever a model would see the same beginning."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, cast

import orjson

from slipway_router.replicas import prefix_blocks
from slipway_router.request import CHARACTERS_PER_TOKEN, Asked

_LONG = 256
"""Bytes from which a part that is no text, such as an image, is looked at by its digest: it has few tokens for its size."""


class Prompt:
    """One request's. Made only where a backend has several replicas."""

    __slots__ = ("_block_bytes", "_blocks", "_said", "_salt", "tokens")

    def __init__(self, asked: Asked, most_bytes: int) -> None:
        """
        Args:
            asked: The request.
            most_bytes: What lies further on is not looked at.
        """
        fields = asked.fields
        try:
            self._said = _said(asked)
        except orjson.JSONEncodeError:  # nested deeper than can be written; whoever is asked refuses it
            self._said = asked.raw
        self.tokens = len(self._said) / CHARACTERS_PER_TOKEN
        """Its length, estimated as the blocks are: by bytes."""
        self._said = self._said[:most_bytes]
        # What vLLM keeps apart in its own cache by the client's wish. Keys are not kept apart: the engines share what is cached
        # among all who ask, so a copy for each would cost the cache without keeping anything from anybody.
        salt = fields.get("cache_salt")
        self._salt = salt if isinstance(salt, str) else ""
        self._block_bytes = 0
        self._blocks: list[int] = []

    def blocks(self, block_bytes: int) -> Sequence[int]:
        """Names of its full blocks of this size."""
        if self._block_bytes != block_bytes:
            self._block_bytes = block_bytes
            self._blocks = prefix_blocks(self._said, block_bytes, self._salt)
        return self._blocks


def _said(asked: Asked) -> bytes:
    fields = asked.fields
    if asked.task == "chat":
        messages = cast("list[Any]", fields["messages"])
        if any(type(m.get("content")) is list for m in messages):
            messages = [_brief(m) for m in messages]
        # Chat templates put the tools before the conversation.
        tools = fields.get("tools")
        return (orjson.dumps(tools) if tools else b"") + orjson.dumps(messages)
    given = fields["prompt" if asked.task == "completions" else "input"]
    return given.encode("utf-8", "replace") if isinstance(given, str) else orjson.dumps(given)


def _brief(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message with its images and sounds by their digests."""
    content = message.get("content")
    return {**message, "content": [_digested(p) for p in cast("list[Any]", content)]} if isinstance(content, list) else message


def _digested(part: Any) -> Any:
    if not isinstance(part, dict) or "text" in part:
        return cast("Any", part)
    said = orjson.dumps(part)
    return blake2b(said, digest_size=16).hexdigest() if len(said) > _LONG else cast("Any", part)
