"""What a test gets of the router's own answers is held against its OpenAPI document: a status that it lacks fails the test."""

import re
from functools import cache
from typing import Any

import httpx

from slipway_router import api
from slipway_router.admin.api import described
from slipway_router.config import Config
from slipway_router.document import document
from slipway_router.router import Router

OURS = "x-slipway-backend"
"""Header of a backend's answer: its status is the backend's."""


@cache
def operations(*, admin: bool = False) -> dict[tuple[str, str], set[str]]:
    """Statuses by method and path, of what clients or what operators ask."""
    config = Config.parse({"backends": [{"name": "one", "url": "http://127.0.0.1:9/v1", "model": "m"}]})
    router = Router(config, {})
    told: dict[str, Any] = document(described(router) if admin else api.create(router))["paths"]
    return {(method.upper(), path): set(o["responses"]) for path, found in told.items() for method, o in found.items()}


async def documented(answer: httpx.Response, *, admin: bool = False) -> None:
    """A hook of a client.

    Args:
        answer: What it got.
        admin: Of the admin API.

    Raises:
        AssertionError: this path does not tell of this status.
    """
    method, path = answer.request.method, answer.request.url.path
    known = operations(admin=admin)
    of_path = {m: statuses for (m, template), statuses in known.items() if _fits(template, path)}
    if method not in of_path:
        return
    status, statuses = str(answer.status_code), of_path[method]
    told = status in statuses or (OURS in answer.headers and f"{status[0]}XX" in statuses)
    assert told, f"{method} {path} answers {status}, and the OpenAPI document has {', '.join(sorted(statuses))}"


def _fits(template: str, path: str) -> bool:
    # A model's name may have slashes in it.
    shape = re.sub(r"\\{\w+\\}", ".+" if template.startswith("/v1/") else "[^/]+", re.escape(template))
    return re.fullmatch(shape, path) is not None
