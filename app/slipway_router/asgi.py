"""The parts of ASGI that the data path speaks itself, and errors in the shape of OpenAI's API."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import orjson

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
CLOSE: Header = (b"connection", b"close")


class ApiError(Exception):
    """An answer that says what is wrong, in the shape of OpenAI's API."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Sequence[Header] = (),
    ) -> None:
        """
        Args:
            status: HTTP status.
            message: What is wrong, and the choice the client has.
            kind: OpenAI's `type`: 'invalid_request_error', 'authentication_error', 'rate_limit_error', 'server_error'.
            param: Which field of the body, or which header, is meant.
            code: A word that programs can compare, such as 'model_not_found'.
            headers: More headers of the answer.
        """
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = headers

    def body(self) -> bytes:
        """`{"error": {"message", "type", "param", "code"}}` as JSON."""
        return orjson.dumps({"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}})


def unexpected(request_id: str) -> ApiError:
    """What a client is told of a fault of ours: no more than how to find it in the log."""
    return ApiError(
        500,
        f"The router failed on this request; its log has the reason under the id {request_id}.",
        kind="server_error",
        code="internal_error",
    )


async def respond(send: Send, status: int, body: bytes, headers: Sequence[Header] = (), *, more: bool = False) -> None:
    """Send a whole JSON answer. With `more` its end is left open, so that the caller decides when the connection ends."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [JSON, length, *headers]})
    await send({"type": "http.response.body", "body": body, "more_body": more})
