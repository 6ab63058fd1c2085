"""What a test gets of the router's own answers is held against its OpenAPI document: a status that it lacks fails the test."""

from functools import cache
from typing import Any

import httpx

from slipway_router import api
from slipway_router.config import Config
from slipway_router.document import document
from slipway_router.router import Router

OURS = "x-slipway-backend"
"""Header of a backend's answer: its status is the backend's."""


@cache
def operations() -> dict[tuple[str, str], set[str]]:
    """Statuses by method and path."""
    config = Config.parse({"backends": [{"name": "one", "url": "http://127.0.0.1:9/v1", "model": "m"}]})
    told: dict[str, Any] = document(api.create(Router(config, {})))["paths"]
    return {(method.upper(), path): set(o["responses"]) for path, found in told.items() for method, o in found.items()}


async def documented(answer: httpx.Response) -> None:
    """A hook of a client.

    Raises:
        AssertionError: this path does not tell of this status.
    """
    method, path = answer.request.method, answer.request.url.path
    if path.startswith("/v1/models/"):
        path = "/v1/models/{model}"
    statuses = operations().get((method, path))
    if statuses is None:
        return
    status = str(answer.status_code)
    known = status in statuses or (OURS in answer.headers and f"{status[0]}XX" in statuses)
    assert known, f"{method} {path} answers {status}, and the OpenAPI document has {', '.join(sorted(statuses))}"
