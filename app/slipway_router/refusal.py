"""How a request is refused: in the shape of OpenAI's API, and without losing the answer that says why."""

import asyncio
import logging
import traceback

from slipway_router.asgi import CLOSE, ApiError, App, Receive, Scope, Send, respond
from slipway_router.request import read_headers, request_id

LINGER_SECONDS = 5.0
"""After a refused body: how long what the client still sends is read and thrown away. Closing at once would reset the
connection, and the client might lose the answer that tells it why."""
LINGER_BYTES = 256 * 1024 * 1024

_TOLD = "told_as_request"

logger = logging.getLogger("slipway_router")


async def refuse(send: Send, error: ApiError, identity: bytes, rest: Receive | None = None) -> None:
    """Answer with an error; with `rest`, swallow what the client still sends before the connection ends."""
    headers = [*error.headers, (b"x-request-id", identity)]
    await respond(send, error.status, error.body(), headers, more=rest is not None)
    if rest is None:
        return
    swallowed = 0
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while swallowed < LINGER_BYTES:
                message = await rest()
                swallowed += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    break
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b""})


def answering(error: ApiError, identity: bytes) -> App:
    """Answers with an error, whoever asks."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 -- ASGI's
        await refuse(send, error, identity, receive if error.status == 413 else None)

    return app


def log_unexpected(scope: Scope, error: Exception) -> str:
    """Log a fault of ours in one line; returns the id that its client is told. Once: whoever meets it again gets that id."""
    told: str | None = getattr(error, _TOLD, None)
    if told is not None:
        return told
    identity = request_id(read_headers(scope["headers"])).decode()
    logger.error("request %s: %s", identity, unexpected_at(error))
    setattr(error, _TOLD, identity)
    return identity


def unexpected_at(error: Exception) -> str:
    """What a fault of ours is and where, for the log. Not what it says, which may be what a client wrote."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = ", called by ".join(f"{f.name}:{f.lineno}" for f in reversed(frames))
    return f"unexpected {type(error).__name__} at {where}"


def draining() -> ApiError:
    """What a client is told once the router stops."""
    return ApiError(
        503, "This router is stopping; try again.", kind="server_error", code="draining", headers=(CLOSE, (b"retry-after", b"1"))
    )
