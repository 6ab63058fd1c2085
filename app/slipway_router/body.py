"""The body of a request, as far as it is still to come when the request is answered."""

import asyncio

from slipway_router.asgi import CLOSE, ApiError, Receive

BODY_SECONDS = 60.0
"""How long a request's body may take to arrive."""


async def read_body(length: bytes | None, most: int, receive: Receive) -> bytes | None:
    """The request's body. None when the client goes away first.

    Args:
        length: The `content-length` header.
        most: Largest body, in bytes.
        receive: Where it comes from.

    Raises:
        ApiError: 413 when it is, or turns out to be, larger; 408 when it takes more than a minute.
    """
    if length is not None and length.isdigit() and int(length) > most:
        raise too_large(most)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > most:
                    raise too_large(most)
                parts.append(part)
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        raise ApiError(
            408, f"The body did not arrive within {BODY_SECONDS:g} s.", code="body_timeout", headers=(CLOSE,)
        ) from None


def too_large(most: int) -> ApiError:
    """What a client is told whose body has more than so many bytes."""
    return ApiError(
        413, f"The body is larger than the {most // (1024 * 1024)} MiB allowed here.", code="body_too_large", headers=(CLOSE,)
    )
