"""One streamed chat completion, sent and read to its end with the times that count."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, cast

import orjson

from slipway_router.answer import Answer, UpstreamError
from slipway_router.backend import Backend
from slipway_router.bench.traffic import Arrival
from slipway_router.pool import Pool
from slipway_router.providers.provider import Provider
from slipway_router.providers.sse import Events
from slipway_router.request import CHARACTERS_PER_TOKEN
from slipway_router.steadiness import Timeouts

MOST_CONNECTIONS = 65_536
"""The load decides how many there are, not the pool."""
MOST_ERROR_BYTES = 64 * 1024
MOST_TOLD = 300
"""Characters of an error that are kept."""
_WORDS = "the model reads these words one by one and answers with as many of its own as it was asked for "


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one request ended."""

    total: float
    """Seconds from when it was due to its end."""
    first_token: float | None = None
    """Seconds from when it was due to the first token; None if none came."""
    last_token: float | None = None
    """Likewise to the last token."""
    tokens: int = 0
    """Of the answer: what its `usage` tells, else the events with text in them."""
    cause: str | None = None
    """What kind of failure it was, such as 'timeout' or 'status 429'; None for none."""
    detail: str = ""
    """What a failure said."""
    prompt_tokens: int = 0
    """As the answer's `usage` tells; 0 where it does not."""

    @property
    def per_token(self) -> float | None:
        """Seconds from token to token, after the first. None where there are no two."""
        if self.first_token is None or self.last_token is None or self.tokens < 2:
            return None
        return (self.last_token - self.first_token) / (self.tokens - 1)


class Asker:
    """Asks one address. Belongs to a running event loop."""

    def __init__(self, url: str, model: str, *, key: str | None, timeout: float, extra: Mapping[str, Any]) -> None:
        """
        Args:
            url: With its version, such as `http://127.0.0.1:8000/v1`.
            model: What to ask for.
            key: Sent as a bearer token.
            timeout: Seconds within which an answer must be complete.
            extra: More fields of the body; None takes one of ours away.

        Raises:
            ValidationError: the address is none.
        """
        deadlines = Timeouts(connect=min(timeout, 10), first_byte=timeout, between_chunks=timeout, total=timeout)
        backend = Backend(name="bench", url=url, model=model, timeouts=deadlines)
        self._provider = Provider(backend, key)
        self._pool = Pool(backend.url, deadlines, MOST_CONNECTIONS)
        self._key = key
        self._timeout = timeout
        self._extra = extra
        # Another one in each run: what an earlier one left in a server's prefix cache must not answer for this one.
        self._run = os.urandom(4).hex()
        self._asked = 0

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    async def ask(self, request: Arrival, due: float) -> Outcome:
        """Send one request now and read its stream to the end.

        Args:
            request: How long prompt and answer are.
            due: Time (`perf_counter`) from which its times count.
        """
        self._asked += 1
        name = f"{self._run}-{self._asked}"
        body = orjson.dumps(self._body(request, name))
        head = self._provider.head("chat", len(body), b"bench-%b" % name.encode(), b"")
        reading = _Reading(due)
        try:
            answer = await self._pool.request(head, body, asyncio.get_running_loop().time() + self._timeout)
            try:
                if answer.status != 200:
                    said = _said(await answer.read_up_to(MOST_ERROR_BYTES))
                    return self._failed(reading, f"status {answer.status}", said)
                await reading.read(answer)
            finally:
                answer.abort()
        except UpstreamError as error:
            return self._failed(reading, error.cause, f"the server {error.detail}")
        if reading.error is not None:
            return self._failed(reading, *reading.error)
        return reading.outcome()

    def _body(self, request: Arrival, name: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._provider.model,
            "messages": [{"role": "user", "content": self._prompt(request, name)}],
            "max_tokens": request.answer_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._extra,
        }
        return {field: value for field, value in body.items() if value is not None}

    def _prompt(self, request: Arrival, name: str) -> str:
        if not request.blocks:
            return prompt(request.prompt_tokens, name)
        made = "".join(prompt(request.block_tokens, f"{self._run}-{block}") for block in request.blocks)
        return made[: request.prompt_tokens * CHARACTERS_PER_TOKEN]

    def _failed(self, reading: "_Reading", cause: str, detail: str) -> Outcome:
        # A server may repeat what it was sent.
        told = detail.replace(self._key, "[key]") if self._key else detail
        return reading.outcome(cause, " ".join(told.split())[:MOST_TOLD])


class _Reading:
    """What came of a stream so far."""

    def __init__(self, due: float) -> None:
        self._due = due
        self._first: float | None = None
        self._last: float | None = None
        self._events = 0
        self._usage = 0
        self._prompt = 0
        self._done = False
        self.error: tuple[str, str] | None = None
        """Cause and detail, where the stream was no whole answer."""

    async def read(self, answer: Answer) -> None:
        """Read a stream to its end.

        Raises:
            UpstreamError: it breaks off.
        """
        events = Events()
        while data := await answer.read():
            now = perf_counter() - self._due
            for event in events.feed(data):
                self._take(event, now)
        if self.error is None and not self._done:
            self.error = ("unfinished", "the stream ended without [DONE]")
        elif self.error is None and self._first is None:
            self.error = ("empty", "the stream had no token")

    def _take(self, event: bytes, now: float) -> None:
        if event == b"[DONE]":
            self._done = True
            return
        try:
            told: object = orjson.loads(event)
        except orjson.JSONDecodeError:
            told = None
        if not isinstance(told, dict):
            self.error = self.error or ("protocol", "the stream had an event that is no JSON object")
            return
        fields = cast("dict[str, Any]", told)
        if fields.get("error"):
            self.error = self.error or ("in the stream", _said(event))
        usage = fields.get("usage")
        if isinstance(usage, dict):
            tokens = cast("dict[str, object]", usage).get("completion_tokens")
            self._usage = tokens if isinstance(tokens, int) else self._usage
            prompted = cast("dict[str, object]", usage).get("prompt_tokens")
            self._prompt = prompted if isinstance(prompted, int) else self._prompt
        if any(_has_text(c) for c in fields.get("choices") or ()):
            self._events += 1
            self._last = now
            if self._first is None:
                self._first = now

    def outcome(self, cause: str | None = None, detail: str = "") -> Outcome:
        """How it ended, now."""
        total = perf_counter() - self._due
        return Outcome(total, self._first, self._last, self._usage or self._events, cause, detail, self._prompt)


def prompt(tokens: int, name: str = "") -> str:
    """A text of about so many tokens.

    Args:
        tokens: At four characters each; the model's own tokenizer is not known.
        name: How it begins. Different ones have no prefix in common that a server could have cached.
    """
    size = tokens * CHARACTERS_PER_TOKEN
    return f"{name} {_WORDS * (size // len(_WORDS) + 1)}"[:size] if name else (_WORDS * (size // len(_WORDS) + 1))[:size]


def _has_text(choice: object) -> bool:
    delta = cast("dict[str, Any]", choice).get("delta") if isinstance(choice, dict) else None
    if not isinstance(delta, dict):
        return False
    told = cast("dict[str, Any]", delta)
    return any(told.get(field) for field in ("content", "reasoning_content", "reasoning", "tool_calls"))


def _said(body: bytes) -> str:
    """The message of an error, or what else is there."""
    try:
        error: object = orjson.loads(body)["error"]
        return str(cast("dict[str, Any]", error)["message"]) if isinstance(error, dict) else str(error)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body.decode("utf-8", "replace")
