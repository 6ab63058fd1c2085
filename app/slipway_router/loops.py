"""Routers behind routers: a configuration that leads back to itself is refused, and a request that goes round is stopped."""

from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from slipway_router.asgi import ApiError

HOPS = b"x-slipway-hops"
"""Header that counts the routers a request has come through."""
MOST_HOPS = 4
"""A request that came through so many goes round: nobody stacks routers like that."""
_FIRST = b"x-slipway-hops: 1\r\n"
_EVERY = ("0.0.0.0", "::", "")  # noqa: S104 -- compared with, not bound
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

At = tuple[str | None, int | None]
"""Host and port where a router listens, as far as they are known otherwise than by its configuration."""
NOWHERE: At = (None, None)


def hop_line(headers: Mapping[bytes, bytes]) -> bytes:
    """The header line for the next server.

    Raises:
        ApiError: 508 where the request has come through too many routers.
    """
    given = headers.get(HOPS)
    if given is None or not given.isdigit() or len(given) > 4:
        return _FIRST
    hops = int(given)
    if hops >= MOST_HOPS:
        told = (
            f"The request came through {hops} routers: one of them has a backend that leads back to another. "
            "Look at the backends' addresses."
        )
        raise ApiError(508, told, kind="server_error", code="loop_detected")
    return b"x-slipway-hops: %d\r\n" % (hops + 1)


def loop_faults(data: Mapping[str, Any], at: At = NOWHERE) -> list[tuple[str, str]]:
    """Backends whose address is where the router itself listens: there, or else where `listen` says."""
    listen = data.get("listen")
    told: Mapping[str, Any] = cast("Mapping[str, Any]", listen) if isinstance(listen, Mapping) else {}
    host = str(told.get("host", "127.0.0.1")) if at[0] is None else at[0]
    port = told.get("port", 8000) if at[1] is None else at[1]
    own = {host, *_LOOPBACK} if host in _EVERY or host in _LOOPBACK else {host}
    backends = data.get("backends")
    faults: list[tuple[str, str]] = []
    listed = cast("Sequence[object]", backends) if isinstance(backends, list | tuple) else ()
    for i, backend in enumerate(listed):
        url: object = cast("Mapping[str, object]", backend).get("url") if isinstance(backend, Mapping) else None
        if not isinstance(url, str):
            continue
        try:
            parts = urlsplit(url)
            target = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        except ValueError:
            continue
        if target[1] == port and target[0] in own:
            faults.append(
                (f"backends[{i}].url", f"is {url!r}, where this router listens itself; give the model server's address")
            )
    return faults
