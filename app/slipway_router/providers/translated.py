"""An answer in another shape: for the data path it is like any other."""

import asyncio
import contextlib
import re
from typing import Protocol

import orjson

from slipway_router.answer import Answer, UpstreamError
from slipway_router.asgi import JSON, Header
from slipway_router.providers.shapes import an_object, text

MOST_BYTES = 64 * 1024 * 1024
"""Largest whole answer that is translated."""
MOST_ERROR_BYTES = 256 * 1024
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SSE: Header = (b"content-type", b"text/event-stream; charset=utf-8")


class StreamTranslator(Protocol):
    """One stream, said differently."""

    @property
    def unsaid(self) -> bytes:
        """At its end: a JSON object with OpenAI's `usage`, if that is known and was not said."""
        ...

    def feed(self, data: bytes) -> bytes:
        """What these bytes come to, in whole events; maybe nothing yet.

        Raises:
            UpstreamError: when the vendor says that it failed, or what it says cannot be understood.
        """
        ...

    def end(self) -> bytes:
        """What comes after the last byte.

        Raises:
            UpstreamError: 'reset' when the stream is not over yet.
        """
        ...


class Whole(Answer):
    """An answer that is known already."""

    __slots__ = ("reason",)

    def __init__(self, status: int, headers: list[Header], body: bytes) -> None:
        """
        Args:
            status: What the client gets.
            headers: Passed on, beside the type of the content.
            body: JSON.
        """
        super().__init__(None, asyncio.get_running_loop())
        self.status = status
        self.headers = [JSON, *headers]
        self.heard = self.started = self.complete = True
        self.reason = _code(body) if status >= 400 else ""
        """What the vendor calls its error."""
        self.add(body)


class Stream(Answer):
    """A stream of events, translated while it comes in."""

    __slots__ = ("_answer", "_translator")

    def __init__(self, answer: Answer, headers: list[Header], translator: StreamTranslator) -> None:
        """
        Args:
            answer: The vendor's, of which only the head was read.
            headers: Passed on, beside the type of the content.
            translator: Says it in OpenAI's shape.
        """
        super().__init__(None, asyncio.get_running_loop())
        self.status = 200
        self.headers = [_SSE, *headers]
        self.heard = self.started = True
        self._answer = answer
        self._translator = translator

    async def read(self) -> bytes:
        """See `Answer.read`."""
        while not self.complete:
            data = await self._answer.read()
            if data:
                said = self._translator.feed(data)
            else:
                said = self._translator.end()
                self.unsaid = self._translator.unsaid
                self.complete = True
            if said:
                return said
        return b""

    def abort(self) -> None:
        """See `Answer.abort`."""
        self._answer.abort()


def _code(body: bytes) -> str:
    with contextlib.suppress(orjson.JSONDecodeError):
        error = an_object(an_object(orjson.loads(body)).get("error"))
        found = text(error.get("code")) or text(error.get("type"))
        return found if _NAME.fullmatch(found) else ""
    return ""


async def read_whole(answer: Answer) -> bytes:
    """The whole body.

    Raises:
        UpstreamError: when it breaks off, or is larger than 64 MiB (256 KiB for an error).
    """
    most = MOST_BYTES if answer.status < 400 else MOST_ERROR_BYTES
    body = await answer.read_up_to(most)
    if answer.pending:
        raise UpstreamError("protocol", f"answered with more than {most // 1024} KiB")
    return body


def is_stream(answer: Answer, kind: bytes = b"text/event-stream") -> bool:
    """Whether the answer is a stream of this content type."""
    return any(name == b"content-type" and value.lower().startswith(kind) for name, value in answer.headers)
