"""Anthropic's Messages API: a chat completion is said in it, and its answer is said as a chat completion."""

from typing import Any

import orjson

from slipway_router.answer import Answer, UpstreamError
from slipway_router.asgi import Header
from slipway_router.backend import Backend
from slipway_router.messages.request import NATIVE, AskedInMessages
from slipway_router.providers.anthropic_answer import CompletionStream, NativeStream, a_message, to_completion, to_error, to_usage
from slipway_router.providers.anthropic_request import to_messages
from slipway_router.providers.chat import encoded, include_usage, refuse
from slipway_router.providers.provider import Provider
from slipway_router.providers.shapes import an_object
from slipway_router.providers.translated import Stream, Whole, is_stream, read_whole
from slipway_router.request import Asked
from slipway_router.schema import Task

API_VERSION = "2023-06-01"
_PASSED_ON = {
    b"request-id": b"request-id",
    b"retry-after": b"retry-after",
    b"anthropic-ratelimit-requests-limit": b"x-ratelimit-limit-requests",
    b"anthropic-ratelimit-requests-remaining": b"x-ratelimit-remaining-requests",
    b"anthropic-ratelimit-tokens-limit": b"x-ratelimit-limit-tokens",
    b"anthropic-ratelimit-tokens-remaining": b"x-ratelimit-remaining-tokens",
}
"""Headers, and their names at OpenAI."""


class Anthropic(Provider):
    """`url` is the address with its version, such as `https://api.anthropic.com/v1`."""

    translates = True

    def __init__(self, backend: Backend, key: str | None) -> None:
        super().__init__(backend, key)
        self._version_line = f"anthropic-version: {backend.api_version or API_VERSION}\r\n".encode()

    def headers(self, key: str | None) -> dict[str, str]:
        version = {"anthropic-version": self.backend.api_version or API_VERSION}
        return version if key is None else {"x-api-key": key, **version}

    def path(self, task: Task) -> str:  # noqa: ARG002 -- it has one
        return f"{self._base}/messages"

    def request(self, asked: Asked, request_id: bytes, tracing: bytes) -> tuple[bytes, bytes]:
        """See `Provider`. A request that came in this API goes on in it, with all that no chat completion can say."""
        if not isinstance(asked, AskedInMessages):
            return super().request(asked, request_id, tracing)
        if asked.beta is not None:
            tracing += b"anthropic-beta: %b\r\n" % asked.beta
        head, body = super().request(asked, request_id, tracing)
        if asked.version is not None:
            head = head.replace(self._version_line, b"anthropic-version: %b\r\n" % asked.version, 1)
        return head, body

    def body(self, asked: Asked) -> bytes:
        return encoded(self.message(asked))

    def message(self, asked: Asked) -> dict[str, Any]:
        """The body of a Messages request."""
        if isinstance(asked, AskedInMessages):
            return {**asked.messages, "model": self.model}
        body, faults = to_messages(asked.fields, self.model, self.backend.default_max_tokens)
        refuse(faults, "Anthropic's Messages API")
        return body

    def error(self, status: int, body: bytes, *, native: bool) -> bytes:
        """An error in the client's shape: for one of the Messages API (`native`) it has that."""
        return body if native else to_error(status, body)

    async def understand(self, asked: Asked, answer: Answer) -> Answer:
        headers: list[Header] = [(_PASSED_ON[name], value) for name, value in answer.headers if name in _PASSED_ON]
        native = isinstance(asked, AskedInMessages)
        if native:
            headers.append(NATIVE)
        if answer.status == 200 and asked.stream:
            if not is_stream(answer):
                raise UpstreamError("protocol", "answered a streamed request without a stream")
            if native:
                return Stream(answer, headers, NativeStream())
            return Stream(answer, headers, CompletionStream(include_usage=include_usage(asked.fields)))
        body = await read_whole(answer)
        if answer.status == 402:
            raise UpstreamError("auth", "answered 402: its account has a problem with billing")
        if answer.status != 200:
            return Whole(answer.status, headers, self.error(answer.status, body, native=native))
        if native:
            told = Whole(200, headers, body)
            told.unsaid = orjson.dumps({"usage": to_usage(an_object(a_message(body).get("usage")))})
            return told
        return Whole(200, headers, to_completion(body))
